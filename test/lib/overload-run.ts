/**
 * Overload of one sidecar by LMTP (quality R8): all connections it allows, more that it refuses, peers that write and read slowly, and
 * mail at many times the rate that it can take. Every 250 is looked for afterwards.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { MailDialog } from "./mail-dialog.ts";
import { openEmbedded } from "./promises-store.ts";
import type { Sidecar } from "./sidecar.ts";

const CONNECTIONS = 500;
const SLOW_WRITERS = 50;
const SLOW_READERS = 50;
const REFUSED = 20;
const ACCOUNTS = 20;
const BODY_BYTES = 2_000;
/** To find out what it takes: sessions and time. */
const USUAL_SESSIONS = 10;
const USUAL_MS = 2_000;
const FACTOR = 10;
/** Commands that a slow reader sends at once, and octets a slow writer sends at a time, and between them. */
const UNREAD_COMMANDS = 20_000;
const DRIP_BYTES = 3;
const DRIP_MS = 200;
/** Single deliveries of which the median is taken, and how much slower than before is normal again. */
const PROBES = 11;
const NORMAL_FACTOR = 3;
const NORMAL_MS = 25;
const RECOVERY_MS = 120_000;
const OPEN_MS = 60_000;

export interface OverloadReport {
  /** Messages per second: with ten sessions, and of all sessions under overload. */
  readonly sustainable: number;
  readonly offered: number;
  readonly taken: number;
  /** Replies by their code, and connections that were refused with 4xx. */
  readonly replies: Readonly<Record<string, number>>;
  readonly refusedConnections: number;
  readonly slowWritersAnswered: number;
  /** Every 250, and of them those that are stored once, not at all, more than once. */
  readonly accepted: number;
  readonly kept: number;
  readonly lost: number;
  readonly doubles: number;
  readonly isSameProcess: boolean;
  /** Most resident memory of the process, MiB. */
  readonly peakMiB: number;
  readonly usualMs: number;
  /** From the end of the overload until a single delivery takes as long as before; undefined: never. */
  readonly recoveryMs: number | undefined;
}

export async function overloadRun(sidecar: Sidecar, seconds: number): Promise<OverloadReport> {
  return new Overload(sidecar).run(seconds);
}

class Overload {
  readonly #sidecar: Sidecar;
  readonly #pid: number;
  readonly #accepted = new Set<string>();
  readonly #replies = new Map<string, number>();
  #count = 0;

  constructor(sidecar: Sidecar) {
    this.#sidecar = sidecar;
    this.#pid = sidecar.pid;
  }

