/** For tests of the threads that check senders: checks that break on purpose, and DNS that answers when it is told to. */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Deadline } from "../../src/core/deadline.ts";
import { CachedDns, DNS_LIMITS, type DnsAnswer } from "../../src/delivery/sender-auth-dns.ts";
import type { CheckedSubject } from "../../src/delivery/sender-auth-findings.ts";
import { CHECK_LIMITS, type CheckLimits } from "../../src/delivery/sender-auth-limits.ts";
import { CheckThreads } from "../../src/delivery/sender-auth-threads.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";

/** One thread. A busy machine does not make it look stuck. */
export const PATIENT: CheckLimits = { ...CHECK_LIMITS, threads: 1, stuckLooks: 1000 };

const entry = (name: string) =>
  new URL(`./${name}${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
async function* zeros(size: number): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(size);
}

const ROWS: DnsAnswer = { kind: "rows", rows: [["x"]] };

interface CheckOptions {
  readonly helo?: string;
  readonly ms?: number;
  readonly deadline?: Deadline;
  readonly size?: number;
  readonly read?: () => AsyncIterable<Uint8Array>;
}

/** Threads whose checks break, and DNS that answers when it is told to. */
export class CheckBench {
  readonly lost: string[] = [];
  readonly threads: CheckThreads;
  readonly #open = new Map<string, (answer: DnsAnswer) => void>();
  #heard: () => void = () => undefined;

  constructor(limits: CheckLimits = PATIENT, checks = "breaking-checks") {
    const ask = (name: string) =>
      new Promise<DnsAnswer>(resolve => {
        this.#open.set(name, resolve);
        this.#heard();
      });
    this.threads = new CheckThreads({
      ...{ dns: new CachedDns(ask, Date.now, { ...DNS_LIMITS, queryMs: 60_000 }), limits },
      entry: entry(checks),
      onLost: (why, messages) => this.lost.push(`${why}: ${messages}`),
    });
  }

  check(name: string, options: CheckOptions = {}) {
    const {
      helo = "plain",
      ms = 20_000,
      deadline = deadlineAfter(ms),
      size = 10,
      read = () => zeros(size),
    } = options;
    const subject: CheckedSubject = { checks: ["spf"], helo, mailFrom: name, mta: "mx.test" };
    const found = this.threads
      .check({ subject, sizeBytes: size, read }, deadline)
      .then(({ spf }) => spf?.why ?? "");
    found.catch(() => undefined);
    return found;
  }

  isAsked(name: string): boolean {
    return this.#open.has(`${name}.test`);
  }

  /** All of them are on a thread, and wait for DNS. */
  async waiting(...names: readonly string[]): Promise<void> {
    while (!names.every(name => this.isAsked(name)))
      await new Promise<void>(heard => {
        this.#heard = heard;
      });
  }

  answer(...names: readonly string[]): void {
    for (const name of names) this.#open.get(`${name}.test`)?.(ROWS);
  }
}

/** @param checks  module beside this one */
export async function bench(
  run: (on: CheckBench) => Promise<void>,
  limits?: CheckLimits,
  checks?: string,
): Promise<void> {
  const on = new CheckBench(limits, checks);
  try {
    await run(on);
  } finally {
    await on.threads.stop();
  }
}
