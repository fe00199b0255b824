/**
 * What hooks wanted changed of mail that was held, done when it is submitted (message path, step 5, later): text is appended here, since
 * the milter, which sees the mail again, may not be given its body. Blind recipients are added there, by the one-time id, and so are
 * fields; but those of mail from the `send` path are put in here, because it is signed, and kept for its sender, as it goes out.
 */
import { changedHeader } from "../core/append-text.ts";
import type { Deadline } from "../core/deadline.ts";
import { unpackStructure } from "../core/mime/packed.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { combineSent } from "./combine-verdicts.ts";
import { type EditRules, type SafeEdits, safeEdits } from "./message-edits.ts";
import { countDropped } from "./milter-edits.ts";
import { headerFieldLines } from "./prefix.ts";
import { heldContent, heldHeader, isOfSend } from "./release-facts.ts";

export interface ReleaseEditParts {
  readonly blobs: Pick<BlobStore, "get">;
  readonly edits: EditRules;
  readonly now: () => Date;
}

export interface ReadyMail {
  /** Without what is done already. */
  readonly verdicts: readonly CarriedVerdict[];
  readonly content: AsyncIterable<Uint8Array>;
  /** It is not as it was held. */
  readonly isEdited: boolean;
  readonly events: readonly TimelineEvent[];
}

/** @throws {MairustError} `deadline`, `too_many`, `blob_missing`, `blob_damaged`: nothing was changed */
export async function readyForRelease(
  { blobs, edits, now }: ReleaseEditParts,
  taken: HoldTaken,
  verdicts: readonly CarriedVerdict[],
  deadline: Deadline,
): Promise<ReadyMail> {
  const { message, record } = taken;
  const content = heldContent(blobs, taken);
  const { headers, appendText } = combineSent(verdicts);
  const wanted = { headers, appendText: record.point === "pre_send" ? appendText : [] };
  const facts = { header: await heldHeader(content, taken), structure: message.structure, content };
  const safe = await safeEdits(facts, wanted, edits, deadline);
  const decisions = verdicts.map(({ decision }) => decision);
  countDropped(safe.report, decisions, edits.denied);
  const [here, there] = isOfSend(taken) ? [safe.headers, []] : [[], safe.headers];
  const kept = new Set(there.map(([name]) => name));
  const isTold = safe.report.appended.length + safe.report.skipped.length > 0;
  const { appended, skipped } = safe.report;
  return {
    verdicts: verdicts.map(one => ({
      ...one,
      decision: {
        ...one.decision,
        headers: one.decision.headers.filter(([name]) => kept.has(name)),
        appendText: [],
      },
    })),
    content: editedContent(blobs, taken, { ...safe, headers: here }),
    isEdited: safe.body !== undefined || here.length > 0,
    events: isTold
      ? [
          {
            at: now(),
            kind: "decision",
            data: { point: record.point, action: "deliver", appended, not_done: skipped },
          },
        ]
      : [],
  };
}

async function* editedContent(
  blobs: Pick<BlobStore, "get">,
  { message }: HoldTaken,
  { headers, fields, body }: SafeEdits,
): AsyncGenerator<Uint8Array> {
  const { digest } = message.blob;
  if (headers.length > 0) yield Buffer.from(headerFieldLines(headers), "utf8");
  if (body === undefined) {
    yield* blobs.get(digest);
    return;
  }
  const end = unpackStructure(message.structure).parts[0]?.bodyStart ?? 0;
  const header: Uint8Array[] = [];
  for await (const chunk of blobs.get(digest, { start: 0, end })) header.push(chunk);
  yield changedHeader(Buffer.concat(header), fields);
  yield* body;
}
