/**
 * One process of a script plugin: starts it, shakes hands, makes one call at a time, ends it with everything it started.
 *
 * States and what ends them:
 *   starting ──hello──► ready ──call──► busy ──answer──► ready;  any ──exit, kill, bad output──► ended
 * Output that nobody asked for, a line that is too long or an answer after a kill ends the process: its stream cannot be
 * trusted any more. How it is started, what it may use and how all of it is ended is up to who starts it (`plugin-process.ts`).
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, type PluginError } from "../core/errors.ts";
import type { ScriptSpec } from "../core/hook-plugin.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { MAX_ANSWER_BYTES } from "../wire/answer.ts";
import { callFailure, reasonOf } from "./call-failure.ts";
import { LineReader } from "./line-reader.ts";
import type { PluginProcess, ProcessEnd, StartProcess } from "./plugin-process.ts";
import { checkHello, HELLO } from "./script-hello.ts";
import { readStderr, StderrLines } from "./stderr-lines.ts";

/** How long a process may take to answer the handshake. */
export const HELLO_TIMEOUT_MS = 5000;
/** How long a process may take to leave by itself once its stdin is closed. */
const LEAVE_TIMEOUT_MS = 1000;
/** How long a process may live on after it closed its output. */
const CLOSED_OUTPUT_MS = 200;
const LF = Buffer.from("\n");

interface Pending {
  readonly resolve: (line: Uint8Array) => void;
  readonly reject: (error: MairustError) => void;
}

export interface ScriptEnd {
  /** We wanted it to leave. */
  readonly planned: boolean;
  /** It ended by itself, or by a limit of its sandbox: not by us, for what it answered or did not. */
  readonly crashed: boolean;
  readonly reason: string;
}

export class ScriptProcess {
  /** Resolves when the process is gone and reaped. Never rejects. */
  readonly ended: Promise<ScriptEnd>;
  readonly #spec: ScriptSpec;
  readonly #child: PluginProcess;
  readonly #answers: LineReader;
  readonly #log: StderrLines;
  #pending: Pending | undefined;
  #endReason: string | undefined;
  #planned = false;
  #isEnded = false;
  #calls = 0;
  #readyAt = performance.now();

