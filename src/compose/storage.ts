/** Components "blobs", "store" and "worker": the blob folder, what stands over the database, and what cleans up and collects. */

import { messageOf } from "../core/errors.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { type FsBlobStore, openFsBlobs } from "../store/blobs-fs.ts";
import type { OnUnreadable } from "../store/blobs-fs-files.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { deleteExpired } from "../store/housekeeping.ts";
import type { MailboxHub } from "../store/mailbox-hub.ts";
import type { BlobAlarms } from "./blob-alarms.ts";
import { BlobCollector } from "./blob-collector.ts";
import type { Cell } from "./cell.ts";
import { BYTES_PER_MB, type Settings } from "./settings.ts";

const HOUSEKEEPING_MS = 3_600_000;

export interface StorageParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
}

export function blobsComponent(
  { settings, log, version }: StorageParts,
  blobs: Cell<FsBlobStore>,
  alarms: BlobAlarms,
): Component {
  // Read anew each time: a reload may change it.
  const minFreeBytes = () => settings.config.limits.min_free_disk_mb * BYTES_PER_MB;
  return component({
    info: { name: "blobs", version, description: "message bytes, as files", type: "store" },
    async init() {
      const { path, compression } = settings.config.blobs;
      const onUnreadable: OnUnreadable = (digest, code) =>
        alarms.unreadable(digest, code === "blob_missing" ? "missing" : "damaged");
      blobs.set(await openFsBlobs({ path, compression, minFreeBytes, log, onUnreadable }));
    },
    async stop() {
      await blobs.peek()?.close();
      blobs.set(undefined);
    },
    async health() {
      const { failedFolders } = blobs.get();
      if (failedFolders.length > 0) {
        const detail = `the disk failed under ${failedFolders.length} blob folders (${failedFolders[0]}): mail for them is deferred until a restart`;
        return { status: "error", detail };
      }
      const free = await blobs.get().freeBytes();
      if (free < minFreeBytes()) {
        return { status: "error", detail: `${Math.floor(free / BYTES_PER_MB)} MB free: new mail is deferred` };
      }
      return alarms.problem === undefined ? { status: "ok" } : { status: "degraded", detail: alarms.problem };
    },
  });
}

/** Hears what other nodes changed. */
export function storeComponent(
  { version }: StorageParts,
  changes: MailboxChanges,
  hub: MailboxHub,
): Component {
  return component({
    info: { name: "store", version, description: "messages and mailboxes", type: "store" },
    start: () => changes.start(),
    async stop() {
      hub.close();
      await changes.stop();
    },
  });
}

export function workerComponent(
  { settings, log, metrics, version }: StorageParts,
  db: Db,
  blobs: Cell<FsBlobStore>,
): Component {
  const collector = new BlobCollector({ db, blobs, log, metrics });
  let end: () => void = () => undefined;
  let running: Promise<void> = Promise.resolve();
  const run = async () => {
    const { retention, lmtp } = settings.config;
    try {
      const gone = await deleteExpired(db, {
        eventsDays: retention.events_days,
        redeliveryWindowS: lmtp.redelivery_window_s,
      });
      if (gone.events + gone.deliveries > 0) log.info("expired rows deleted", gone);
    } catch (error) {
      log.error("expired rows not deleted", { reason: messageOf(error) });
    }
  };
  return component({
    info: { name: "worker", version, description: "deletes what outlived its use", type: "worker" },
    async start() {
      await collector.start();
      end = every(HOUSEKEEPING_MS, () => {
        running = run();
        return running;
      });
    },
    async stop() {
      end();
      await Promise.all([running, collector.stop()]);
    },
    health: () => collector.health(),
  });
}
