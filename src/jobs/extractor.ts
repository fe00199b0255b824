/**
 * Makes search texts in a thread of its own, so that hostile mail can hold up or kill that thread and nothing else.
 *
 * States: no thread ──extract──► starting ──ready──► idle ──request──► busy ──text──► idle; any ──deadline, memory, crash──► no thread.
 * A thread that is too slow, takes too much memory or ends is gone with the message that it worked on; the next message gets a new one.
 * `resourceLimits` bound the JavaScript heap, what is handed in bounds the rest. Source: Node.js worker_threads (resourceLimits, terminate).
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { MairustError, messageOf } from "../core/errors.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { ExtractRequest, ThreadMessage } from "./extract-protocol.ts";

export interface ExtractorLimits {
  /** For one message. */
  readonly deadlineMs: number;
  readonly heapMb: number;
  readonly stackMb: number;
  /** For a thread to start: not the message's fault. */
  readonly startMs: number;
}

export const EXTRACTOR_LIMITS: ExtractorLimits = {
  deadlineMs: 5_000,
  heapMb: 256,
  stackMb: 4,
  startMs: 30_000,
};

export type Extracted =
  | { readonly kind: "text"; readonly folded: string; readonly grams: Int32Array; readonly cut: boolean }
  | { readonly kind: "failed"; readonly reason: string };

/** The same file in the source and in the build. */
const THREAD = new URL(`./extract-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

export class Extractor {
  readonly #limits: ExtractorLimits;
  readonly #entry: URL;
  #thread: Worker | undefined;

  /** @param entry  of the thread; another one only in tests */
  constructor(limits: Partial<ExtractorLimits> = {}, entry: URL = THREAD) {
    this.#limits = { ...EXTRACTOR_LIMITS, ...limits };
    this.#entry = entry;
  }

  /**
   * Make the text of one message; one call at a time. What the message does to the thread is a `failed` result.
   * @throws {MairustError} `internal`: the thread does not even start
   */
  async extract(request: ExtractRequest): Promise<Extracted> {
    const thread = this.#thread ?? (await this.#start());
    const deadline = deadlineAfter(this.#limits.deadlineMs);
    const answer = nextMessage(thread);
    try {
      thread.postMessage(request, [request.octets]);
      const message = await within(answer, deadline);
      if (message.kind !== "text") throw new MairustError("internal", "Cannot read the thread's answer");
      return message;
    } catch (error) {
      await this.close();
      return { kind: "failed", reason: deadline.signal.aborted ? "deadline" : reasonOf(error) };
    } finally {
      deadline.dispose();
    }
  }

  /** End the thread; a later call starts another. */
  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.terminate();
  }

  async #start(): Promise<Worker> {
    const { heapMb, stackMb, startMs } = this.#limits;
    const thread = new Worker(this.#entry, {
      name: "search-text",
      resourceLimits: { maxOldGenerationSizeMb: heapMb, stackSizeMb: stackMb },
      // Nothing of the service's environment is needed there.
      env: {},
      stdin: false,
    });
    thread.unref();
    // A thread that ends between two messages says so when the next one is sent.
    thread.on("error", () => undefined);
    thread.once("exit", () => {
      if (this.#thread === thread) this.#thread = undefined;
    });
    this.#thread = thread;
    const deadline = deadlineAfter(startMs);
    try {
      await within(nextMessage(thread), deadline);
      return thread;
    } catch (error) {
      await this.close();
      throw new MairustError("internal", `Cannot start the thread for search texts: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      deadline.dispose();
    }
  }
}

/** @returns what the thread says next; rejects when it ends instead */
function nextMessage(thread: Worker): Promise<ThreadMessage> {
  const heard = new Promise<ThreadMessage>((resolve, reject) => {
    const onMessage = (message: ThreadMessage) => {
      off();
      resolve(message);
    };
    const onError = (error: unknown) => {
      off();
      reject(error);
    };
    const onExit = (code: number) => onError(new MairustError("internal", `the thread ended with ${code}`));
    const off = () => {
      thread.off("message", onMessage);
      thread.off("error", onError);
      thread.off("exit", onExit);
    };
    thread.on("message", onMessage);
    thread.on("error", onError);
    thread.on("exit", onExit);
  });
  // Nobody may be listening any more when it ends.
  heard.catch(() => undefined);
  return heard;
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : `crashed: ${messageOf(error)}`;
}
