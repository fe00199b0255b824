/**
 * The parts that are open while a message streams by, outermost first, and how they end. The scanner says where; this
 * says what. Invariants: children lie within their parent's body, siblings do not overlap, offsets never shrink.
 */
import type { BoundarySet } from "./boundaries.ts";
import type { HeaderReader } from "./header-reader.ts";
import type { MimeLimits } from "./limits.ts";
import { applyHeader, makeLeaf, newPart, type PartDraft } from "./part-header.ts";
import type { MimePart } from "./structure.ts";

interface OpenPart {
  readonly part: PartDraft;
  /** Its boundary is in the set. */
  listening: boolean;
  /** LFs before its body. */
  lfAtBody: number;
  /** It or an ancestor is a message part, whose lines IMAP asks for. */
  readonly inMessage: boolean;
}

export class PartStack {
  readonly #boundaries: BoundarySet;
  readonly #limits: MimeLimits;
  readonly #open: OpenPart[] = [];
  #partCount = 0;
  #limited = false;

  constructor(boundaries: BoundarySet, limits: MimeLimits) {
    this.#boundaries = boundaries;
    this.#limits = limits;
    this.#push(newPart(0), false);
  }

  get partCount(): number {
    return this.#partCount;
  }

  /** Depth or number of parts cut something off. */
  get limited(): boolean {
    return this.#limited;
  }

  get #top(): OpenPart {
    const top = this.#open.at(-1);
    if (top === undefined) throw new RangeError("Cannot read the innermost part: the root has ended");
    return top;
  }

  /** Whether LFs of the present stretch of body must be counted. A multipart without children may end as text. */
  get wantsLines(): boolean {
    const { part, inMessage } = this.#top;
    if (inMessage || part.kind === "message") return true;
    return part.kind === "multipart" ? part.children.length === 0 : part.type === "text";
  }

  #push(part: PartDraft, inMessage: boolean): void {
    this.#partCount++;
    this.#open.push({ part, listening: false, lfAtBody: 0, inMessage });
  }

  #pushChild(headerStart: number): PartDraft {
    const parent = this.#top;
    const child = newPart(headerStart);
    parent.part.children.push(child);
    this.#push(child, parent.inMessage || parent.part.kind === "message");
    return child;
  }

  /**
   * The innermost part's header is over.
   *
   * @returns "message": a message begins inside, its header follows; else the part's body follows
   */
  endHeader(reader: HeaderReader, bodyStart: number, lf: number): "body" | "message" {
    const top = this.#top;
    top.part.bodyStart = bodyStart;
    top.lfAtBody = lf;
    const parent = this.#open.at(-2)?.part;
    const inDigest = parent?.type === "multipart" && parent.subtype === "digest";
    const mayEnter = this.#open.length <= this.#limits.depth && this.#partCount < this.#limits.parts;
    const plan = applyHeader(top.part, reader, inDigest, mayEnter);
    if (plan.kind === "multipart") {
      this.#boundaries.push(plan.boundary, this.#open.length - 1);
      top.listening = true;
    } else if (plan.kind === "message") {
      this.#pushChild(bodyStart);
      return "message";
    } else if (plan.limited) this.#limited = true;
    return "body";
  }

  /**
   * A delimiter of the multipart at `owner` begins at `lineStart`: everything inside that multipart ends before the line
   * break in front of it (RFC 2046 §5.1.1: that line break belongs to the delimiter).
   *
   * @param lineBreak  octets of that line break; 0 when it ends a header: then it stays with that
   * @param lf         LFs before `lineStart`
   */
  closeAbove(owner: number, lineStart: number, lineBreak: number, lf: number, closes: boolean): void {
    // The line break before the delimiter is not the body's: one LF less.
    this.#close(owner + 1, lineStart - lineBreak, lineBreak === 0 ? lf : lf - 1);
    const multipart = this.#top;
    if (closes) this.#silence(multipart);
  }

  /** End the open parts from `from` on, outermost first, so that inner ones can be held within outer ones. */
  #close(from: number, end: number, lf: number): void {
    let limit: number | undefined;
    for (const open of this.#open.slice(from)) {
      const { part } = open;
      // Without an empty line a header may reach into the delimiter's line break: a MIME header keeps it, what is
      // inside the body does not.
      if (limit !== undefined) {
        part.headerStart = Math.min(part.headerStart, limit);
        part.bodyStart = Math.min(part.bodyStart, limit);
      }
      part.bodyEnd = Math.max(part.bodyStart, limit ?? end);
      limit = part.bodyEnd;
      this.#finish(open, Math.max(0, lf - open.lfAtBody));
    }
    for (const open of this.#open.splice(from).reverse()) this.#silence(open);
  }

  #silence(open: OpenPart): void {
    if (!open.listening) return;
    this.#boundaries.pop();
    open.listening = false;
  }

  #finish(open: OpenPart, lines: number): void {
    const { part } = open;
    if (part.kind === "multipart" && part.children.length === 0) makeLeaf(part, false);
    const asked = part.kind === "message" || (part.kind === "leaf" && part.type === "text");
    part.lines = asked ? lines : undefined;
  }

  /**
   * Open the next child of the innermost multipart.
   *
   * @returns false when the message has too many parts: the child is an opaque leaf up to the end of the message
   */
  openChild(headerStart: number, lf: number): boolean {
    const full = this.#partCount >= this.#limits.parts;
    const child = this.#pushChild(headerStart);
    if (!full) return true;
    this.#limited = true;
    child.type = "application";
    child.subtype = "octet-stream";
    this.#top.lfAtBody = lf;
    for (const open of [...this.#open].reverse()) this.#silence(open);
    return false;
  }

  /** The message ends: so do all open parts. */
  end(size: number, lf: number): MimePart {
    const root = this.#open[0]?.part;
    if (root === undefined) throw new RangeError("Cannot end the message: it has ended");
    this.#close(0, size, lf);
    return root;
  }
}
