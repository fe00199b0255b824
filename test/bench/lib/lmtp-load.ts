/**
 * LMTP load as Postfix makes it: connections are kept, MAIL, RCPT and DATA go out in one write (PIPELINING), then the
 * message, then one reply per recipient is awaited. Used by the benches and by hand:
 *
 *   npx tsx test/bench/lib/lmtp-load.ts inet:127.0.0.1:2424 --sessions 10 --messages 5000 --size 4096 --to user@example.com
 */
import { connect, type Socket } from "node:net";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

export interface LmtpLoadOptions {
  /** "unix:/path" or "inet:host:port". */
  readonly target: string;
  /** Connections at once. */
  readonly sessions: number;
  /** Messages in all. */
  readonly messages: number;
  /** Octets of each message on the wire, header included, about. */
  readonly sizeBytes: number;
  /** RCPT addresses of message `index`. */
  readonly recipients: (index: number) => readonly string[];
  readonly sender?: string;
  /** XFORWARD IDENT of message `index`; absent: no XFORWARD. */
  readonly queueId?: (index: number) => string;
  /** Send every message twice the same way, to measure redelivery; default false: each has its own Message-ID. */
  readonly sameContent?: boolean;
  /** Give up when a reply takes longer. */
  readonly replyTimeoutMs?: number;
}

export interface LmtpLoadResult {
  readonly seconds: number;
  readonly messages: number;
  readonly perSecond: number;
  /** From writing MAIL to the last reply. */
  readonly latencyMs: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
  };
  /** Recipients that were not answered 250, and transactions that broke. */
  readonly failures: number;
  readonly firstFailure: string | undefined;
}

