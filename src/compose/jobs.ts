/** Component "jobs": the durable queue's worker on this node, with its handlers, and what wakes it. */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import { indexVersion } from "../core/mail-text/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { HookRunner, LateAnswers } from "../core/ports/hooks.ts";
import type { JobAdmin } from "../core/ports/jobs.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { UndoControl } from "../core/ports/undo.ts";
import { createImapTextHandler } from "../jobs/handlers/imap-text.ts";
import { createLateAnswerHandler, createLateAnswers } from "../jobs/handlers/late-answer.ts";
import { createMessageKeysHandler } from "../jobs/handlers/message-keys.ts";
import { createPostReceiveHandler } from "../jobs/handlers/post-receive.ts";
import { createSearchTextHandler } from "../jobs/handlers/search-text.ts";
import { createUndoHandler, enqueueUndo } from "../jobs/handlers/undo.ts";
import { Pace } from "../jobs/pace.ts";
import type { StandingJobHandler } from "../jobs/standing-job.ts";
import { type JobHandler, JobWorker } from "../jobs/worker.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { createJobAdmin } from "../store/admin-jobs.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createImapTextStore } from "../store/imap-texts.ts";
import { createJobQueue } from "../store/jobs.ts";
import { createJournal } from "../store/journal.ts";
import { createStoredMessages } from "../store/message-changes.ts";
import { createMessageKeyStore } from "../store/message-keys.ts";
import { createSearchTextStore } from "../store/search-texts.ts";

/** How often ended jobs past their retention are deleted, and after how many days; of what was done for one message its timeline tells. */
const CLEAN_MS = 3_600_000;
const KEEP_DAYS = 14;
const KEEP_DONE_DAYS = 1;

export interface JobParts {
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly changes: MailboxChanges;
  readonly directory: Directory;
  readonly recordEvents: MessageStore["recordEvents"];
  /** Asked when a job runs: hooks are built after the jobs. */
  readonly hooks: () => HookRunner;
  /** Works off the outbox. */
  readonly sendMail: JobHandler;
}

export interface Jobs {
  readonly component: Component;
  readonly admin: JobAdmin;
  readonly lateAnswers: LateAnswers;
  readonly undo: UndoControl;
  /** A job was made by somebody else's commit: look now. */
  wake(): void;
}

export function jobsOf(parts: JobParts): Jobs {
  const { log, version, db, changes, hooks } = parts;
  const queue = createJobQueue({ db, onEnqueued: () => worker.wake() });
  const pace = new Pace();
  const standing = standingJobs(parts, pace);
  const journal = createJournal({ db, changes });
  const handlers = [
    ...standing,
    ...resultHandlers(parts),
    createUndoHandler({ journal, log }),
    parts.sendMail,
  ];
  const worker = new JobWorker({
    queue,
    handlers,
    owner: randomUUID(),
    log,
    random: Math.random,
    // Each kind has its own bound: plugins that take their time hold up no other kind.
    limits: { concurrency: handlers.reduce((sum, handler) => sum + handler.concurrency, 0) },
  });
  const failed = (error: unknown) => log.warn("jobs not woken", { reason: messageOf(error) });
  const makeDue = async (kind: string) => {
    await queue.makeDue(kind);
    worker.wake();
  };
  const wakers = standing.map(job =>
    wakeOnMail(
      () => job.nudge(),
      () => makeDue(job.kind),
      failed,
    ),
  );
  const mailCame = () => {
    pace.mailCame();
    for (const wake of wakers) wake();
  };
  // What was stored, here or on another node, may have left jobs; without such hooks it leaves none.
  const followUp = () => {
    if (hooks().has("post_receive")) worker.wake();
  };
  const clean = async () => {
    while ((await queue.deleteFinished(KEEP_DAYS, KEEP_DONE_DAYS)) > 0);
  };
  const ends: Array<() => void> = [];
  return {
    wake: () => worker.wake(),
    lateAnswers: createLateAnswers(queue),
    undo: {
      count: selection => journal.count(selection),
      start: (selection, by) => enqueueUndo(queue, selection, by, new Date()),
    },
    admin: createJobAdmin({
      db,
      onChange() {
        worker.wake();
        worker.checkCancels().catch(failed);
      },
      onCanceled: job => worker.abandoned(job),
    }),
    component: component({
      info: {
        name: "jobs",
        version,
        description:
          "works off the job queue: texts for search, what mail is sorted by, hooks after the commit, late answers, undoing, the outbox",
        type: "worker",
      },
      start() {
        worker.start();
        ends.push(changes.onChange(mailCame), changes.onChange(followUp), every(CLEAN_MS, clean, failed));
      },
      async stop(deadline) {
        for (const end of ends.splice(0)) end();
        await worker.stop(deadline);
      },
    }),
  };
}

/** What is made of every message after its commit. */
function standingJobs({ db, blobs, log, metrics }: JobParts, pace: Pace): readonly StandingJobHandler[] {
  return [
    createSearchTextHandler({
      store: createSearchTextStore(db),
      blobs,
      log,
      now: Date.now,
      pace,
      onMade: outcome => metrics.searchTexts.inc({ outcome }),
    }),
    createImapTextHandler({
      store: createImapTextStore(db, indexVersion(process.versions.unicode ?? "")),
      blobs,
      log,
      now: Date.now,
      pace,
      onMade: outcome => metrics.imapTexts.inc({ outcome }),
    }),
    createMessageKeysHandler({ store: createMessageKeyStore({ db, blobs, log }), log, now: Date.now, pace }),
  ];
}

/** What brings plugins' answers to stored mail. */
function resultHandlers({ db, changes, blobs, hooks, directory, recordEvents }: JobParts) {
  const common = { messages: createStoredMessages({ db, changes }), recordEvents, now: () => new Date() };
  return [
    createPostReceiveHandler({ ...common, blobs, hooks }),
    createLateAnswerHandler({ ...common, directory }),
  ];
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
