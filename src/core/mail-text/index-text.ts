/**
 * What the index keeps of one message. Runs in a process of its own (`jobs/index-process.ts`), because only that can be ended. The
 * grams are those of exactly what SEARCH would read: the same code shows it to both. Pure, linear in its input, fails never.
 */
import { atOnce } from "../steps.ts";
import { GramSink, sortedGrams } from "./grams.ts";
import { feedHeader } from "./header-fields.ts";
import type { IndexPiece } from "./index-plan.ts";
import { previewOfPart } from "./part-preview.ts";
import { PartText } from "./part-text.ts";

export interface IndexText {
  /** False: it may hold any text, and there are no grams. */
  readonly complete: boolean;
  /** Ascending, each once. */
  readonly grams: Int32Array;
  readonly preview: string;
}

export interface ReadIndexPiece extends IndexPiece {
  readonly bytes: Buffer;
}

const SPACE = 0x20;
const TAB = 0x09;

/** @param pieces  of a complete plan, in its order */
export function indexText(pieces: readonly ReadIndexPiece[]): IndexText {
  const found = new Set<number>();
  const header = new GramSink(found, "header");
  const body = new GramSink(found, "body");
  let complete = true;
  for (const piece of pieces) {
    if (piece.kind === "prefix") {
      feedHeader(piece.bytes, header);
    } else if (piece.kind === "root") {
      // It goes on where the fields end that its delivery put in front.
      complete &&= piece.bytes[0] !== SPACE && piece.bytes[0] !== TAB;
      feedHeader(piece.bytes, header);
    } else {
      const text = new PartText({ ...piece, kind: piece.kind }, body);
      atOnce(text.add(piece.bytes));
      atOnce(text.end());
    }
  }
  complete &&= !body.done;
  const preview = previewOf(pieces);
  return { complete, grams: complete ? sortedGrams(found) : new Int32Array(0), preview };
}

/** @returns "" when there is no text */
function previewOf(pieces: readonly ReadIndexPiece[]): string {
  const piece = pieces.find(({ preview }) => preview !== undefined);
  return piece?.preview === undefined ? "" : previewOfPart(piece.bytes, piece.preview);
}
