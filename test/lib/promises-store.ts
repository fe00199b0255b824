/**
 * Whether database and blob folder keep their promises: plain SQL and plain file reads, nothing of the product's own checks. Needs a
 * service that runs its embedded PostgreSQL and stores nothing meanwhile.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { type Db, openDatabase } from "../../src/store/db.ts";
import { EMBEDDED_DATABASE, EMBEDDED_ROLE } from "../../src/store/embedded-settings.ts";
import { silentLog } from "./database.ts";

/** What is wrong with the blob file of one row or name, in a few words; undefined: nothing. */
type BlobFault = string | undefined;

export interface StoreReport {
  readonly problems: readonly string[];
  readonly entries: number;
  readonly messages: number;
  readonly blobs: number;
  /** Complete blob files that no row names: of deliveries that were killed before their commit and did not come again. */
  readonly filesWithoutRow: number;
  /** Files in `tmp/`: of processes that were killed. */
  readonly temporaryFiles: number;
}

/** Each gives one row per violation. */
const RULES: ReadonlyArray<readonly [promise: string, rows: (db: Db) => Promise<object[]>]> = [
  [
    "mailbox counters are those of its entries",
    db => db.query`
      select m.id, m.messages, m.unseen, m.size_bytes, count(e.uid) as n, count(e.uid) filter (where e.flags & 1 = 0) as fresh,
             coalesce(sum(e.size_bytes), 0) as bytes
      from mailboxes m left join entries e on e.mailbox_id = m.id group by m.id
      having m.messages <> count(e.uid) or m.unseen <> count(e.uid) filter (where e.flags & 1 = 0)
          or m.size_bytes <> coalesce(sum(e.size_bytes), 0)`,
  ],
  [
    "account counters are those of its entries",
    db => db.query`
      select a.id, a.used_messages, a.used_bytes, count(e.uid) as n, coalesce(sum(e.size_bytes), 0) as bytes
      from accounts a left join mailboxes m on m.account_id = a.id left join entries e on e.mailbox_id = m.id group by a.id
      having a.used_messages <> count(e.uid) or a.used_bytes <> coalesce(sum(e.size_bytes), 0)`,
  ],
  [
    "UIDNEXT and HIGHESTMODSEQ lie beyond what was given, and no MODSEQ was given twice",
    db => db.query`
      select m.id, m.uidnext, m.highest_modseq, max(e.uid) as uid, max(e.modseq) as modseq
      from mailboxes m join entries e on e.mailbox_id = m.id group by m.id
      having m.uidnext <= max(e.uid) or m.highest_modseq < max(e.modseq) or count(distinct e.modseq) <> count(*)`,
  ],
  [
    "every entry has its message, every message its blob, and the sizes agree",
    db => db.query`
      select e.mailbox_id, e.uid, e.size_bytes, g.size_bytes as message, b.size_bytes as blob
      from entries e left join messages g using (message_id) left join blobs b on b.digest = g.blob_digest
      where b.digest is null or g.size_bytes <> b.size_bytes or e.size_bytes <> b.size_bytes + octet_length(e.prefix)`,
  ],
  [
    "no message is without an entry",
    db => db.query`
      select g.message_id from messages g where not exists (select 1 from entries e where e.message_id = g.message_id)`,
  ],
  [
    "an account has one delivery of one queue id once",
    db => db.query`
      select m.account_id, g.queue_id, count(*) as copies
      from entries e join mailboxes m on m.id = e.mailbox_id join messages g using (message_id)
      where g.queue_id <> '' group by 1, 2, g.blob_digest having count(*) > 1`,
  ],
  [
    "every entry has its redelivery key",
    db => db.query`
      select e.mailbox_id, e.uid
      from entries e join mailboxes m on m.id = e.mailbox_id join messages g using (message_id)
      where g.queue_id <> '' and not exists (
        select 1 from deliveries d
        where d.queue_id = g.queue_id and d.digest = g.blob_digest and d.message_id = g.message_id
          and d.recipient = 'account:' || m.account_id
      )`,
  ],
  [
    "every redelivery key has its entry",
    db => db.query`
      select d.queue_id, d.recipient from deliveries d where d.outcome = 'stored' and not exists (
        select 1 from entries e join mailboxes m on m.id = e.mailbox_id
        where e.message_id = d.message_id and d.recipient = 'account:' || m.account_id
      )`,
  ],
  [
    "every entry has one event that says so",
    db => db.query`
      select e.mailbox_id, e.uid, count(v.id) as events
      from entries e join mailboxes m on m.id = e.mailbox_id join accounts a on a.id = m.account_id
      left join events v on v.message_id = e.message_id
        and v.list @> jsonb_build_array(jsonb_build_object('kind', 'stored', 'recipient', a.address))
      group by 1, 2 having count(v.id) <> 1`,
  ],
  [
    "every event of a stored message has its entry",
    db => db.query`
      select v.message_id from events v where v.list @> '[{"kind": "stored"}]' and not exists (
        select 1 from entries e where e.message_id = v.message_id
      )`,
  ],
];

/** Of copies that waited for a next hop when a kill came: the delivery comes again with a message of its own. */
const LEFT_BY_RELAY = "no message is without an entry";

