/**
 * Compares what the database says with itself and with the blobs (no message passes here). Reads only, in pages, beside running
 * mail: each question is one statement with one snapshot, so what is delivered meanwhile is seen whole or not at all.
 *
 * A finding is something that must never be: an alarm. Files without a row are none: a crash between file and row leaves them,
 * and the collector (`blob-gc.ts`) takes them.
 */
import { MairustError, toMairustError } from "../core/errors.ts";
import { blobDigest } from "../core/ids.ts";
import { unpackStructure } from "../core/mime/packed.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Finding, FindingKind, Scrub, ScrubStep, ScrubSummary } from "../core/ports/scrub.ts";
import type { Db } from "./db.ts";

/** Rows per statement. */
const PAGE = 500;
/** Findings of one question about mailboxes and accounts: past it they say the same. */
const MAX_ROWS = 1_000;

export interface ScrubOptions {
  readonly db: Db;
  readonly blobs: BlobStore;
  /** Each finding, as it is found: metric and log. */
  readonly onFinding: (finding: Finding) => void;
}

export function createScrub(options: ScrubOptions): Scrub {
  let running = false;
  return {
    async *run({ quick, signal }) {
      if (running)
        throw new MairustError("too_many", "Cannot scrub: a scrub runs already", {
          publicText: "a scrub runs already",
        });
      running = true;
      try {
        yield* new Run(options, quick, signal).steps();
      } finally {
        running = false;
      }
    },
  };
}

interface Counts {
  blobs: number;
  hashed: number;
  messages: number;
  findings: number;
  filesWithoutRow: number;
}

class Run {
  readonly #options: ScrubOptions;
  readonly #quick: boolean;
  readonly #signal: AbortSignal;
  readonly #counts: Counts = { blobs: 0, hashed: 0, messages: 0, findings: 0, filesWithoutRow: 0 };

  constructor(options: ScrubOptions, quick: boolean, signal: AbortSignal) {
    this.#options = options;
    this.#quick = quick;
    this.#signal = signal;
  }

  async *steps(): AsyncGenerator<ScrubStep> {
    yield* this.#found(await mailboxFindings(this.#options.db));
    yield* this.#found(await accountFindings(this.#options.db));
    yield* this.#messages();
    yield* this.#blobs();
    this.#counts.filesWithoutRow = await this.#filesWithoutRow();
    yield { step: "summary", summary: this.#counts satisfies ScrubSummary };
  }

  *#found(findings: readonly Finding[]): Generator<ScrubStep> {
    for (const finding of findings) {
      this.#counts.findings += 1;
      this.#options.onFinding(finding);
      yield { step: "finding", finding };
    }
  }

