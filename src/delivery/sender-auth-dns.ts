/**
 * DNS for the checks of senders (message path, steps 2 to 5): a stub resolver with a cache in front, bounded in time, in lookups for
 * one message, and in what is remembered.
 *
 * What fails how: no answer in time, SERVFAIL, a refusal, a server that is not there → `failed`, which the checks show as `temperror`;
 * it is remembered for a moment only. That a name or a record does not exist is an answer.
 *
 * Sources: RFC 2308 (negative answers), RFC 7208 §4.6.4, RFC 8601 §2.7
 */
import { Resolver } from "node:dns/promises";
import { MairustError } from "../core/errors.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";

export type RecordType = "TXT" | "A" | "AAAA" | "MX" | "PTR";

export type DnsAnswer =
  /** As `node:dns` gives them: TXT `string[][]`, MX `{exchange, priority}[]`, else `string[]`. */
  | { readonly kind: "rows"; readonly rows: readonly unknown[] }
  /** `ENOTFOUND`: no such name; `ENODATA`: no such record. */
  | { readonly kind: "none"; readonly code: "ENOTFOUND" | "ENODATA" }
  | { readonly kind: "failed"; readonly why: string };

/** One question to a server, without a cache. Never rejects. */
export type Ask = (name: string, type: RecordType) => Promise<DnsAnswer>;

export interface DnsLimits {
  /** Names and types that are remembered. */
  readonly entries: number;
  /** Characters of all that is remembered, names and answers; an answer that is larger than its own share is not. */
  readonly chars: number;
  readonly answerChars: number;
  /** A larger answer counts as none: who checks a sender keeps it, and takes it apart. */
  readonly takenChars: number;
  /** Questions that wait for an answer at a time; the next one fails at once. */
  readonly asked: number;
  /** Longest time that an answer, that there is none, and that it failed are remembered, in milliseconds. */
  readonly positiveMs: number;
  readonly negativeMs: number;
  readonly failedMs: number;
  /** For one question. */
  readonly queryMs: number;
}

export const DNS_LIMITS: DnsLimits = {
  entries: 10_000,
  chars: 8_000_000,
  answerChars: 4096,
  takenChars: 16_384,
  asked: 2_000,
  positiveMs: 300_000,
  negativeMs: 60_000,
  failedMs: 5_000,
  queryMs: 3_000,
};

/** Lookups for one message: SPF may need 10 with 20 addresses each, a signature and a policy one or two. */
export const MAX_LOOKUPS = 250;
/** RFC 1035 §2.3.4. */
const MAX_NAME = 253;
/** How long one server is waited for, and how often it is asked. */
const TRY_MS = 1_000;
const TRIES = 2;

interface Remembered {
  readonly answer: DnsAnswer;
  readonly chars: number;
  readonly until: number;
}

export class CachedDns {
  readonly #ask: Ask;
  readonly #now: () => number;
  readonly #limits: DnsLimits;
  /** In the order of their last use. */
  readonly #known = new Map<string, Remembered>();
  readonly #asked = new Map<string, Promise<DnsAnswer>>();
  #chars = 0;

  constructor(ask: Ask, now: () => number = Date.now, limits: DnsLimits = DNS_LIMITS) {
    this.#ask = ask;
    this.#now = now;
    this.#limits = limits;
  }

  get size(): number {
    return this.#known.size;
  }

  /** Of all that is remembered. */
  get chars(): number {
    return this.#chars;
  }

  /** Never rejects. The same question is asked once at a time. */
  find(name: string, type: RecordType): Promise<DnsAnswer> {
    const plain = name.toLowerCase().replace(/\.$/u, "");
    if (plain.length === 0 || plain.length > MAX_NAME || !/^[\x21-\x7e]+$/u.test(plain))
      return Promise.resolve({ kind: "none", code: "ENOTFOUND" });
    const key = `${type} ${plain}`;
    const known = this.#recall(key);
    if (known !== undefined) return Promise.resolve(known);
    const running = this.#asked.get(key);
    if (running !== undefined) return running;
    if (this.#asked.size >= this.#limits.asked)
      return Promise.resolve({ kind: "failed", why: "too many questions at a time" });
    const asking = this.#askOnce(key, plain, type).finally(() => this.#asked.delete(key));
    this.#asked.set(key, asking);
    return asking;
  }

  #recall(key: string): DnsAnswer | undefined {
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    this.#forget(key, known);
    if (known.until <= this.#now()) return undefined;
    this.#keep(key, known);
    return known.answer;
  }

  async #askOnce(key: string, name: string, type: RecordType): Promise<DnsAnswer> {
    const answer = await this.#answerOf(name, type);
    const chars = answer.kind === "rows" ? JSON.stringify(answer.rows).length : 0;
    if (chars > this.#limits.takenChars) return { kind: "failed", why: "the answer is too large" };
    this.#remember(key, answer, chars);
    return answer;
  }

  async #answerOf(name: string, type: RecordType): Promise<DnsAnswer> {
    const deadline = deadlineAfter(this.#limits.queryMs);
    try {
      return await within(this.#ask(name, type), deadline);
    } catch {
      return { kind: "failed", why: "no answer in time" };
    } finally {
      deadline.dispose();
    }
  }

  #remember(key: string, answer: DnsAnswer, chars: number): void {
    const { positiveMs, negativeMs, failedMs, entries, chars: allChars, answerChars } = this.#limits;
    if (chars > answerChars) return;
    const ms = { rows: positiveMs, none: negativeMs, failed: failedMs }[answer.kind];
    this.#keep(key, { answer, chars: key.length + chars, until: this.#now() + ms });
    for (const [oldest, known] of this.#known) {
      if (this.#known.size <= entries && this.#chars <= allChars) break;
      this.#forget(oldest, known);
    }
  }

  #keep(key: string, known: Remembered): void {
    this.#known.set(key, known);
    this.#chars += known.chars;
  }

  #forget(key: string, known: Remembered): void {
    this.#known.delete(key);
    this.#chars -= known.chars;
  }
}

/** @param servers  `system`, or addresses with or without a port. @throws {MairustError} `config_invalid` */
export function askServers(servers: "system" | readonly string[]): Ask {
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
  if (servers !== "system") {
    try {
      resolver.setServers(servers);
    } catch (cause) {
      throw new MairustError("config_invalid", `Cannot use sender_auth.resolver "${servers.join(" ")}"`, {
        cause,
      });
    }
  }
  return async (name, type) => {
    try {
      return { kind: "rows", rows: await query(resolver, name, type) };
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code ?? "");
      if (code === "ENOTFOUND" || code === "ENODATA") return { kind: "none", code };
      return { kind: "failed", why: code === "" ? "no answer" : code };
    }
  };
}

function query(resolver: Resolver, name: string, type: RecordType): Promise<readonly unknown[]> {
  switch (type) {
    case "TXT":
      return resolver.resolveTxt(name);
    case "A":
      return resolver.resolve4(name);
    case "AAAA":
      return resolver.resolve6(name);
    case "MX":
      return resolver.resolveMx(name);
    case "PTR":
      return resolver.resolvePtr(name);
  }
}
