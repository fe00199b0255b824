/**
 * Which nodes of a message a plugin may hear of, and as what: its texts, its attachments. Pure; follows the tree through the flat
 * list that the scanner stored.
 *
 * An attached message is one attachment and is not entered. Of `multipart/signed` only the first part is text; what stands behind
 * it is an attachment, but for detached signatures. All of `multipart/encrypted` is attachments. A leaf is therefore a text or an
 * attachment, and nothing hides between the two.
 */
import { SIGNATURE_TYPES } from "./mime/attachments.ts";
import type { PackedPart } from "./mime/packed.ts";
import { isTransferEncoding } from "./permissions-transfer.ts";

/** Payloads stop here, whatever the scanner knows. */
export const MAX_PAYLOAD_DEPTH = 20;
export const MAX_PAYLOAD_PARTS = 1000;

export type PartRole = "text" | "attachment";

interface OpenPart {
  readonly part: PackedPart;
  /** Texts inside are not the message's text. */
  readonly attached: boolean;
  children: number;
}

export class VisibleParts {
  /** A limit left parts out. */
  truncated = false;
  #parts = 0;
  /** Open multiparts, outermost first. */
  readonly #open: OpenPart[] = [];
  /** Nodes up to this octet lie in a subtree that is not looked into. */
  #hiddenUntil = -1;

  /** @param part  the next one of the list, parents before children. @returns undefined: nothing to be shown */
  enter(part: PackedPart): PartRole | undefined {
    // A delimiter line stands before whatever follows a part: what begins at its very end is inside, and empty.
    if (part.headerStart <= this.#hiddenUntil) return undefined;
    while (this.#open.length > 0 && part.headerStart > (this.#open.at(-1)?.part.bodyEnd ?? 0))
      this.#open.pop();
    const parent = this.#open.at(-1);
    const behindSigned = parent?.part.mediaType === "multipart/signed" && parent.children > 0;
    if (parent !== undefined) parent.children++;
    if (this.#open.length >= MAX_PAYLOAD_DEPTH || ++this.#parts > MAX_PAYLOAD_PARTS) {
      this.truncated = true;
      this.#hiddenUntil = part.bodyEnd;
      return undefined;
    }
    const attached = (parent?.attached ?? false) || behindSigned || part.mediaType === "multipart/encrypted";
    if (part.kind === "multipart") {
      this.#open.push({ part, attached, children: 0 });
      return undefined;
    }
    if (part.kind === "message") this.#hiddenUntil = part.bodyEnd;
    if (behindSigned && SIGNATURE_TYPES.has(part.mediaType)) return undefined;
    return part.isText && !attached && isTransferEncoding(part.encoding) ? "text" : "attachment";
  }
}

export interface PartList {
  readonly parts: readonly PackedPart[];
  readonly truncated: boolean;
}

/** All parts of one role, in order. @param parts  as `unpackStructure` returns them */
export function partsOf(role: PartRole, parts: readonly PackedPart[]): PartList {
  const walk = new VisibleParts();
  const found = parts.filter(part => walk.enter(part) === role);
  return { parts: found, truncated: walk.truncated };
}
