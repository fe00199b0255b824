/**
 * A connection that does nothing but APPEND. The client library takes a message only as one block of memory and sends one at a time;
 * here bytes go out as they come, several messages are on their way where the server takes literals without asking (LITERAL+), and
 * each answer says the UID there (UIDPLUS). Login and TLS are the library's.
 *
 * A message whose bytes break off ends the connection: a literal that is not complete never becomes a message.
 * Sources: RFC 3501 §6.3.11, RFC 4315 §3, RFC 7888 §4.
 */
import type { Socket } from "node:net";
import { encodeModifiedUtf7 } from "../core/modified-utf7.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { ImapLogin, RateLimit } from "../wire/transfer-calls.ts";
import { connectImap } from "./imap-login.ts";
import { ConnectionLost } from "./imap-session.ts";

/** Messages without an answer. A killed export's are still stored by the server after it is gone. */
const MAX_UNANSWERED = 8;
const MAX_UNANSWERED_BYTES = 1024 * 1024;
/** Largest line of an answer. */
const MAX_LINE_BYTES = 64 * 1024;
/** For one answer. */
const ANSWER_MS = 300_000;

export interface OutgoingMessage {
  readonly flags: readonly string[];
  readonly date: Date;
  readonly sizeBytes: number;
  /** Exactly `sizeBytes`. */
  readonly content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

export type Appended =
  | { readonly kind: "appended"; readonly uid: number | undefined }
  | { readonly kind: "refused"; readonly code: string; readonly text: string };

interface Waiting {
  readonly bytes: number;
  readonly answer: Promise<Appended>;
  readonly settle: (result: Appended) => void;
  readonly fail: (error: unknown) => void;
}

export class AppendConnection {
  readonly #socket: Socket;
  readonly #isPipelined: boolean;
  readonly #rate: RateLimit;
  readonly #waiting = new Map<string, Waiting>();
  #continued: (() => void) | undefined;
  #lost: ConnectionLost | undefined;
  #line: Buffer = Buffer.alloc(0);
  /** Octets of a literal in an answer that are passed over. */
  #skip = 0;
  #tags = 0;

