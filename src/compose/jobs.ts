/** Component "jobs": the durable queue's worker on this node, with its handlers, and what wakes it. */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { JobAdmin } from "../core/ports/jobs.ts";
import { createSearchTextHandler, SEARCH_TEXT_JOB } from "../jobs/handlers/search-text.ts";
import { JobWorker } from "../jobs/worker.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { createJobAdmin } from "../store/admin-jobs.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createJobQueue } from "../store/jobs.ts";
import { createSearchTextStore } from "../store/search-texts.ts";

/** How often ended jobs past their retention are deleted, and after how many days. */
const CLEAN_MS = 3_600_000;
const KEEP_DAYS = 14;

export interface JobParts {
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly changes: MailboxChanges;
}

export interface Jobs {
  readonly component: Component;
  readonly admin: JobAdmin;
}

export function jobsOf({ log, metrics, version, db, blobs, changes }: JobParts): Jobs {
  const queue = createJobQueue({ db, onEnqueued: () => worker.wake() });
  const searchText = createSearchTextHandler({
    store: createSearchTextStore(db),
    blobs,
    log,
    now: Date.now,
    onMade: outcome => metrics.searchTexts.inc({ outcome }),
  });
  const worker = new JobWorker({
    queue,
    handlers: [searchText],
    owner: randomUUID(),
    log,
    random: Math.random,
  });
  const failed = (error: unknown) => log.warn("jobs not woken", { reason: messageOf(error) });
  const mailCame = wakeOnMail(
    searchText.nudge.bind(searchText),
    async () => {
      await queue.makeDue(SEARCH_TEXT_JOB);
      worker.wake();
    },
    failed,
  );
  const ends: Array<() => void> = [];
  return {
    admin: createJobAdmin({
      db,
      onChange() {
        worker.wake();
        worker.checkCancels().catch(failed);
      },
    }),
    component: component({
      info: { name: "jobs", version, description: "works off the job queue: search texts", type: "worker" },
      start() {
        worker.start();
        ends.push(
          changes.onChange(mailCame),
          every(CLEAN_MS, async () => void (await queue.deleteFinished(KEEP_DAYS)), failed),
        );
      },
      async stop(deadline) {
        for (const end of ends.splice(0)) end();
        await worker.stop(deadline);
      },
    }),
  };
}

/** Tells the running job, or makes it due: one statement under way at a time, however much mail comes in. */
function wakeOnMail(
  nudge: () => boolean,
  makeDue: () => Promise<void>,
  failed: (error: unknown) => void,
): () => void {
  let waking = false;
  return () => {
    if (nudge() || waking) return;
    waking = true;
    makeDue()
      .catch(failed)
      .finally(() => {
        waking = false;
      });
  };
}