/** Run the load and wait until every message is answered. */
export async function lmtpLoad(options: LmtpLoadOptions): Promise<LmtpLoadResult> {
  const body = makeBody(options.sizeBytes);
  const latencies: number[] = [];
  const failures: string[] = [];
  let failed = 0;
  const fail = (reason: string) => {
    failed += 1;
    if (failures.length < 10) failures.push(reason);
  };
  let next = 0;
  const take = () => (next < options.messages ? next++ : -1);
  const clients = await Promise.all(Array.from({ length: options.sessions }, () => LmtpClient.open(options)));
  const startedAt = performance.now();
  await Promise.all(
    clients.map(async client => {
      for (let index = take(); index >= 0; index = take()) {
        const sentAt = performance.now();
        try {
          for (const line of await client.deliver(index, body)) if (!line.startsWith("250")) fail(line);
        } catch (error) {
          fail(error instanceof Error ? error.message : String(error));
          return;
        }
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const client of clients) client.quit();
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  return {
    seconds,
    messages: latencies.length,
    perSecond: latencies.length / seconds,
    latencyMs: { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) },
    failures: failed,
    firstFailure: failures[0],
  };
}

/** One line for people. */
export function formatLoad(result: LmtpLoadResult): string {
  const { p50, p95 } = result.latencyMs;
  const failures = result.failures === 0 ? "" : `, ${result.failures} FAILED: ${result.firstFailure ?? ""}`;
  return `${Math.round(result.perSecond)} msgs/s (${result.messages} in ${result.seconds.toFixed(2)} s, p50 ${p50.toFixed(2)} ms, p95 ${p95.toFixed(2)} ms${failures})`;
}

/** Base64 lines of 76 characters that do not compress, as attachments do not; the same bytes for the same size. No dot at a line start. */
function makeBody(sizeBytes: number): Buffer {
  const headerBytes = 220;
  const lines = Math.max(1, Math.ceil((sizeBytes - headerBytes) / 78));
  let seed = 1;
  const random = () => {
    // Park and Miller's generator: enough to defeat a compressor.
    seed = (seed * 48_271) % 2_147_483_647;
    return seed & 0xff;
  };
  const line = () => `${Buffer.from(Array.from({ length: 57 }, random)).toString("base64")}\r\n`;
  return Buffer.from(`\r\n${Array.from({ length: lines }, line).join("")}.\r\n`, "latin1");
}

class LmtpClient {
  readonly #socket: Socket;
  readonly #options: LmtpLoadOptions;
  #partial = "";
  readonly #lines: string[] = [];
  #waiting: { count: number; resolve: (lines: string[]) => void; reject: (error: Error) => void } | undefined;
  #broken: Error | undefined;

  private constructor(socket: Socket, options: LmtpLoadOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    socket.setTimeout(options.replyTimeoutMs ?? 60_000, () => socket.destroy(new Error("no reply in time")));
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", error => this.#onEnd(error));
    socket.on("close", () => this.#onEnd(new Error("connection closed")));
  }

  static async open(options: LmtpLoadOptions): Promise<LmtpClient> {
    const client = new LmtpClient(dial(options.target), options);
    const [greeting = ""] = await client.#replies(1);
    if (!greeting.startsWith("220")) throw new Error(`greeting: ${greeting}`);
    client.#socket.write("LHLO load.example\r\n");
    const [lhlo = ""] = await client.#replies(1);
    if (!lhlo.startsWith("250")) throw new Error(`LHLO: ${lhlo}`);
    return client;
  }

  /** @returns the final reply of each recipient */
  async deliver(index: number, body: Buffer): Promise<string[]> {
    const { recipients, sender = "sender@load.example", queueId, sameContent = false } = this.#options;
    const to = recipients(index);
    const xforward = queueId === undefined ? "" : `XFORWARD IDENT=${queueId(index)} SOURCE=REMOTE\r\n`;
    const rcpts = to.map(address => `RCPT TO:<${address}>\r\n`).join("");
    this.#socket.write(`${xforward}MAIL FROM:<${sender}>\r\n${rcpts}DATA\r\n`);
    const answers = await this.#replies((xforward === "" ? 0 : 1) + 1 + to.length + 1);
    const data = answers.at(-1) ?? "";
    if (!data.startsWith("354")) {
      this.#socket.write("RSET\r\n");
      await this.#replies(1);
      return answers.filter(line => !line.startsWith("250"));
    }
    const refused = answers.slice(0, -1).filter(line => !line.startsWith("250"));
    const id = sameContent ? 0 : index;
    this.#socket.cork();
    this.#socket.write(
      `Received: from load.example by load.example with ESMTP id ${id}; Mon, 1 Jan 2024 00:00:00 +0000\r\n` +
        `From: <${sender}>\r\nTo: <${to[0] ?? ""}>\r\nSubject: load ${id}\r\nMessage-ID: <${id}.${process.pid}@load.example>\r\n` +
        "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n",
      "latin1",
    );
    this.#socket.write(body);
    this.#socket.uncork();
    const results = await this.#replies(to.length - refused.length);
    return refused.concat(results);
  }

  quit(): void {
    this.#socket.end("QUIT\r\n");
  }

  /** Wait for `count` replies; of a multi-line one the last line counts. */
  #replies(count: number): Promise<string[]> {
    if (this.#lines.length >= count) return Promise.resolve(this.#lines.splice(0, count));
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiting = { count, resolve, reject };
    });
  }

  #onData(chunk: Buffer): void {
    const text = this.#partial + chunk.toString("latin1");
    const lines = text.split("\r\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) if (line[3] !== "-") this.#lines.push(line);
    const waiting = this.#waiting;
    if (waiting === undefined || this.#lines.length < waiting.count) return;
    this.#waiting = undefined;
    waiting.resolve(this.#lines.splice(0, waiting.count));
  }

  #onEnd(error: Error): void {
    this.#broken ??= error;
    this.#waiting?.reject(this.#broken);
    this.#waiting = undefined;
  }
}

function dial(target: string): Socket {
  const unix = /^unix:(.+)$/u.exec(target)?.[1];
  if (unix !== undefined) return connect(unix);
  const inet = /^inet:(.+):(\d+)$/u.exec(target);
  if (inet === null) throw new Error(`Cannot read target "${target}": expected unix:/path or inet:host:port`);
  return connect(Number(inet[2]), (inet[1] ?? "").replace(/^\[|\]$/gu, ""));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      sessions: { type: "string", default: "10" },
      messages: { type: "string", default: "1000" },
      size: { type: "string", default: "4096" },
      to: { type: "string", multiple: true, default: ["user@example.com"] },
      copies: { type: "string", default: "1" },
    },
  });
  const addresses = values.to;
  const copies = Number(values.copies);
  const result = await lmtpLoad({
    target: positionals[0] ?? "inet:127.0.0.1:2424",
    sessions: Number(values.sessions),
    messages: Number(values.messages),
    sizeBytes: Number(values.size),
    recipients: i => Array.from({ length: copies }, (_, n) => addresses[(i + n) % addresses.length] ?? ""),
  });
  console.log(formatLoad(result));
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) await main();
