/**
 * Makes texts of messages in a process of its own, so that hostile mail can hold up or kill that process and nothing else. A thread would
 * not do: when its heap is full in the middle of one large allocation, V8 ends the whole process (seen with Node.js 24).
 *
 * States: no process ──extract──► starting ──ready──► idle ──request──► busy ──text──► idle; any ──deadline, memory, crash──► none.
 * A process that is too slow, takes too much memory or ends is gone with the message that it worked on; the next message gets a new
 * one. Its heap is bounded by V8, what is handed in bounds the rest. When the service is killed its channel closes, and it ends.
 * Source: Node.js child_process (fork, serialization).
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { MairustError, messageOf } from "../core/errors.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { ExtractRequest, ProcessMessage } from "./extract-protocol.ts";

export interface ExtractorLimits {
  /** For one message. */
  readonly deadlineMs: number;
  readonly heapMb: number;
  /** For a process to start: not the message's fault. */
  readonly startMs: number;
}

export const EXTRACTOR_LIMITS: ExtractorLimits = { deadlineMs: 5_000, heapMb: 256, startMs: 30_000 };

export type Extracted<Text> =
  | ({ readonly kind: "text" } & Text)
  | { readonly kind: "failed"; readonly reason: string };

/** A file of this folder that is a process's entry, in the source and in the build. */
export function processEntry(name: string): URL {
  return new URL(`./${name}${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
}

/** How V8 ends a process whose heap is full. */
const OUT_OF_MEMORY = "SIGABRT";

/** Of pieces of a kind makes a text of a kind, as its process does. */
export class Extractor<Piece, Text> {
  readonly #limits: ExtractorLimits;
  readonly #entry: URL;
  #child: ChildProcess | undefined;

  /** @param entry  of the process */
  constructor(entry: URL, limits: Partial<ExtractorLimits> = {}) {
    this.#limits = { ...EXTRACTOR_LIMITS, ...limits };
    this.#entry = entry;
  }

  /**
   * Make the text of one message; one call at a time. What the message does to the process is a `failed` result.
   * @throws {MairustError} `internal`: the process does not even start
   */
  async extract(request: ExtractRequest<Piece>): Promise<Extracted<Text>> {
    const child = this.#child ?? (await this.#start());
    const deadline = deadlineAfter(this.#limits.deadlineMs);
    const answer = nextMessage<Text>(child);
    try {
      child.send(request);
      const message = await within(answer, deadline);
      if (message.kind !== "text") throw new MairustError("internal", "Cannot read the process's answer");
      return message;
    } catch (error) {
      await this.close();
      return { kind: "failed", reason: deadline.signal.aborted ? "deadline" : reasonOf(error) };
    } finally {
      deadline.dispose();
    }
  }

  /** End the process; a later call starts another. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  async #start(): Promise<ChildProcess> {
    const child = fork(fileURLToPath(this.#entry), [], {
      serialization: "advanced",
      execArgv: [`--max-old-space-size=${this.#limits.heapMb}`],
      // Nothing of the service's environment is needed there, and nothing it says is of use here.
      env: {},
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    yieldToMail(child.pid);
    // A process that ends between two messages says so when the next one is sent.
    child.on("error", () => undefined);
    child.once("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    const deadline = deadlineAfter(this.#limits.startMs);
    try {
      await within(nextMessage(child), deadline);
      return child;
    } catch (error) {
      await this.close();
      throw new MairustError(
        "internal",
        `Cannot start the process for texts of messages: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    } finally {
      deadline.dispose();
    }
  }
}

/** The process ended instead of answering. */
class Ended extends MairustError {
  readonly signal: NodeJS.Signals | null;
  constructor(code: number | null, signal: NodeJS.Signals | null) {
    super("internal", `the process ended with ${signal ?? code}`);
    this.signal = signal;
  }
}

/** @returns what the process says next; rejects when it ends instead */
function nextMessage<Text>(child: ChildProcess): Promise<ProcessMessage<Text>> {
  const heard = new Promise<ProcessMessage<Text>>((resolve, reject) => {
    const onMessage = (message: ProcessMessage<Text>) => {
      off();
      resolve(message);
    };
    const onError = (error: unknown) => {
      off();
      reject(error);
    };
    const onExit = (code: number | null, signal: NodeJS.Signals | null) => onError(new Ended(code, signal));
    const off = () => {
      child.off("message", onMessage);
      child.off("error", onError);
      child.off("exit", onExit);
    };
    child.on("message", onMessage);
    child.on("error", onError);
    child.on("exit", onExit);
  });
  // Nobody may be listening any more when it ends.
  heard.catch(() => undefined);
  return heard;
}

function reasonOf(error: unknown): string {
  if (error instanceof Ended && error.signal === OUT_OF_MEMORY) return "memory";
  return `crashed: ${messageOf(error)}`;
}

/** Where mail and texts want the same processor, mail goes first. */
function yieldToMail(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It ended already, which its next message tells.
  }
}
