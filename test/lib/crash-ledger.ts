/**
 * What was promised: every message that Postfix or the sidecar accepted, for whom, and what its bytes are. Compares it with what was
 * found. Each promise is also a line of a file, for whoever looks into a failure. Sources: RFC 5321 §4.2.5, RFC 2033 §4.2.
 */
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";

/** Field of each message that names its content. */
export const CONTENT_FIELD = "X-Crash-Content";

export interface Content {
  readonly id: string;
  readonly bytes: Buffer;
}

interface KnownContent {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** One copy that an account was found to have. */
export interface FoundCopy {
  readonly account: string;
  readonly uid: number;
  readonly bytes: Buffer;
}

export interface Judgement {
  /** Copies that were promised, and those that may also be there: no answer came, and nobody asked again. */
  readonly promised: number;
  readonly uncertain: number;
  readonly found: number;
  /** Uncertain ones that are there. */
  readonly uncertainFound: number;
  readonly lost: readonly string[];
  readonly duplicates: readonly string[];
}

export class CrashLedger {
  readonly #file: string;
  readonly #contents = new Map<string, KnownContent>();
  /** `account\0content` → delivery (queue id) → whether it was answered 250. */
  readonly #deliveries = new Map<string, Map<string, boolean>>();

  constructor(file: string) {
    this.#file = file;
  }

  addContent({ id, bytes }: Content): void {
    this.#contents.set(id, { digest: digestOf(bytes), sizeBytes: bytes.length });
  }

  /** A delivery begins: from now on its copy may be there. */
  tried(account: string, contentId: string, delivery: string): void {
    const key = keyOf(account, contentId);
    const deliveries = this.#deliveries.get(key) ?? new Map<string, boolean>();
    this.#deliveries.set(key, deliveries);
    if (!deliveries.has(delivery)) deliveries.set(delivery, false);
  }

  /** It was answered 250: from now on its copy must be there. */
  accepted(account: string, contentId: string, delivery: string): void {
    this.tried(account, contentId, delivery);
    this.#deliveries.get(keyOf(account, contentId))?.set(delivery, true);
    appendFileSync(this.#file, `${JSON.stringify({ at: new Date(), account, contentId, delivery })}\n`);
  }

  /**
   * @param stored  what may stand in front; default: what the sidecar puts there
   * @returns the content's name, or why the bytes are none that were sent: the end must be it exactly, in front only trace fields
   */
  identify(
    { account, uid, bytes }: FoundCopy,
    stored: (prefix: string, account: string) => boolean = isOurPrefix,
  ): { readonly id: string } | { readonly problem: string } {
    const where = `UID ${uid} of ${account}`;
    const head = bytes.subarray(0, 4096).toString("latin1");
    const id = new RegExp(`^${CONTENT_FIELD}: (\\S+)\\r$`, "mu").exec(head)?.[1];
    const content = id === undefined ? undefined : this.#contents.get(id);
    if (id === undefined || content === undefined) return { problem: `${where}: no message that was sent` };
    const prefixBytes = bytes.length - content.sizeBytes;
    if (prefixBytes < 0 || digestOf(bytes.subarray(Math.max(0, prefixBytes))) !== content.digest)
      return { problem: `${where}: the bytes of ${id} are not what was sent` };
    const prefix = bytes.subarray(0, prefixBytes).toString("latin1");
    if (!stored(prefix, account))
      return { problem: `${where}: in front of ${id} stands ${JSON.stringify(prefix)}` };
    return { id };
  }

  /**
   * @param found  content names of each account's copies, one per copy
   * @param about  the accounts that count; default: all
   */
  judge(
    found: ReadonlyMap<string, readonly string[]>,
    about: (account: string) => boolean = () => true,
  ): Judgement {
    const copies = new Map<string, number>();
    let total = 0;
    for (const [account, ids] of found) {
      total += ids.length;
      for (const id of ids) copies.set(keyOf(account, id), (copies.get(keyOf(account, id)) ?? 0) + 1);
    }
    const lost: string[] = [];
    const duplicates: string[] = [];
    let promised = 0;
    let uncertain = 0;
    let uncertainFound = 0;
    for (const key of new Set([...copies.keys(), ...this.#deliveries.keys()])) {
      if (!about(key.split("\0")[0] ?? "")) continue;
      const deliveries = [...(this.#deliveries.get(key)?.values() ?? [])];
      const must = deliveries.filter(Boolean).length;
      const there = copies.get(key) ?? 0;
      const name = key.replace("\0", " ");
      promised += must;
      uncertain += deliveries.length - must;
      if (there < must) lost.push(`${name}: ${there} of ${must}`);
      else if (there > deliveries.length) duplicates.push(`${name}: ${there} of ${deliveries.length}`);
      else uncertainFound += there - must;
    }
    return { promised, uncertain, found: total, uncertainFound, lost, duplicates };
  }
}

/** Return-Path, Delivered-To, our Received, and Postfix's Received when it came through it. */
const PREFIX =
  /^Return-Path: <[^\r]*>\r\nDelivered-To: [^\r]+\r\n(?:Received: [^\r]+\r\n(?:[ \t][^\r]*\r\n)*){1,2}$/u;

function isOurPrefix(prefix: string, account: string): boolean {
  return PREFIX.test(prefix) && prefix.includes(`\r\nDelivered-To: ${account}\r\n`);
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function keyOf(account: string, contentId: string): string {
  return `${account}\0${contentId}`;
}
