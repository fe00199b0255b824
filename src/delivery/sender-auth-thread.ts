/**
 * Entry of the thread that checks senders (message path, step 2): one message at a time, its bytes and the answers of DNS come from
 * the main thread, which ends the thread when a message takes too long.
 *
 *   main: check ─ bytes… ─ end            thread: more (room for another chunk), ask ─ done
 */
import { parentPort } from "node:worker_threads";
import { evaluate } from "./sender-auth-evaluate.ts";
import type { CheckedSubject, Findings, Resolve } from "./sender-auth-findings.ts";

export type ToThread =
  | { readonly kind: "check"; readonly subject: CheckedSubject }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "broken" }
  | { readonly kind: "rows"; readonly ask: number; readonly rows: readonly unknown[] }
  | { readonly kind: "no_rows"; readonly ask: number; readonly code: string };

export type FromThread =
  | { readonly kind: "more" }
  | { readonly kind: "ask"; readonly ask: number; readonly name: string; readonly type: string }
  | { readonly kind: "done"; readonly findings: Findings };

interface Waiting {
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
}

class Thread {
  readonly #post: (message: FromThread) => void;
  readonly #asked = new Map<number, Waiting>();
  #ask = 0;
  #chunks: Uint8Array[] = [];
  #end: "no" | "end" | "broken" = "no";
  #wake: () => void = () => undefined;

  constructor(post: (message: FromThread) => void) {
    this.#post = post;
  }

  receive(message: ToThread): void {
    switch (message.kind) {
      case "check":
        this.#chunks = [];
        this.#end = "no";
        void this.#check(message.subject);
        break;
      case "bytes":
        this.#chunks.push(message.bytes);
        this.#wake();
        break;
      case "end":
      case "broken":
        this.#end = message.kind;
        this.#wake();
        break;
      case "rows":
        this.#take(message.ask)?.resolve(message.rows);
        break;
      case "no_rows": {
        const error = Object.assign(new Error(`DNS: ${message.code}`), { code: message.code });
        this.#take(message.ask)?.reject(error);
        break;
      }
    }
  }

  async #check(subject: CheckedSubject): Promise<void> {
    const findings = await evaluate(subject, this.#bytes(), this.#resolve);
    this.#asked.clear();
    this.#post({ kind: "done", findings });
  }

  async *#bytes(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#post({ kind: "more" });
        yield chunk;
        continue;
      }
      if (this.#end === "broken") throw new Error("the message could not be read");
      if (this.#end === "end") return;
      await new Promise<void>(wake => {
        this.#wake = wake;
      });
    }
  }

  #take(ask: number): Waiting | undefined {
    const waiting = this.#asked.get(ask);
    this.#asked.delete(ask);
    return waiting;
  }

  readonly #resolve: Resolve = (name, type) =>
    new Promise((resolve, reject) => {
      const ask = this.#ask++;
      this.#asked.set(ask, { resolve, reject });
      this.#post({ kind: "ask", ask, name, type });
    });
}

if (parentPort !== null) {
  const port = parentPort;
  const thread = new Thread(message => port.postMessage(message));
  port.on("message", (message: ToThread) => thread.receive(message));
}