  /** @throws when no process can be made */
  constructor(spec: ScriptSpec, start: StartProcess) {
    this.#spec = spec;
    this.#log = new StderrLines(spec);
    this.#answers = new LineReader(MAX_ANSWER_BYTES, line => this.#onLine(line));
    this.#child = start(spec);
    this.ended = this.#child.ended.then(end => this.#onExit(end));
    const { stdin, stdout, stderr } = this.#child;
    stdout.on("data", (chunk: Buffer) => this.#onOutput(chunk));
    stdout.once("end", () => this.#onOutputEnd());
    readStderr(stderr, this.#log);
    // A broken pipe shows as the end of the process; the errors themselves say nothing more.
    for (const stream of [stdin, stdout, stderr]) stream.on("error", () => {});
  }

  get isEnded(): boolean {
    return this.#isEnded || this.#endReason !== undefined;
  }

  /** Milliseconds since the handshake. */
  get ageMs(): number {
    return performance.now() - this.#readyAt;
  }

  /** Calls made so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Another should take over before it comes to the end of what it may use. */
  get isWorn(): boolean {
    return this.#child.isWorn === true;
  }

  /** @throws {MairustError} `plugin_failed`, `deadline`; the process has been killed then */
  async handshake(deadline: Deadline): Promise<void> {
    const own = deadlineAfter(HELLO_TIMEOUT_MS, deadline);
    try {
      checkHello(await this.exchange(HELLO, own), this.#spec.pluginId);
      this.#readyAt = performance.now();
    } catch (error) {
      this.kill("the handshake failed");
      throw error;
    } finally {
      own.dispose();
    }
  }

  /**
   * Send one line, wait for one line. When the deadline passes, the process and all it started are killed.
   * @throws {MairustError} `deadline`, `plugin_failed`
   */
  async exchange(line: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    if (this.isEnded) throw this.#failure(this.#endReason ?? "it has ended");
    if (this.#pending !== undefined) throw this.#failure("a call is outstanding");
    // Too late before anything was sent: nobody is to be killed for that.
    deadline.signal.throwIfAborted();
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
    // Corked: one system call for both.
    this.#child.stdin.cork();
    this.#child.stdin.write(line);
    this.#child.stdin.write(LF);
    this.#child.stdin.uncork();
    try {
      return await within(answer, deadline);
    } catch (error) {
      // What it answers from now on would be taken for the answer to the next call.
      if (deadline.signal.aborted) this.kill("the time was over");
      throw error;
    } finally {
      this.#pending = undefined;
    }
  }

  /** One plugin call: as {@link exchange}, counted, and held to the processor time of a call. */
  async call(payload: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    this.#calls++;
    const endCall = this.#child.beginCall();
    try {
      return await this.exchange(payload, deadline);
    } finally {
      endCall();
    }
  }

  /** End it with everything it started. Safe at any time. */
  kill(reason: string): void {
    this.#endReason ??= reason;
    if (!this.#isEnded) this.#child.kill();
  }

  /** Ask it to leave by closing its input; kill it when it does not. */
  async leave(deadline: Deadline): Promise<void> {
    this.#planned = true;
    this.#endReason ??= "it was asked to leave";
    this.#child.stdin.end();
    const own = deadlineAfter(LEAVE_TIMEOUT_MS, deadline);
    try {
      await within(this.ended, own);
    } catch {
      // Only the deadline rejects: then it is not asked any more.
      this.#child.kill();
      await this.ended;
    } finally {
      own.dispose();
    }
  }

  #onOutput(chunk: Buffer): void {
    if (this.isEnded) return;
    try {
      // Nothing may lie about when the next request goes out: a late second answer would be taken for the answer to that.
      if (this.#pending === undefined) throw this.#failure("it wrote what nobody asked for");
      this.#answers.push(chunk);
      if (this.#pending === undefined && this.#answers.heldBytes > 0)
        throw this.#failure("it wrote more than its answer");
    } catch (error) {
      this.#breakOff(error instanceof MairustError ? error : this.#failure(String(error)));
    }
  }

  #onLine(line: Uint8Array): void {
    const pending = this.#pending;
    if (this.isEnded) return;
    if (pending === undefined) throw this.#failure("it wrote more than its answer");
    this.#pending = undefined;
    // The line is handed over after the whole chunk was looked at: a second one voids the first.
    queueMicrotask(() =>
      this.isEnded ? pending.reject(this.#failure(this.#endReason ?? "it has ended")) : pending.resolve(line),
    );
  }

  #breakOff(error: MairustError): void {
    this.kill(reasonOf(error));
    this.#pending?.reject(error);
    this.#pending = undefined;
  }

  /** The end of the process mostly follows at once and says more; one that lives on without output is of no use. */
  async #onOutputEnd(): Promise<void> {
    const soon = deadlineAfter(CLOSED_OUTPUT_MS);
    try {
      await within(this.ended, soon);
    } catch {
      this.kill("it closed its output");
    } finally {
      soon.dispose();
    }
  }

  #onExit({ how, limit }: ProcessEnd): ScriptEnd {
    this.#isEnded = true;
    this.#log.end();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream.destroy();
    const crashed = !this.#planned && (limit !== undefined || this.#endReason === undefined);
    const reason = limit === undefined ? (this.#endReason ?? how) : how;
    this.#endReason = reason;
    this.#pending?.reject(this.#failure(`it ended (${how})`));
    this.#pending = undefined;
    return { planned: this.#planned, crashed, reason };
  }

  #failure(why: string): PluginError {
    return callFailure(this.#spec.pluginId, why);
  }
}
