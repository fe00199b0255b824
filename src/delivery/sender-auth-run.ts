/**
 * One message on a thread that checks senders (message path, step 2), as the main thread sees it: its bytes go over in pieces, a few
 * ahead of what the thread has taken, and its questions are asked. It is read when its turn comes, so that few messages are open at a
 * time and none is anywhere as a whole; SPF's questions do not wait for that.
 *
 * Failures: `deadline`, `internal` (the checks broke); what reading the message throws; what {@link CheckRun.lost} is given.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { type CachedDns, MAX_LOOKUPS, type RecordType } from "./sender-auth-dns.ts";
import type { CheckedSubject, Findings } from "./sender-auth-findings.ts";
import type { CheckLimits } from "./sender-auth-limits.ts";
import type { FromMessage, ToThread } from "./sender-auth-port.ts";
import type { Turns } from "./sender-auth-turns.ts";

/** Of the time of a message: what is left then is for what the thread does with the answers. */
const DNS_SHARE = 0.8;
const RECORD_TYPES: ReadonlySet<string> = new Set<RecordType>(["TXT", "A", "AAAA", "MX", "PTR"]);

/** What a message is to its thread, before any of it is read. */
export interface CheckedMessage {
  readonly subject: CheckedSubject;
  readonly sizeBytes: number;
  /** Undefined: no check reads it. May be called again. @throws {MairustError} `blob_missing`, `blob_damaged`; also while iterating */
  readonly read: (() => AsyncIterable<Uint8Array>) | undefined;
}

export interface RunParts {
  readonly id: number;
  readonly message: CheckedMessage;
  readonly deadline: Deadline;
  readonly limits: CheckLimits;
  readonly dns: CachedDns;
  /** For reading. */
  readonly turns: Turns;
  readonly post: (message: ToThread, transfer?: readonly ArrayBuffer[]) => void;
}

export class CheckRun {
  readonly id: number;
  readonly #parts: RunParts;
  readonly #dnsUntilMs: number;
  readonly #findings: Promise<Findings>;
  #resolve: (findings: Findings) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  /** Gives the turn back, or waits for it no longer. */
  #leave: () => void = () => undefined;
  #hasTurn = false;
  #ahead = 0;
  #isSent = false;
  #lookups = 0;
  /** The thread works at it no longer, or nobody waits for what it does. */
  #isDone = false;
  #isOver = false;
  #wake: () => void = () => undefined;

  constructor(parts: RunParts) {
    this.id = parts.id;
    this.#parts = parts;
    this.#dnsUntilMs = parts.deadline.remainingMs() * (1 - DNS_SHARE);
    this.#findings = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // It may be lost before anybody waits.
    this.#findings.catch(() => undefined);
  }

  /** Octets that the thread has not taken yet, at most. */
  get bytesAhead(): number {
    return this.#ahead * this.#parts.limits.pieceBytes;
  }

  /** Nobody waits for it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  async check(): Promise<Findings> {
    const { id, message, deadline, post } = this.#parts;
    try {
      post({ kind: "check", id, subject: message.subject });
      const sent = this.#send(message.read);
      // Once it is found out, nothing is waited for: not all of it may be wanted.
      return await within(Promise.race([this.#findings, sent.then(() => this.#findings)]), deadline);
    } finally {
      this.#isOver = true;
      this.#wake();
      // What was posted is the thread's until it took it, or is done.
      if (!this.#hasTurn) this.#leave();
      if (!this.#isDone) post({ kind: "drop", id });
    }
  }

  /** The thread said it of this message. */
  receive(message: FromMessage): void {
    switch (message.kind) {
      case "more":
        this.#ahead--;
        break;
      case "enough":
        this.#isSent = true;
        break;
      case "ask":
        void this.#answer(message);
        return;
      case "done":
        this.#forget();
        this.#resolve(message.findings);
        return;
      case "broke":
        this.lost(new MairustError("internal", `Cannot check sender: ${message.why}`));
        return;
    }
    this.#wake();
    this.#leaveIfTaken();
  }

  /** The thread has nothing to say of it. */
  lost(error: Error): void {
    this.#forget();
    this.#reject(error);
  }

  #forget(): void {
    this.#isDone = true;
    this.#ahead = 0;
    this.#isSent = true;
    this.#leave();
    this.#wake();
  }

  async #send(read: CheckedMessage["read"]): Promise<void> {
    const { id, post } = this.#parts;
    if (read !== undefined) {
      await this.#turn();
      if (this.#canSend()) for await (const chunk of read()) if (!(await this.#sendChunk(chunk))) break;
    }
    if (!this.#canSend()) return;
    this.#isSent = true;
    post({ kind: "end", id });
    this.#leaveIfTaken();
  }

  #canSend(): boolean {
    return !this.#isSent && !this.#isOver;
  }

  #turn(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve;
      this.#leave = this.#parts.turns.enter(() => {
        this.#hasTurn = true;
        resolve();
      });
    });
  }

  /** @returns whether more is wanted */
  async #sendChunk(chunk: Uint8Array): Promise<boolean> {
    const { id, post, limits } = this.#parts;
    for (let at = 0; at < chunk.length; at += limits.pieceBytes) {
      while (this.#ahead >= limits.piecesAhead && this.#canSend())
        await new Promise<void>(wake => {
          this.#wake = wake;
        });
      if (!this.#canSend()) return false;
      this.#ahead++;
      // A copy: a view would take all of its memory along, and the memory is not ours to hand over.
      const bytes = new Uint8Array(chunk.subarray(at, at + limits.pieceBytes));
      post({ kind: "bytes", id, bytes }, [bytes.buffer]);
    }
    return this.#canSend();
  }

  #leaveIfTaken(): void {
    if (this.#isSent && this.#ahead === 0) this.#leave();
  }

  /** A question that comes too late, or once too often, has no answer. */
  async #answer({ ask, name, type }: Extract<FromMessage, { kind: "ask" }>): Promise<void> {
    const { id, post } = this.#parts;
    this.#lookups++;
    const isIn = this.#lookups <= MAX_LOOKUPS && RECORD_TYPES.has(type);
    const answer = isIn ? await this.#find(name, type as RecordType) : undefined;
    if (this.#isOver) return;
    if (answer?.kind === "rows") post({ kind: "rows", id, ask, rows: answer.rows });
    else post({ kind: "no_rows", id, ask, code: answer?.kind === "none" ? answer.code : "ETIMEOUT" });
  }

  async #find(name: string, type: RecordType) {
    const { deadline: whole, dns } = this.#parts;
    const leftMs = whole.remainingMs() - this.#dnsUntilMs;
    if (leftMs <= 0 || this.#isOver) return undefined;
    const deadline = deadlineAfter(leftMs, whole);
    try {
      return await within(dns.find(name, type), deadline);
    } catch {
      return undefined;
    } finally {
      deadline.dispose();
    }
  }
}