  async run(seconds: number): Promise<OverloadReport> {
    const usual = await this.#send(USUAL_SESSIONS, USUAL_MS, Number.POSITIVE_INFINITY);
    const sustainable = Math.round((usual.taken * 1000) / USUAL_MS);
    const usualMs = await this.#latency();
    const writers = await Promise.all(Array.from({ length: SLOW_WRITERS }, () => this.#slowWriter(seconds)));
    const readers = await Promise.all(Array.from({ length: SLOW_READERS }, () => this.#slowReader()));
    const sessions = CONNECTIONS - SLOW_WRITERS - SLOW_READERS;
    let refusing: Promise<number> = Promise.resolve(0);
    const { offered, taken } = await this.#send(sessions, seconds * 1000, sustainable * FACTOR, () => {
      refusing = this.#refused();
    });
    const refusedConnections = await refusing;
    const endedAt = performance.now();
    const recoveryMs = await this.#recovered(usualMs, endedAt);
    const answers = await Promise.all(writers.map(writer => writer.finish()));
    for (const reader of readers) reader.destroy();
    return {
      ...{ sustainable, offered, taken, refusedConnections, usualMs, recoveryMs },
      replies: Object.fromEntries([...this.#replies].sort()),
      slowWritersAnswered: answers.filter(answer => /^[24]\d\d /u.test(answer)).length,
      ...(await this.#stored()),
      isSameProcess: this.#sidecar.running() && this.#sidecar.pid === this.#pid,
      peakMiB: peakMiB(this.#pid),
    };
  }

  /**
   * @param perSecond  messages that want to be sent; each waits until a session is free
   * @param onOpen     all sessions are open
   */
  async #send(
    sessions: number,
    ms: number,
    perSecond: number,
    onOpen: () => void = () => undefined,
  ): Promise<{ readonly offered: number; readonly taken: number }> {
    const dialogs = await Promise.all(Array.from({ length: sessions }, () => this.#opened()));
    const startedAt = performance.now();
    const state = { begun: 0, taken: 0 };
    const isOver = () => performance.now() - startedAt >= ms;
    const isDue = () => state.begun < ((performance.now() - startedAt) * perSecond) / 1000;
    const session = async (first: MailDialog) => {
      let dialog: MailDialog | undefined = first;
      while (!isOver()) {
        if (!isDue()) {
          await sleep(1);
          continue;
        }
        state.begun += 1;
        if (dialog === undefined || !dialog.usable) dialog = await this.#open();
        if (dialog !== undefined && (await this.#deliver(dialog))) state.taken += 1;
      }
      dialog?.close();
    };
    onOpen();
    await Promise.all(dialogs.map(session));
    const offered =
      perSecond === Number.POSITIVE_INFINITY ? state.begun : Math.round((ms * perSecond) / 1000);
    return { offered, taken: state.taken };
  }

  /** Connections that were closed a moment ago may still be counted: then this one is refused, and tried again. */
  async #opened(): Promise<MailDialog> {
    for (const end = performance.now() + OPEN_MS; ; ) {
      const dialog = await this.#open();
      if (dialog !== undefined) return dialog;
      if (performance.now() > end) throw new Error(`no session within ${OPEN_MS} ms`);
    }
  }

  async #open(): Promise<MailDialog | undefined> {
    try {
      return await MailDialog.open(this.#sidecar.lmtpPort, "lmtp");
    } catch (error) {
      this.#note(/\b([45]\d\d)\b/u.exec(String(error))?.[1] ?? "no greeting");
      await sleep(10);
      return undefined;
    }
  }

  /** @returns whether it was taken */
  async #deliver(dialog: MailDialog): Promise<boolean> {
    const { queueId, to, message } = this.#next();
    const [reply] = await dialog.submit({ from: "sender@example.org", to: [to], message, queueId });
    this.#note(reply?.slice(0, 3) ?? "no reply");
    if (reply?.startsWith("250") === true) this.#accepted.add(queueId);
    return reply?.startsWith("250") === true;
  }

  #next(): { readonly queueId: string; readonly to: string; readonly message: Buffer } {
    this.#count += 1;
    const queueId = `O${this.#count.toString(36).toUpperCase().padStart(7, "0")}`;
    const to = `user${this.#count % ACCOUNTS}@example.test`;
    const text = `From: sender@example.org\r\nTo: ${to}\r\nSubject: ${queueId}\r\n\r\n${"x".repeat(70)}\r\n${queueId.repeat(BODY_BYTES / 8)}\r\n`;
    return { queueId, to, message: Buffer.from(text.replace(/(.{500})/gu, "$1\r\n"), "latin1") };
  }

  #note(reply: string): void {
    this.#replies.set(reply, (this.#replies.get(reply) ?? 0) + 1);
  }

  async #refused(): Promise<number> {
    let refused = 0;
    for (let i = 0; i < REFUSED; i++) {
      const reply = await greeting(this.#sidecar.lmtpPort);
      if (/^4\d\d /u.test(reply)) refused += 1;
    }
    return refused;
  }

  /** Begins a message, and writes it a few octets at a time until it is told to finish. */
  async #slowWriter(seconds: number): Promise<{ finish(): Promise<string> }> {
    const { queueId, to } = this.#next();
    const socket = connect(this.#sidecar.lmtpPort, "127.0.0.1");
    const said = collect(socket);
    socket.write(
      `LHLO slow\r\nXFORWARD IDENT=${queueId}\r\nMAIL FROM:<s@example.org>\r\nRCPT TO:<${to}>\r\nDATA\r\n`,
    );
    const isOver = { yes: false };
    const drips = (async () => {
      for (let ms = 0; !isOver.yes && ms < seconds * 2000; ms += DRIP_MS) {
        socket.write("y".repeat(DRIP_BYTES));
        await sleep(DRIP_MS);
      }
    })();
    return {
      finish: async () => {
        isOver.yes = true;
        await drips;
        socket.end(`\r\nSubject: ${queueId}\r\n\r\nslow\r\n.\r\nQUIT\r\n`);
        const [last = ""] = (await said)
          .split("\r\n")
          .filter(line => /^(?:250 2\.0\.0 stored|[45]\d\d )/u.test(line));
        if (last.startsWith("250")) this.#accepted.add(queueId);
        return last;
      },
    };
  }

  /** Asks for very much, and reads nothing. */
  async #slowReader(): Promise<Socket> {
    const socket = connect(this.#sidecar.lmtpPort, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(`LHLO slow\r\n${"NOOP\r\n".repeat(UNREAD_COMMANDS)}`);
    return socket;
  }

  async #recovered(usualMs: number, endedAt: number): Promise<number | undefined> {
    const end = deadlineAfter(RECOVERY_MS);
    try {
      while (end.remainingMs() > 0)
        if ((await this.#latency()) <= usualMs * NORMAL_FACTOR + NORMAL_MS)
          return Math.round(performance.now() - endedAt);
      return undefined;
    } finally {
      end.dispose();
    }
  }

  /** Median ms of single deliveries. */
  async #latency(): Promise<number> {
    const dialog = await this.#open();
    if (dialog === undefined) return Number.POSITIVE_INFINITY;
    const times: number[] = [];
    for (let i = 0; i < PROBES; i++) {
      const startedAt = performance.now();
      const isTaken = await this.#deliver(dialog);
      times.push(isTaken ? performance.now() - startedAt : Number.POSITIVE_INFINITY);
    }
    dialog.close();
    return times.sort((a, b) => a - b)[Math.floor(PROBES / 2)] ?? Number.POSITIVE_INFINITY;
  }

  async #stored(): Promise<Pick<OverloadReport, "accepted" | "kept" | "lost" | "doubles">> {
    const db = await openEmbedded(join(this.#sidecar.dir, "data"));
    const deadline = deadlineAfter(RECOVERY_MS);
    try {
      const rows = await db.query<{ queue_id: string; copies: number }>`
        select g.queue_id, count(*)::int as copies from entries e join messages g using (message_id) group by 1`;
      const copies = new Map(rows.map(row => [row.queue_id, row.copies]));
      const of = (is: (n: number) => boolean) =>
        [...this.#accepted].filter(id => is(copies.get(id) ?? 0)).length;
      return {
        accepted: this.#accepted.size,
        kept: of(n => n === 1),
        lost: of(n => n === 0),
        doubles: rows.filter(row => row.copies > 1).length,
      };
    } finally {
      await db.close(deadline);
      deadline.dispose();
    }
  }
}

function collect(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", chunk => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => undefined);
  return new Promise(resolve => socket.on("close", () => resolve(text)));
}

/** What a new connection hears first. */
async function greeting(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const said = collect(socket);
  const first = new Promise<void>(resolve => socket.once("data", () => resolve()));
  await Promise.race([first, said]);
  socket.end("QUIT\r\n");
  return said;
}

/** proc(5), VmHWM. */
function peakMiB(pid: number): number {
  const kib = /^VmHWM:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}

/** Most resident memory, MiB. */
const MAX_MIB = 400;
/** Options of a sidecar for this run. */
export const OVERLOADED = { lmtp: `connections = ${CONNECTIONS}\n`, logLevel: "warn" } as const;

/** @returns promises that were not kept, whatever the machine's speed */
export function keptUnderOverload(report: OverloadReport): readonly string[] {
  const forGood = Object.keys(report.replies).filter(reply => reply.startsWith("5"));
  const checks: ReadonlyArray<readonly [isKept: boolean, promise: string]> = [
    [report.isSameProcess, "it did not crash"],
    [report.lost === 0 && report.kept === report.accepted, "every 250 is kept"],
    [report.doubles === 0, "nothing is there twice"],
    [forGood.length === 0, "nobody is refused for good"],
    [report.refusedConnections === REFUSED, "connections beyond the limit are told to come again"],
    [report.slowWritersAnswered === SLOW_WRITERS, "who writes slowly is answered"],
    [report.peakMiB <= MAX_MIB, `memory stays below ${MAX_MIB} MiB`],
    [report.recoveryMs !== undefined, "it is as fast as before when it is over"],
  ];
  return checks.filter(([isKept]) => !isKept).map(([, promise]) => promise);
}