  private constructor(socket: Socket, isPipelined: boolean, rate: RateLimit) {
    this.#socket = socket;
    this.#isPipelined = isPipelined;
    this.#rate = rate;
    socket.on("data", chunk => this.#take(chunk));
    socket.on("error", error => this.#end(error.message));
    socket.on("close", () => this.#end("closed"));
    // A message is several small writes, and each of them would wait for the answer to the one before.
    socket.setNoDelay(true);
    socket.resume();
  }

  /** @throws {MairustError} `auth_failed`, `store_unavailable` */
  static async connect(login: ImapLogin, rate: RateLimit): Promise<AppendConnection> {
    // Names of folders go as RFC 3501 has them, answers come uncompressed.
    const client = await connectImap(login, {
      disableCompression: true,
      disableAutoEnable: true,
      disableIMAP4rev2: true,
    });
    const isPipelined = client.capabilities.has("LITERAL+");
    return new AppendConnection(client.unbind().socket, isPipelined, rate);
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  close(): void {
    if (this.#lost === undefined) this.#socket.write("zz LOGOUT\r\n");
    this.#socket.end();
    this.#socket.unref();
  }

  /**
   * Send one. Resolves when it is sent; its answer comes in its turn.
   * @throws {ConnectionLost} what has no answer may be there or not
   */
  async send(path: string, message: OutgoingMessage): Promise<{ readonly answer: Promise<Appended> }> {
    await this.#room(message.sizeBytes);
    const tag = `a${++this.#tags}`;
    const waiting = this.#expect(tag, message.sizeBytes);
    const name = quoted(encodeModifiedUtf7(path));
    const command = `${tag} APPEND ${name} (${message.flags.join(" ")}) "${dateTime(message.date)}"`;
    const isAsking = !this.#isPipelined;
    const go = isAsking ? this.#continuation() : undefined;
    await this.#write(Buffer.from(`${command} {${message.sizeBytes}${isAsking ? "" : "+"}}\r\n`, "latin1"));
    // Without asking first the server may refuse before it has seen the bytes.
    const isRefused =
      go !== undefined && (await this.#answerOf(Promise.race([go, waiting.answer]))) !== undefined;
    if (!isRefused) await this.#content(message);
    return { answer: this.#answerOf(waiting.answer) };
  }

  async #content({ content, sizeBytes }: OutgoingMessage): Promise<void> {
    let left = sizeBytes;
    try {
      for await (const chunk of content) {
        left -= chunk.length;
        if (left < 0) break;
        await this.#rate.take(chunk.length);
        await this.#write(chunk);
      }
    } catch (error) {
      this.#socket.destroy();
      this.#end("the message broke off");
      throw error;
    }
    if (left !== 0) {
      this.#socket.destroy();
      this.#end("the message has another size than was said");
      throw new Error(`it has ${sizeBytes - left} octets, not ${sizeBytes}`);
    }
    await this.#write(CRLF);
  }

  #expect(tag: string, bytes: number): Waiting {
    if (this.#lost !== undefined) throw this.#lost;
    let settle: Waiting["settle"] = () => undefined;
    let fail: Waiting["fail"] = () => undefined;
    const answer = new Promise<Appended>((resolve, reject) => {
      settle = resolve;
      fail = reject;
    });
    // Heard by whoever waits for it.
    answer.catch(() => undefined);
    const waiting = { bytes, answer, settle, fail };
    this.#waiting.set(tag, waiting);
    return waiting;
  }

  /** A literal that nobody asked for may follow only while little is under way. */
  async #room(bytes: number): Promise<void> {
    const sum = () => [...this.#waiting.values()].reduce((all, one) => all + one.bytes, bytes);
    while (this.#waiting.size >= MAX_UNANSWERED || (this.#waiting.size > 0 && sum() > MAX_UNANSWERED_BYTES)) {
      const [first] = this.#waiting.values();
      if (first !== undefined) await this.#answerOf(first.answer);
    }
    if (this.#lost !== undefined) throw this.#lost;
  }

  async #answerOf<T>(answer: Promise<T>): Promise<T> {
    const deadline = deadlineAfter(ANSWER_MS);
    try {
      return await within(answer, deadline);
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      this.#socket.destroy();
      this.#end("no answer in time");
      throw this.#lost;
    } finally {
      deadline.dispose();
    }
  }

  #continuation(): Promise<undefined> {
    return new Promise(resolve => {
      this.#continued = () => resolve(undefined);
    });
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#socket.write(bytes)) return;
    await new Promise<void>(resolve => {
      const done = () => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  #end(why: string): void {
    this.#lost ??= new ConnectionLost(`the connection broke: ${why}`);
    for (const { fail } of this.#waiting.values()) fail(this.#lost);
    this.#waiting.clear();
  }

  #take(chunk: Buffer): void {
    const skipped = Math.min(this.#skip, chunk.length);
    this.#skip -= skipped;
    let rest =
      this.#line.length === 0
        ? chunk.subarray(skipped)
        : Buffer.concat([this.#line, chunk.subarray(skipped)]);
    for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
      const line = rest.subarray(0, end).toString("latin1");
      rest = rest.subarray(end + 2);
      const literal = /\{(\d+)\}$/u.exec(line);
      if (literal !== null) {
        const bytes = Number(literal[1]);
        this.#skip = Math.max(0, bytes - rest.length);
        rest = rest.subarray(Math.min(bytes, rest.length));
      } else this.#answered(line);
    }
    this.#line = rest;
    if (rest.length <= MAX_LINE_BYTES) return;
    this.#socket.destroy();
    this.#end("an answer is too long");
  }

  #answered(line: string): void {
    if (line.startsWith("+")) {
      this.#continued?.();
      return;
    }
    const match = /^(\S+) (OK|NO|BAD)\b ?(.*)$/iu.exec(line);
    const waiting = this.#waiting.get(match?.[1] ?? "");
    if (match === null || waiting === undefined) return;
    this.#waiting.delete(match[1] ?? "");
    const text = Buffer.from(match[3] ?? "", "latin1").toString("utf8");
    const code = /^\[([^\]\s]+)([^\]]*)\]/u.exec(text);
    if (match[2]?.toUpperCase() !== "OK") {
      waiting.settle({ kind: "refused", code: (code?.[1] ?? "").toUpperCase(), text });
      return;
    }
    const uid = code?.[1]?.toUpperCase() === "APPENDUID" ? /^ \d+ (\d+)$/u.exec(code[2] ?? "") : null;
    waiting.settle({ kind: "appended", uid: uid === null ? undefined : Number(uid[1]) });
  }
}

const CRLF = Buffer.from("\r\n");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const quoted = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** RFC 3501 §9 date-time, in UTC. */
export function dateTime(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = String(date.getUTCDate()).padStart(2, " ");
  const year = String(date.getUTCFullYear()).padStart(4, "0");
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(":");
  return `${day}-${MONTHS[date.getUTCMonth()]}-${year} ${time} +0000`;
}
