/**
 * The job that undoes what a plugin changed, newest first, one commit for each entry of the journal. It may be cut anywhere and goes on
 * where it was: what is undone is not undone again. What plugins change while it runs is not among it.
 * Failures: `store_unavailable`: the job is run again; `data_invalid`: the payload is none of ours.
 */
import { MairustError } from "../../core/errors.ts";
import { accountId } from "../../core/ids.ts";
import type { JobData, JobQueue } from "../../core/ports/jobs.ts";
import type { Journal, UndoSelection } from "../../core/ports/journal.ts";
import type { JobHandler, JobRun } from "../worker.ts";

/** As in `store/journal.ts`. */
export const UNDO_JOB = "undo";

/** Entries between two looks at the journal; the checkpoint is written as often. */
const STEP = 100;
const MAX_ATTEMPTS = 36;

export interface UndoOptions {
  readonly journal: Journal;
  readonly log: { info(event: string, fields: Readonly<Record<string, string | number>>): void };
}

/** @param until  now: later changes are not meant. @returns the job's id */
export function enqueueUndo(
  queue: JobQueue,
  selection: UndoSelection,
  by: string,
  until: Date,
): Promise<number> {
  const { pluginId, version, hook, since, account } = selection;
  const payload = {
    ...{ plugin: pluginId, by, until: (selection.until ?? until).toISOString() },
    ...(version === undefined ? {} : { version }),
    ...(hook === undefined ? {} : { hook }),
    ...(since === undefined ? {} : { since: since.toISOString() }),
    ...(account === undefined ? {} : { account }),
  };
  return queue.enqueue({ kind: UNDO_JOB, payload, maxAttempts: MAX_ATTEMPTS });
}

export function createUndoHandler(options: UndoOptions): JobHandler {
  return { kind: UNDO_JOB, concurrency: 1, run: run => undoAll(options, run) };
}

async function undoAll({ journal, log }: UndoOptions, run: JobRun): Promise<void> {
  const { selection, by } = readPayload(run.job.payload);
  const { before, undone, left } = readCheckpoint(run.job.checkpoint);
  const counts = { undone, left };
  const total = (await journal.count(selection)).changes + undone + left;
  let at = before;
  while (true) {
    const ids = await journal.next(selection, at, STEP);
    if (ids.length === 0) break;
    for (const id of ids) {
      run.signal.throwIfAborted();
      const outcome = await journal.undo(id, by);
      if (outcome === "undone") counts.undone++;
      if (outcome === "nothing_left") counts.left++;
      at = id;
    }
    run.progress(Math.floor((100 * (counts.undone + counts.left)) / Math.max(1, total)));
    await run.saveCheckpoint({ before: at, ...counts });
  }
  log.info("plugin_changes_undone", { plugin: selection.pluginId, by, ...counts });
}

const isText = (value: unknown): value is string => typeof value === "string";

/** @throws {MairustError} `data_invalid` */
function readPayload({ plugin, by, until, since, version, hook, account }: JobData): {
  readonly selection: UndoSelection;
  readonly by: string;
} {
  if (!isText(plugin) || !isText(by) || !isText(until))
    throw new MairustError("data_invalid", "Cannot undo: the job has another payload");
  return {
    by,
    selection: {
      pluginId: plugin,
      version: isText(version) ? version : undefined,
      hook: isText(hook) ? hook : undefined,
      since: isText(since) ? new Date(since) : undefined,
      until: new Date(until),
      account: typeof account === "number" ? accountId(account) : undefined,
    },
  };
}

function readCheckpoint({ before, undone, left }: JobData) {
  const count = (value: unknown) => (typeof value === "number" ? value : 0);
  return {
    before: typeof before === "number" ? before : undefined,
    undone: count(undone),
    left: count(left),
  };
}
