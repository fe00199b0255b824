/**
 * What IMAP shows, over many restarts: each UID keeps its message, UIDs ascend, UIDVALIDITY stays, the counters are those of the list.
 * New messages are read whole; of those seen before a sample, or all of them when asked.
 */
import type { ImapFlow } from "imapflow";
import { messageOf } from "../../src/core/errors.ts";
import { type CrashLedger, digestOf } from "./crash-ledger.ts";

/** Messages seen before that are read again at each look. */
const SAMPLE = 40;
/** Messages per FETCH. */
const GROUP = 500;

interface Seen {
  readonly contentId: string;
  readonly digest: string;
}

interface MailboxMemory {
  readonly uidValidity: string;
  readonly uids: Map<number, Seen>;
}

interface Look {
  readonly client: ImapFlow;
  readonly account: string;
  readonly memory: MailboxMemory;
  /** RFC822.SIZE by UID. */
  readonly sizes: ReadonlyMap<number, number>;
  readonly problems: string[];
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
      for (const uid of [...memory.uids.keys()]) {
        if (sizes.has(uid)) continue;
        problems.push(`${account}: UID ${uid} was there before and is gone`);
        memory.uids.delete(uid);
      }
      const fresh = listed.filter(uid => !memory.uids.has(uid));
      const last = Math.max(0, ...memory.uids.keys());
      if (fresh.some(uid => uid < last)) problems.push(`${account}: a new message has a UID below ${last}`);
      const old = all ? [...memory.uids.keys()] : everyNth([...memory.uids.keys()], SAMPLE);
      const wanted = [...old, ...fresh];
      const look = { client, account, memory, sizes, problems };
      for (const group of chunks(wanted, GROUP)) await this.#read(look, group);
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

  /** One message that cannot be read fails the whole command: then each of the group is read by itself. */
  async #read(look: Look, uids: readonly number[]): Promise<void> {
    const missing = new Set(uids);
    try {
      const wanted = { uid: true, source: true };
      for await (const { uid, source } of look.client.fetch(uids.join(","), wanted, { uid: true })) {
        if (source === undefined) continue;
        missing.delete(uid);
        this.#compare(look, uid, source);
      }
    } catch (error) {
      if (uids.length > 1) {
        for (const uid of missing) await this.#read(look, [uid]);
        return;
      }
      const why = error instanceof Error && "responseText" in error ? error.responseText : messageOf(error);
      look.problems.push(`${look.account}: UID ${uids[0]} is listed and cannot be read: ${why}`);
      return;
    }
    for (const uid of missing) look.problems.push(`${look.account}: UID ${uid} is listed and was not sent`);
  }

  #compare({ account, memory, sizes, problems }: Look, uid: number, source: Buffer): void {
    const digest = digestOf(source);
    const seen = memory.uids.get(uid);
    if (source.length !== sizes.get(uid))
      problems.push(`${account}: UID ${uid} has ${source.length} octets, RFC822.SIZE ${sizes.get(uid)}`);
    if (seen !== undefined) {
      if (seen.digest !== digest)
        problems.push(`${account}: UID ${uid} was ${seen.contentId} and has other bytes now`);
      return;
    }
    const identified = this.#ledger.identify({ account, uid, bytes: source });
    if ("problem" in identified) problems.push(identified.problem);
    memory.uids.set(uid, { contentId: "id" in identified ? identified.id : `?${uid}`, digest });
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