export async function checkStore(
  dataDir: string,
  runStartedMs: number,
  relays = false,
): Promise<StoreReport> {
  const db = await openEmbedded(dataDir);
  try {
    const problems: string[] = [];
    for (const [promise, rows] of RULES) {
      if (relays && promise === LEFT_BY_RELAY) continue;
      const found = await rows(db);
      if (found.length > 0)
        problems.push(`not kept: ${promise}: ${found.length}, as ${JSON.stringify(found[0])}`);
    }
    const rows = await db.query<BlobRow>`
      select encode(digest, 'hex') as digest, size_bytes, stored_bytes, codec from blobs`;
    const [counts] = await db.query<{ entries: number; messages: number }>`
      select (select count(*) from entries) as entries, (select count(*) from messages) as messages`;
    const files = checkFiles(join(dataDir, "blobs"), rows, runStartedMs);
    return {
      problems: [...problems, ...files.problems],
      entries: counts?.entries ?? 0,
      messages: counts?.messages ?? 0,
      blobs: rows.length,
      filesWithoutRow: files.withoutRow,
      temporaryFiles: readdirSync(join(dataDir, "blobs", "tmp")).length,
    };
  } finally {
    await closeDb(db);
  }
}

/** What the database knows of the messages whose subject holds one of `words`: for whoever looks into a finding. */
export async function storedAs(dataDir: string, words: readonly string[]): Promise<readonly object[]> {
  const db = await openEmbedded(dataDir);
  try {
    return await db.query`
      select g.subject, m.account_id, e.uid, g.queue_id, encode(g.blob_digest, 'hex') as digest, g.message_id, g.received_at,
             (select jsonb_agg(v.list) from events v where v.message_id = g.message_id) as events
      from messages g join entries e using (message_id) join mailboxes m on m.id = e.mailbox_id
      where exists (select 1 from unnest(${[...words]}::text[]) as w where g.subject like '%' || w) order by 1, 2, 3`;
  } finally {
    await closeDb(db);
  }
}

async function closeDb(db: Db): Promise<void> {
  const now = deadlineAfter(5_000);
  await db.close(now);
  now.dispose();
}

interface BlobRow {
  readonly digest: string;
  readonly size_bytes: number;
  readonly stored_bytes: number;
  readonly codec: string;
}

function checkFiles(
  blobDir: string,
  rows: readonly BlobRow[],
  runStartedMs: number,
): { readonly problems: readonly string[]; readonly withoutRow: number } {
  const problems: string[] = [];
  const known = new Map(rows.map(row => [row.digest, row]));
  const there = new Set<string>();
  let withoutRow = 0;
  for (const shard of readdirSync(blobDir).filter(name => /^[0-9a-f]{2}$/u.test(name))) {
    for (const name of readdirSync(join(blobDir, shard))) {
      const digest = shard + name;
      const path = join(blobDir, shard, name);
      there.add(digest);
      const row = known.get(digest);
      const fault = blobFault(digest, readFileSync(path), row);
      if (fault !== undefined) problems.push(`blob file ${digest}: ${fault}`);
      if (row !== undefined) continue;
      withoutRow += 1;
      if (statSync(path).mtimeMs < runStartedMs)
        problems.push(`blob file ${digest}: no row, and older than the run`);
    }
  }
  for (const { digest } of rows) if (!there.has(digest)) problems.push(`blob row ${digest}: no file`);
  return { problems, withoutRow };
}

/** 16 octets ("MRB1", form, three zeros, size), then the bytes, their brotli form, or blocks of 256 KiB and their table. */
function blobFault(digest: string, file: Buffer, row: BlobRow | undefined): BlobFault {
  if (file.length < 16 || file.toString("latin1", 0, 4) !== "MRB1") return `no blob, ${file.length} octets`;
  const form = file[4];
  const codec = form === 0 ? "none" : "brotli";
  const sizeBytes = Number(file.readBigUInt64BE(8));
  const body = file.subarray(16);
  let bytes: Buffer;
  try {
    bytes = form === 0 ? body : form === 1 ? brotliDecompressSync(body) : blocksOf(body, sizeBytes);
  } catch {
    return "does not decompress";
  }
  if (createHash("sha256").update(bytes).digest("hex") !== digest) return "hashes to something else";
  if (bytes.length !== sizeBytes) return "says another size";
  if (row === undefined) return undefined;
  if (row.size_bytes !== bytes.length) return `its row says ${row.size_bytes} octets`;
  // The same content may be stored again in another form; then the row follows with the next commit.
  return row.codec === codec && row.stored_bytes !== file.length
    ? `its row says ${row.stored_bytes} stored`
    : undefined;
}

/** Four octets for each block at the end: the highest bit says brotli, the others its length. */
function blocksOf(body: Buffer, sizeBytes: number): Buffer {
  const count = Math.ceil(sizeBytes / 262_144);
  const tableAt = body.length - count * 4;
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    const entry = body.readUInt32BE(tableAt + i * 4);
    const block = body.subarray(at, at + (entry & 0x7fffffff));
    parts.push(entry >= 0x80000000 ? brotliDecompressSync(block) : block);
    at += block.length;
  }
  if (at !== tableAt) throw new Error("the blocks do not fill the file");
  return Buffer.concat(parts);
}

/** By the socket that `postmaster.pid` names. */
export async function openEmbedded(dataDir: string): Promise<Db> {
  const lines = readFileSync(join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n");
  return openDatabase({
    target: {
      hosts: [lines[4] ?? ""],
      ports: [Number(lines[3])],
      user: EMBEDDED_ROLE,
      password: "",
      database: EMBEDDED_DATABASE,
      tls: "disable",
      tlsRootFile: undefined,
    },
    log: silentLog,
    pool: 1,
  });
}
