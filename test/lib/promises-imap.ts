/**
 * What IMAP shows, over many restarts: each UID keeps its message, UIDs ascend, UIDVALIDITY stays, the counters are those of the list.
 * New messages are read whole; of those seen before a sample, or all of them when asked.
 */
import type { ImapFlow } from "imapflow";
import { type CrashLedger, digestOf } from "./crash-ledger.ts";

/** Messages seen before that are read again at each look. */
const SAMPLE = 40;

interface Seen {
  readonly contentId: string;
  readonly digest: string;
}

interface MailboxMemory {
  readonly uidValidity: string;
  readonly uids: Map<number, Seen>;
}

export interface ImapReport {
  readonly problems: readonly string[];
  /** Messages that were read whole. */
  readonly read: number;
}

export class ImapPromises {
  readonly #ledger: CrashLedger;
  readonly #mailboxes = new Map<string, MailboxMemory>();

  constructor(ledger: CrashLedger) {
    this.#ledger = ledger;
  }

  /** Content names of each account's copies, as they were last seen. */
  get found(): ReadonlyMap<string, readonly string[]> {
    return new Map(
      [...this.#mailboxes].map(([account, { uids }]) => [account, [...uids.values()].map(s => s.contentId)]),
    );
  }

  /** @param client  logged in as the account. @param all  read what was seen before too, all of it */
  async look(client: ImapFlow, account: string, all: boolean): Promise<ImapReport> {
    const problems: string[] = [];
    const status = await client.status("INBOX", {
      messages: true,
      uidNext: true,
      uidValidity: true,
      unseen: true,
    });
    const uidValidity = String(status === false ? "" : status.uidValidity);
    const memory = this.#mailboxes.get(account) ?? { uidValidity, uids: new Map<number, Seen>() };
    this.#mailboxes.set(account, memory);
    if (memory.uidValidity !== uidValidity)
      problems.push(`${account}: UIDVALIDITY was ${memory.uidValidity} and is ${uidValidity}`);
    const lock = await client.getMailboxLock("INBOX");
    try {
      const sizes = await this.#list(client, account, problems);
      const listed = [...sizes.keys()];
      if (status === false || status.messages !== listed.length || status.unseen !== listed.length)
        problems.push(
          `${account}: STATUS says ${JSON.stringify(status, bigints)}, there are ${listed.length}`,
        );
      if (status !== false && (status.uidNext ?? 0) <= (listed.at(-1) ?? 0))
        problems.push(`${account}: UIDNEXT is ${status.uidNext}, and UID ${listed.at(-1)} is there`);
      for (const uid of memory.uids.keys())
        if (!sizes.has(uid)) problems.push(`${account}: UID ${uid} was there before and is gone`);
      const fresh = listed.filter(uid => !memory.uids.has(uid));
      const last = Math.max(0, ...memory.uids.keys());
      if (fresh.some(uid => uid < last)) problems.push(`${account}: a new message has a UID below ${last}`);
      const old = all ? [...memory.uids.keys()] : everyNth([...memory.uids.keys()], SAMPLE);
      const wanted = [...old, ...fresh];
      for (const group of chunks(wanted, 500)) await this.#read(client, account, group, sizes, problems);
      return { problems, read: wanted.length };
    } finally {
      lock.release();
    }
  }

  /** @returns RFC822.SIZE by UID, in the order of sequence numbers */
  async #list(client: ImapFlow, account: string, problems: string[]): Promise<ReadonlyMap<number, number>> {
    const sizes = new Map<number, number>();
    let before = 0;
    if (client.mailbox === false || client.mailbox.exists === 0) return sizes;
    for await (const one of client.fetch("1:*", { uid: true, size: true })) {
      if (one.uid <= before) problems.push(`${account}: UID ${one.uid} comes after ${before}`);
      before = one.uid;
      sizes.set(one.uid, one.size ?? -1);
    }
    return sizes;
  }

  async #read(
    client: ImapFlow,
    account: string,
    uids: readonly number[],
    sizes: ReadonlyMap<number, number>,
    problems: string[],
  ): Promise<void> {
    const memory = this.#mailboxes.get(account);
    const missing = new Set(uids);
    for await (const { uid, source } of client.fetch(
      uids.join(","),
      { uid: true, source: true },
      { uid: true },
    )) {
      if (source === undefined || memory === undefined) continue;
      missing.delete(uid);
      const digest = digestOf(source);
      const seen = memory.uids.get(uid);
      if (source.length !== sizes.get(uid))
        problems.push(`${account}: UID ${uid} has ${source.length} octets, RFC822.SIZE ${sizes.get(uid)}`);
      if (seen !== undefined) {
        if (seen.digest !== digest)
          problems.push(`${account}: UID ${uid} was ${seen.contentId} and has other bytes now`);
        continue;
      }
      const identified = this.#ledger.identify({ account, uid, bytes: source });
      if ("problem" in identified) problems.push(identified.problem);
      memory.uids.set(uid, { contentId: "id" in identified ? identified.id : `?${uid}`, digest });
    }
    for (const uid of missing) problems.push(`${account}: UID ${uid} is listed and cannot be read`);
  }
}

function everyNth<T>(list: readonly T[], count: number): readonly T[] {
  const step = Math.max(1, Math.floor(list.length / count));
  return list.filter((_, i) => i % step === 0);
}

function chunks<T>(list: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  );
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
