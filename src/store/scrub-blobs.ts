/** The part of `scrub` that looks at blobs: each row's file, and each file's row. */
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobCheck } from "../core/ports/blob-upkeep.ts";
import type { ScrubFinding, ScrubOptions } from "../core/ports/scrub.ts";
import { sleep } from "../platform/deadline.ts";
import { knownOf } from "./blob-gc-walk.ts";
import type { Db } from "./db.ts";
import type { Checked, ScrubParts } from "./scrub.ts";

/** Rows of one query, and file names compared with the database at a time. */
const PAGE = 200;
/** Files without a row are leftovers from this age on. */
const OLD_MS = 86_400_000;

interface BlobRow {
  readonly digest: string;
  readonly size_bytes: number;
  readonly collecting: boolean;
  readonly used: boolean;
}

/** Every blob row against its file, in the order of digests. */
export async function* checkBlobs(parts: ScrubParts, options: ScrubOptions): AsyncGenerator<Checked> {
  const pace = new Pace(options.bytesPerSecond, parts.signal);
  let after: string | undefined = options.after;
  for (;;) {
    const rows = await blobPage(parts.db, after);
    for (const row of rows) {
      after = row.digest;
      if (!row.used) parts.counts.unreferencedBlobs += 1;
      if (row.collecting) parts.counts.collectingBlobs += 1;
      const finding = row.collecting ? await markedButUsed(parts.db, row) : await checkBlob(parts, row, options);
      if (finding !== undefined) yield finding;
      yield { at: after };
      if (!options.quick && !row.collecting) await pace.took(row.size_bytes);
    }
    if (rows.length < PAGE) return;
  }
}

function blobPage(db: Db, after: string | undefined): Promise<BlobRow[]> {
  return db.query<BlobRow>`
    select encode(b.digest, 'hex') as digest, b.size_bytes, b.collecting_since is not null as collecting,
           exists (select 1 from messages m where m.blob_digest = b.digest) as used
    from blobs b where b.digest > decode(${after ?? ""}, 'hex') order by b.digest limit ${PAGE}`;
}

async function checkBlob(
  parts: ScrubParts,
  row: BlobRow,
  { quick }: ScrubOptions,
): Promise<ScrubFinding | undefined> {
  const digest = blobDigest(row.digest);
  parts.counts.blobs += 1;
  if (!quick) parts.counts.hashedBytes += row.size_bytes;
  const finding = findingOf(row, await parts.upkeep.check(digest, !quick));
  if (finding === undefined) return undefined;
  // The collector may have come meanwhile.
  const now = (await blobPage(parts.db, before(row.digest)))[0];
  if (now?.digest !== row.digest || now.collecting) return undefined;
  return findingOf(now, await parts.upkeep.check(digest, !quick));
}

function findingOf(row: BlobRow, check: BlobCheck): ScrubFinding | undefined {
  const subject = row.digest;
  const whose = row.used ? "" : " (no message has it)";
  if (check.state !== "ok") return { kind: `blob_${check.state}`, subject, detail: `${check.why}${whose}` };
  const { sizeBytes } = check.record;
  // What it takes on the disk may differ: who puts it again may pack it otherwise, and end before the commit.
  if (sizeBytes === row.size_bytes) return undefined;
  const detail = `the file has ${sizeBytes} octets, its row says ${row.size_bytes}${whose}`;
  return { kind: "blob_size", subject, detail };
}

/** A row that is being collected while a message has it: the collector keeps such a blob, but who wrote the message is at fault. */
async function markedButUsed(db: Db, row: BlobRow): Promise<ScrubFinding | undefined> {
  if (!row.used) return undefined;
  const now = (await blobPage(db, before(row.digest)))[0];
  if (now?.digest !== row.digest || !now.collecting || !now.used) return undefined;
  const detail = "a message has it, and it is marked for removal";
  return { kind: "blob_in_use_marked", subject: row.digest, detail };
}

/** The greatest digest below this one; "" below the first. */
function before(digest: string): string {
  const value = BigInt(`0x${digest}`);
  return value === 0n ? "" : (value - 1n).toString(16).padStart(digest.length, "0");
}

/** Every file against the rows. */
export async function* checkFiles(parts: ScrubParts): AsyncGenerator<Checked> {
  const { upkeep, counts } = parts;
  for (let part = 0; part < upkeep.parts; part += 1) {
    let page = new Map<BlobDigest, string>();
    for await (const name of upkeep.names(part)) {
      const digest = upkeep.digestOf(part, name);
      if (digest === undefined) counts.strangeFiles += 1;
      else page.set(digest, name);
      if (page.size < PAGE) continue;
      await countUnknown(parts, part, page);
      page = new Map();
      yield { at: undefined };
    }
    await countUnknown(parts, part, page);
    yield { at: undefined };
  }
}

async function countUnknown(
  { db, upkeep, counts }: ScrubParts,
  part: number,
  page: ReadonlyMap<BlobDigest, string>,
): Promise<void> {
  const known = await knownOf(db, [...page.keys()]);
  for (const [digest, name] of page) {
    if (known.has(digest)) continue;
    const object = await upkeep.look(part, name);
    if (object === undefined) continue;
    if (object.ageMs <= OLD_MS) counts.youngFiles += 1;
    else {
      counts.extraFiles += 1;
      counts.extraBytes += object.storedBytes;
    }
  }
}

/** Keeps the octets of a run below a rate, by waiting. */
class Pace {
  readonly #bytesPerSecond: number | undefined;
  readonly #signal: AbortSignal;
  readonly #startedAt = performance.now();
  #bytes = 0;

  constructor(bytesPerSecond: number | undefined, signal: AbortSignal) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
  }

  async took(bytes: number): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    this.#bytes += bytes;
    const aheadMs = (this.#bytes / this.#bytesPerSecond) * 1000 - (performance.now() - this.#startedAt);
    if (aheadMs > 1) await sleep(aheadMs, this.#signal);
  }
}
