/** Components "blobs", "store" and "worker": the blob folder, what stands over the database, and what cleans up. */

import { messageOf } from "../core/errors.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import { type FsBlobStore, openFsBlobs } from "../store/blobs-fs.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { deleteExpired } from "../store/housekeeping.ts";
import type { MailboxHub } from "../store/mailbox-hub.ts";
import type { Cell } from "./cell.ts";
import { BYTES_PER_MB, type Settings } from "./settings.ts";

const HOUSEKEEPING_MS = 3_600_000;

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

export function workerComponent({ settings, log, version }: StorageParts, db: Db): Component {
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
    info: { name: "worker", version, description: "deletes what outlived its retention", type: "worker" },
    start() {
      end = every(HOUSEKEEPING_MS, () => {
        running = run();
        return running;
      });
    },
    async stop() {
      end();
      await running;
    },
  });
}
