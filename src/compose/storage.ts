/** Components "blobs", "store" and "worker": the blob folder, what stands over the database, and what cleans up. */

import { messageOf } from "../core/errors.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import { type Component, component } from "../platform/component.ts";
import { every, within } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { collectBlobs } from "../store/blob-gc.ts";
import { type FsBlobStore, openFsBlobs } from "../store/blobs-fs.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { deleteExpired } from "../store/housekeeping.ts";
import type { MailboxHub } from "../store/mailbox-hub.ts";
import type { Cell } from "./cell.ts";
import { BYTES_PER_MB, type Settings } from "./settings.ts";

const HOUSEKEEPING_MS = 3_600_000;
/** More often: somebody may wait for mail whose release was interrupted. */
const HELD_MAIL_MS = 300_000;
/** Looking for files without a row asks for every file's time: once a day is enough. */
const ORPHANS_EVERY_RUNS = 24;

export interface StorageParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly version: string;
}

export function blobsComponent(
  { settings, log, version }: StorageParts,
  blobs: Cell<FsBlobStore>,
): Component {
  // Read anew each time: a reload may change it.
  const minFreeBytes = () => settings.config.limits.min_free_disk_mb * BYTES_PER_MB;
  return component({
    info: { name: "blobs", version, description: "message bytes, as files", type: "store" },
    async init() {
      const { path, compression } = settings.config.blobs;
      blobs.set(await openFsBlobs({ path, compression, minFreeBytes, log }));
    },
    async stop() {
      await blobs.peek()?.close();
      blobs.set(undefined);
    },
    async health() {
      const free = await blobs.get().freeBytes();
      if (free >= minFreeBytes()) return { status: "ok" };
      return { status: "error", detail: `${Math.floor(free / BYTES_PER_MB)} MB free: new mail is deferred` };
    },
  });
}

export interface StoreParts {
  readonly changes: MailboxChanges;
  readonly hub: MailboxHub;
  /** What else hears of other nodes. */
  readonly listening: readonly { start(): Promise<void>; stop(): Promise<void> }[];
  readonly store: { finish(): Promise<void> };
  /** Before anything that is sealed is read: a rotation of the master key may have been interrupted. */
  readonly settleKeys: () => Promise<void>;
}

/** Hears what other nodes changed. */
export function storeComponent(
  { version }: StorageParts,
  { changes, hub, listening, store, settleKeys }: StoreParts,
): Component {
  return component({
    info: { name: "store", version, description: "messages and mailboxes", type: "store" },
    init: settleKeys,
    async start() {
      await changes.start();
      for (const part of listening) await part.start();
    },
    async stop(deadline) {
      hub.close();
      // Events of the last messages; a database that is away must not hold up the end.
      await within(store.finish(), deadline).catch(() => undefined);
      for (const part of listening) await part.stop();
      await changes.stop();
    },
  });
}

export function workerComponent(
  { settings, log, version, metrics }: StorageParts & { readonly metrics: Metrics },
  db: Db,
  blobs: BlobStore,
  heldMail: { housekeeping(): Promise<void> },
  outgoing: { housekeeping(): Promise<void> },
): Component {
  const stopping = new AbortController();
  const ends: (() => void)[] = [];
  const running = new Set<Promise<void>>();
  const repeat = (intervalMs: number, what: string, task: () => Promise<void>) => {
    ends.push(
      every(intervalMs, () => {
        const run = task()
          .catch(error => log.error(`${what} failed`, { reason: messageOf(error) }))
          .finally(() => running.delete(run));
        running.add(run);
        return run;
      }),
    );
  };
  const expire = async () => {
    const { retention, lmtp } = settings.config;
    const limits = { eventsDays: retention.events_days, redeliveryWindowS: lmtp.redelivery_window_s };
    const gone = await deleteExpired(db, limits, stopping.signal);
    if (gone.events + gone.ledger + gone.deliveries + gone.verdicts + gone.journal + gone.expunged > 0)
      log.info("expired rows deleted", gone);
  };
  let runs = 0;
  const collect = async () => {
    const orphans = runs % ORPHANS_EVERY_RUNS === 0;
    runs += 1;
    const gone = await collectBlobs({ db, blobs, log, orphans }, stopping.signal);
    metrics.blobsRemoved.inc(gone.removed);
    metrics.blobsRemovedBytes.inc(gone.removedBytes);
    if (gone.claimed + gone.removed + gone.leftovers > 0) log.info("unused blobs removed", { ...gone });
  };
  return component({
    info: { name: "worker", version, description: "deletes what outlived its retention", type: "worker" },
    start() {
      repeat(HOUSEKEEPING_MS, "deleting expired rows", expire);
      repeat(HOUSEKEEPING_MS, "removing unused blobs", collect);
      repeat(HELD_MAIL_MS, "ending held mail", () => heldMail.housekeeping());
      repeat(HELD_MAIL_MS, "ending sent mail", () => outgoing.housekeeping());
    },
    async stop() {
      stopping.abort();
      for (const end of ends.splice(0)) end();
      await Promise.all(running);
    },
  });
}
