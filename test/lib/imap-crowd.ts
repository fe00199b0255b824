/**
 * A crowd of IMAP sessions on one mailbox: many in IDLE, some that read all the time, while mail is delivered. Each session in IDLE must be
 * told of each message; when it was is a figure. The clients do next to nothing, so that the figures are the server's.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { sleep } from "../../src/platform/deadline.ts";
import { MailDialog } from "./mail-dialog.ts";

/** Sessions that are opened at a time: fewer than strangers may be there. */
const AT_ONCE = 20;
/** How long the last message may take to reach everybody before it counts as lost. */
const LAST_MS = 60_000;
const POLL_MS = 5;
/** Messages before the newest that a reader asks for. */
const READ_BACK = 20;

export interface CrowdOptions {
  readonly imap: { readonly port: number; readonly tls: boolean };
  readonly lmtpPort: number;
  /** As master user, for `address`. */
  readonly login: { readonly user: string; readonly password: string };
  readonly address: string;
  readonly idle: number;
  readonly reading: number;
  readonly deliveries: number;
  /** Between two deliveries. */
  readonly pauseMs: number;
  /** MiB of the service, asked before there is anybody and when all are in IDLE; what it needs to be settled is its own affair. */
  readonly memory: () => Promise<number>;
}

export interface CrowdReport {
  readonly idle: number;
  readonly reading: number;
  readonly delivered: number;
  /** Of idle × delivered, those that were told. */
  readonly told: number;
  readonly missed: number;
  /** From the reply to LMTP to the line in IDLE, of all that were told. */
  readonly ms: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Whole messages that the readers got meanwhile. */
  readonly read: number;
  readonly perIdleMiB: number;
}

export async function imapCrowd(options: CrowdOptions): Promise<CrowdReport> {
  const before = await options.memory();
  const open = () => CrowdSession.open(options);
  const idlers = await inTurns(options.idle, open);
  for (const session of idlers) await session.idle();
  const perIdleMiB = ((await options.memory()) - before) / Math.max(1, options.idle);
  const readers = await inTurns(options.reading, open);
  const state = { over: false, read: 0 };
  const reading = readers.map(async session => {
    while (!state.over) state.read += await session.readSome();
  });
  try {
    const replied = await deliver(options);
    const end = performance.now() + LAST_MS;
    while (performance.now() < end && idlers.some(session => session.told.length < replied.length))
      await sleep(POLL_MS);
    state.over = true;
    await Promise.all(reading);
    const times = idlers.flatMap(({ told }) => told.map((at, i) => at - (replied[i] ?? at)));
    return {
      ...{ idle: idlers.length, reading: readers.length, delivered: replied.length },
      ...{ told: times.length, missed: idlers.length * replied.length - times.length },
      ...{ ms: quantiles(times), read: state.read, perIdleMiB },
    };
  } finally {
    state.over = true;
    for (const session of [...idlers, ...readers]) session.cut();
    await Promise.allSettled(reading);
  }
}

/** @returns when each was answered 250 */
async function deliver({ lmtpPort, address, deliveries, pauseMs }: CrowdOptions): Promise<readonly number[]> {
  const dialog = await MailDialog.open(lmtpPort, "lmtp");
  const replied: number[] = [];
  // Another run's queue ids would be deliveries that are there already.
  const run = Date.now().toString(36).toUpperCase();
  for (let i = 0; i < deliveries; i++) {
    const message = Buffer.from(`Subject: crowd ${i}\r\n\r\n${"text ".repeat(200)}\r\n`);
    const [reply] = await dialog.submit({
      from: "crowd@example.org",
      to: [address],
      message,
      queueId: `CR${run}${i}`,
    });
    if (reply?.startsWith("250") !== true) throw new Error(`not delivered: ${reply}`);
    replied.push(performance.now());
    await sleep(pauseMs);
  }
  dialog.close();
  return replied;
}

async function inTurns<T>(count: number, make: () => Promise<T>): Promise<readonly T[]> {
  const made: T[] = [];
  while (made.length < count)
    made.push(...(await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - made.length) }, make))));
  return made;
}

function quantiles(times: readonly number[]): CrowdReport["ms"] {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}

class CrowdSession {
  readonly #socket: Socket;
  #text = "";
  #isClosed = false;
  #wake: () => void = () => undefined;
  /** Messages in the mailbox, as far as it was told. */
  #exists = 0;
  #isIdle = false;
  /** In IDLE: when each new message was told, in their order. */
  readonly told: number[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    const closed = () => {
      this.#isClosed = true;
      this.#wake();
    };
    socket.on("error", closed).on("close", closed);
    socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      if (this.#isIdle) this.#hear();
      else this.#wake();
    });
  }

  static async open({ imap, login, address }: CrowdOptions): Promise<CrowdSession> {
    const socket = imap.tls
      ? connectTls({ port: imap.port, host: "127.0.0.1", rejectUnauthorized: false })
      : connect(imap.port, "127.0.0.1");
    await once(socket, imap.tls ? "secureConnect" : "connect");
    const session = new CrowdSession(socket);
    const plain = Buffer.from(`${address}\0${login.user}\0${login.password}`).toString("base64");
    await session.#command(`AUTHENTICATE PLAIN ${plain}`);
    session.#exists = Number(/^\* (\d+) EXISTS\r/mu.exec(await session.#command("SELECT INBOX"))?.[1]);
    await session.#command("FETCH 1:* (FLAGS)");
    return session;
  }

  async idle(): Promise<void> {
    this.#socket.write("i IDLE\r\n");
    await this.#until(text => /^\+ /mu.test(text));
    this.#isIdle = true;
    this.#hear();
  }

  /** @returns how many messages came */
  async readSome(): Promise<number> {
    const answer = await this.#command(`FETCH ${Math.max(1, this.#exists - READ_BACK)}:* (BODY.PEEK[])`);
    return answer.match(/^\* \d+ FETCH /gmu)?.length ?? 0;
  }

  cut(): void {
    this.#socket.destroy();
  }

  /** @throws when the answer is not OK */
  async #command(text: string): Promise<string> {
    this.#text = "";
    this.#socket.write(`c ${text}\r\n`);
    const answer = await this.#until(said =>
      /(?:^|\r\n)c (?:OK|NO|BAD) [^\r\n]*\r\n$/u.test(said.slice(-2000)),
    );
    if (!/(?:^|\r\n)c OK [^\r\n]*\r\n$/u.test(answer.slice(-2000)))
      throw new Error(`${text}: ${answer.slice(-200)}`);
    return answer;
  }

  async #until(isThere: (text: string) => boolean): Promise<string> {
    while (!isThere(this.#text)) {
      if (this.#isClosed) throw new Error(`closed after "${this.#text.slice(-200)}"`);
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    return this.#text;
  }

  #hear(): void {
    const end = this.#text.lastIndexOf("\r\n") + 2;
    const now = performance.now();
    for (const [, count] of this.#text.slice(0, end).matchAll(/^\* (\d+) EXISTS\r/gmu))
      for (; this.#exists < Number(count); this.#exists += 1) this.told.push(now);
    this.#text = this.#text.slice(end);
  }
}
