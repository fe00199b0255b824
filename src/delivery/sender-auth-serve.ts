/**
 * The inside of a thread that checks senders (message path, step 2): many messages at a time, each by its id. Bytes and the answers of
 * DNS come from the main thread.
 *
 *   main: check ─ bytes… ─ end            thread: more (a piece was taken), enough, ask ─ done
 *
 * A message that is dropped hears that its bytes and answers fail, and is done soon. Nothing of it reaches another one: they share the
 * library's code and no state.
 */
import type { MessagePort } from "node:worker_threads";
import { messageOf } from "../core/errors.ts";
import type { CheckedSubject, Findings, Resolve } from "./sender-auth-findings.ts";
import {
  type FromMessage,
  type FromThread,
  NO_ID,
  STEP_ID,
  STEPS,
  type ToThread,
} from "./sender-auth-port.ts";

export type Evaluate = (
  subject: CheckedSubject,
  content: AsyncIterable<Uint8Array>,
  resolve: Resolve,
) => Promise<Findings>;

/** @param shared  see `sender-auth-port.ts` */
export function serveChecks(port: MessagePort, shared: SharedArrayBuffer, evaluate: Evaluate): void {
  const steps = new Int32Array(shared);
  const open = new Map<number, OneCheck>();
  const post = (message: FromThread) => port.postMessage(message);
  port.on("message", (message: ToThread) => {
    // All that follows from a message, to the last promise, is done before the next one comes.
    Atomics.store(steps, STEP_ID, message.kind === "look" ? NO_ID : message.id);
    Atomics.add(steps, STEPS, 1);
    if (message.kind === "look") return;
    if (message.kind !== "check") return open.get(message.id)?.receive(message);
    const { id, subject } = message;
    const check = new OneCheck(id, post);
    open.set(id, check);
    void evaluate(subject, check, check.resolve)
      .then(
        findings => ({ kind: "done", id, findings }) as const,
        error => ({ kind: "broke", id, why: messageOf(error) }) as const,
      )
      .then(last => {
        open.delete(id);
        post(last);
      });
  });
  post({ kind: "ready" });
}

interface Waiting {
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
}

/** One message: its bytes, to be read once, and its questions. */
class OneCheck implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #id: number;
  readonly #post: (message: FromMessage) => void;
  readonly #asked = new Map<number, Waiting>();
  #lastAsk = 0;
  #pieces: Uint8Array[] = [];
  #state: "open" | "end" | "closed" | "dropped" = "open";
  #wake: () => void = () => undefined;

  constructor(id: number, post: (message: FromMessage) => void) {
    this.#id = id;
    this.#post = post;
  }

  receive(message: Exclude<ToThread, { kind: "check" | "look" }>): void {
    switch (message.kind) {
      case "bytes":
        if (this.#state === "open") this.#pieces.push(message.bytes);
        else this.#taken(1);
        break;
      case "end":
        if (this.#state === "open") this.#state = "end";
        break;
      case "drop":
        this.#close("dropped");
        for (const { reject } of this.#asked.values()) reject(dropped());
        this.#asked.clear();
        break;
      case "rows":
        this.#waiting(message.ask)?.resolve(message.rows);
        break;
      case "no_rows": {
        const error = Object.assign(new Error(`DNS: ${message.code}`), { code: message.code });
        this.#waiting(message.ask)?.reject(error);
        break;
      }
    }
    this.#wake();
  }

  readonly resolve: Resolve = (name, type) =>
    new Promise((resolve, reject) => {
      if (this.#state === "dropped") return reject(dropped());
      const ask = ++this.#lastAsk;
      this.#asked.set(ask, { resolve, reject });
      this.#post({ kind: "ask", id: this.#id, ask, name, type });
    });

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#state === "dropped") throw dropped();
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#taken(1);
        return { value: piece, done: false };
      }
      if (this.#state !== "open") return { value: undefined, done: true };
      await new Promise<void>(wake => {
        this.#wake = wake;
      });
    }
  }

  /** Whoever reads has enough. */
  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#state === "open") this.#post({ kind: "enough", id: this.#id });
    if (this.#state !== "dropped") this.#close("closed");
    return { value: undefined, done: true };
  }

  #close(state: "closed" | "dropped"): void {
    this.#state = state;
    this.#taken(this.#pieces.length);
    this.#pieces = [];
  }

  #taken(pieces: number): void {
    for (let i = 0; i < pieces; i++) this.#post({ kind: "more", id: this.#id });
  }

  #waiting(ask: number): Waiting | undefined {
    const waiting = this.#asked.get(ask);
    this.#asked.delete(ask);
    return waiting;
  }
}

function dropped(): Error {
  return Object.assign(new Error("the message was given up"), { code: "ETIMEOUT" });
}