  /** Sizes of messages and entries, and whether the structure can be read. */
  async *#messages(): AsyncGenerator<ScrubStep> {
    for (let after = ZERO_ID; !this.#signal.aborted; ) {
      const rows = await this.#options.db.query<MessageRow>`
        select m.message_id, m.structure, m.size_bytes, b.size_bytes as blob_bytes,
               (select count(*) from entries e where e.message_id = m.message_id
                  and e.size_bytes <> octet_length(e.prefix) + m.size_bytes) as wrong_entries
        from messages m join blobs b on b.digest = m.blob_digest
        where m.message_id > ${after}::uuid order by m.message_id limit ${PAGE}`;
      this.#counts.messages += rows.length;
      yield* this.#found(rows.flatMap(messageFindings));
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      after = last.message_id;
    }
  }

  async *#blobs(): AsyncGenerator<ScrubStep> {
    const { db } = this.#options;
    const [row] = await db.query<{ total: number }>`select count(*) as total from blobs`;
    const total = row?.total ?? 0;
    let done = 0;
    for (let after = ""; !this.#signal.aborted; ) {
      const rows = await db.query<BlobRow>`
        select encode(digest, 'hex') as digest, size_bytes,
               exists (select from messages m where m.blob_digest = digest) as wanted
        from blobs where digest > decode(${after}, 'hex') order by digest limit ${PAGE}`;
      for (const one of rows) {
        if (this.#signal.aborted) return;
        if (one.wanted) yield* this.#found(await this.#look(one));
        done += 1;
      }
      yield { step: "progress", done, total: Math.max(done, total) };
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      after = last.digest;
    }
  }

  async #look({ digest: name, size_bytes: bytes }: BlobRow): Promise<readonly Finding[]> {
    const digest = blobDigest(name);
    const { blobs, db } = this.#options;
    this.#counts.blobs += 1;
    try {
      const record = await blobs.head(digest);
      if (record === undefined) throw new MairustError("blob_missing", "Cannot open it: it is not there");
      if (record.sizeBytes !== bytes)
        return [
          { kind: "blob_size", subject: name, detail: `row ${bytes}, stored ${record.sizeBytes} octets` },
        ];
      if (this.#quick) return [];
      this.#counts.hashed += 1;
      await blobs.verify(digest);
      return [];
    } catch (error) {
      const { code, message } = toMairustError(error, "read the blob");
      if (code !== "blob_missing" && code !== "blob_damaged") throw error;
      // The message may have been removed since the row was read, and its blob collected.
      const [still] =
        await db.query`select 1 as one from messages where blob_digest = decode(${name}, 'hex') limit 1`;
      return still === undefined ? [] : [{ kind: code, subject: name, detail: message }];
    }
  }

  async #filesWithoutRow(): Promise<number> {
    let count = 0;
    let batch: string[] = [];
    const ask = async () => {
      const [row] = await this.#options.db.query<{ missing: number }>`
        select count(*) as missing from unnest(${batch}::bytea[]) as f (d) where not exists (select from blobs where digest = d)`;
      count += row?.missing ?? 0;
      batch = [];
    };
    for await (const { digest } of this.#options.blobs.list()) {
      if (this.#signal.aborted) break;
      batch.push(`\\x${digest}`);
      if (batch.length >= PAGE) await ask();
    }
    await ask();
    return count;
  }
}

const ZERO_ID = "00000000-0000-0000-0000-000000000000";

interface BlobRow {
  readonly digest: string;
  readonly size_bytes: number;
  readonly wanted: boolean;
}

interface MessageRow {
  readonly message_id: string;
  readonly structure: Buffer;
  readonly size_bytes: number;
  readonly blob_bytes: number;
  readonly wrong_entries: number;
}

function messageFindings(row: MessageRow): Finding[] {
  const found: Finding[] = [];
  const add = (kind: FindingKind, detail: string) => found.push({ kind, subject: row.message_id, detail });
  if (row.size_bytes !== row.blob_bytes)
    add("message_size", `message ${row.size_bytes}, blob ${row.blob_bytes} octets`);
  if (row.wrong_entries > 0)
    add("message_size", `${row.wrong_entries} entries whose size is not prefix and message`);
  try {
    unpackStructure(row.structure);
  } catch (error) {
    add("structure_unreadable", toMairustError(error, "read the structure").message);
  }
  return found;
}

/** Counters and UID bounds of every mailbox against its entries. */
async function mailboxFindings(db: Db): Promise<readonly Finding[]> {
  const rows = await db.query<{ name: string; counters: string; uids: string }>`
    select a.local_part || '@' || a.domain || ' ' || m.name as name,
           case when m.messages <> e.n or m.unseen <> e.unseen or m.size_bytes <> e.bytes
             then format('says %s messages, %s unseen, %s octets; has %s, %s, %s', m.messages, m.unseen, m.size_bytes, e.n, e.unseen, e.bytes)
             else '' end as counters,
           case when m.uidnext <= e.last_uid or m.highest_modseq < e.last_modseq
             then format('UIDNEXT %s, HIGHESTMODSEQ %s; last UID %s, last MODSEQ %s', m.uidnext, m.highest_modseq, e.last_uid, e.last_modseq)
             else '' end as uids
    from mailboxes m join accounts a on a.id = m.account_id
    cross join lateral (
      select count(*) as n, count(*) filter (where flags & 1 = 0) as unseen, coalesce(sum(size_bytes), 0) as bytes,
             coalesce(max(uid), 0) as last_uid, coalesce(max(modseq), 0) as last_modseq
      from entries where mailbox_id = m.id
    ) e
    where m.messages <> e.n or m.unseen <> e.unseen or m.size_bytes <> e.bytes or m.uidnext <= e.last_uid or m.highest_modseq < e.last_modseq
    limit ${MAX_ROWS}`;
  return rows.flatMap(({ name, counters, uids }) => [
    ...(counters === "" ? [] : [{ kind: "mailbox_counters" as const, subject: name, detail: counters }]),
    ...(uids === "" ? [] : [{ kind: "mailbox_uids" as const, subject: name, detail: uids }]),
  ]);
}

async function accountFindings(db: Db): Promise<readonly Finding[]> {
  const rows = await db.query<{ name: string; detail: string }>`
    select a.local_part || '@' || a.domain as name,
           format('says %s messages, %s octets; its mailboxes %s, %s', a.used_messages, a.used_bytes, m.n, m.bytes) as detail
    from accounts a
    cross join lateral (
      select coalesce(sum(messages), 0) as n, coalesce(sum(size_bytes), 0) as bytes from mailboxes where account_id = a.id
    ) m
    where a.used_messages <> m.n or a.used_bytes <> m.bytes
    limit ${MAX_ROWS}`;
  return rows.map(({ name, detail }) => ({ kind: "account_counters", subject: name, detail }));
}
