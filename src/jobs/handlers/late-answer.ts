/**
 * Answers that came after their hook's time-out (`late = "apply"`): made durable as a job, then applied to the stored copies as a
 * `post_receive` result (message path, step 8).
 *
 * Which copies: those that the accounts of the answer's recipients have of its message, or of what was stored under its queue id
 * since the call may have begun (at the milter the message is not stored yet, and may arrive in several transactions). An account is
 * found as delivery finds it: by its address, an alias, without `+detail`. An address that the MTA rewrites is no account's here; so an
 * answer for every recipient of the transaction (`everyone`) serves for whatever copy comes under that queue id. Nobody else's
 * copy is touched. What a `pre_send` hook says is about what its user sent, never about what a recipient got: nothing of that is stored.
 *
 * What is not stored yet is looked for again, with the queue's back-off, until {@link LATE_ANSWER_WAIT_MS} have passed; then it is
 * written down as not applicable. Failures: `store_unavailable`: the job is run again; `data_invalid`: the payload is none of ours.
 */

import { parseMailAddress } from "../../core/envelope.ts";
import { MairustError } from "../../core/errors.ts";
import type { AccountId, MessageId } from "../../core/ids.ts";
import { accountId, messageId } from "../../core/ids.ts";
import type { Directory } from "../../core/ports/directory.ts";
import type { HookWish } from "../../core/ports/hook-wish.ts";
import type { HookPoint, LateAnswer, LateAnswers, MessageChanges } from "../../core/ports/hooks.ts";
import type { JobData, JobQueue } from "../../core/ports/jobs.ts";
import {
  type ChangeAuthor,
  MAX_CHANGE_ACCOUNTS,
  type StoredMessages,
} from "../../core/ports/message-changes.ts";
import type { MessageStore } from "../../core/ports/store.ts";
import { HOOK_POINTS } from "../../wire/config/hooks.ts";
import type { JobHandler, JobRun } from "../worker.ts";

export const LATE_ANSWER_JOB = "late_answer";

/** How long an answer waits for its message to be stored. */
export const LATE_ANSWER_WAIT_MS = 600_000;
/** Longest time from a call to its late answer (`late_timeout_ms` is at most 600 s), and what clocks of nodes may differ: under a queue id, older mail is another message. */
const CALL_AGE_MS = 660_000;
/** Runs: more than the back-off makes in that time, so that a database that was away costs no answer. */
const MAX_ATTEMPTS = 20;
/** Messages under one queue id: one for each transaction of the MTA. */
const MAX_MESSAGES = 100;
const CONCURRENCY = 2;
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu;

/** The way in: after it resolves the answer is durable. */
export function createLateAnswers(queue: JobQueue, now: () => Date = () => new Date()): LateAnswers {
  return async answer => {
    await queue.enqueue({
      kind: LATE_ANSWER_JOB,
      payload: { ...answer, at: now().toISOString() },
      maxAttempts: MAX_ATTEMPTS,
      ...(UUID.test(answer.messageId) ? { messageId: answer.messageId } : {}),
    });
  };
}

export interface LateAnswerOptions {
  readonly messages: StoredMessages;
  readonly directory: Directory;
  readonly recordEvents: MessageStore["recordEvents"];
  readonly now: () => Date;
}

export function createLateAnswerHandler(options: LateAnswerOptions): JobHandler {
  return { kind: LATE_ANSWER_JOB, concurrency: CONCURRENCY, run: run => apply(options, run) };
}

async function apply(options: LateAnswerOptions, run: JobRun): Promise<void> {
  const { answer, at } = readAnswer(run.job.payload);
  if (answer.point === "pre_send")
    return giveUp(options, answer, answer.recipients, "no copy of sent mail is stored");
  const done = readCheckpoint(run.job.checkpoint);
  const accounts = await accountsByRecipient(options.directory, answer.recipients);
  for (const { id, anybody } of await storedMessages(options.messages, answer, at)) {
    const inScope = anybody ? await options.messages.accountsOf(id) : [...new Set(accounts.values())];
    const todo = inScope.filter(account => !done.has(account));
    for (let from = 0; from < todo.length; from += MAX_CHANGE_ACCOUNTS) {
      run.signal.throwIfAborted();
      const some = todo.slice(from, from + MAX_CHANGE_ACCOUNTS);
      for (const account of await change(options.messages, answer, id, some)) done.add(account);
    }
  }
  const missing = answer.recipients.filter(recipient => {
    const account = accounts.get(recipient);
    return account === undefined || !done.has(account);
  });
  if (missing.length === 0) return;
  if (options.now().getTime() - at.getTime() >= LATE_ANSWER_WAIT_MS) {
    if (answer.everyone !== true || done.size === 0)
      giveUp(options, answer, missing, `no copy was stored within ${LATE_ANSWER_WAIT_MS / 1000} s`);
    return;
  }
  await run.saveCheckpoint({ done: [...done] });
  const counts = `${missing.length} of ${answer.recipients.length} copies are not stored yet`;
  throw new MairustError("not_found", `Cannot apply the late answer of hook "${answer.hook}": ${counts}`, {
    retry: "later",
  });
}

/** @returns recipient → account; those that are nobody here (yet) are left out */
async function accountsByRecipient(
  directory: Directory,
  recipients: readonly string[],
): Promise<ReadonlyMap<string, AccountId>> {
  const found = await Promise.all(
    recipients.map(async recipient => {
      const resolved = await directory.findAccount(parseMailAddress(recipient));
      return resolved === undefined ? [] : [[recipient, resolved.account.id] as const];
    }),
  );
  return new Map(found.flat());
}

interface Candidate {
  readonly id: MessageId;
  /** Whoever has a copy of it was in scope. */
  readonly anybody: boolean;
}

async function storedMessages(
  messages: StoredMessages,
  answer: LateAnswer,
  at: Date,
): Promise<readonly Candidate[]> {
  const since = new Date(at.getTime() - CALL_AGE_MS);
  const byQueueId = await messages.findByQueueId(answer.queueId, since, MAX_MESSAGES);
  const own = UUID.test(answer.messageId) && !byQueueId.includes(answer.messageId) ? [answer.messageId] : [];
  return [...own, ...byQueueId].map(id => ({
    id,
    anybody: answer.everyone === true && answer.point === "pre_receive" && id !== answer.messageId,
  }));
}

/** @returns accounts that have a copy: they are done */
async function change(
  messages: StoredMessages,
  answer: LateAnswer,
  id: MessageId,
  accounts: readonly AccountId[],
): Promise<readonly AccountId[]> {
  const { changes } = answer;
  const wishes = [wishOf(answer)];
  const request = { messageId: id, accounts, changes, wishes, by: [authorOf(answer)], events: [] };
  const results = await messages.apply({ ...request, job: LATE_ANSWER_JOB });
  return results.filter(({ outcome }) => outcome !== "no_copy").map(({ account }) => account);
}

function wishOf({ point, hook, pluginId, pluginVersion, callId, changes }: LateAnswer): HookWish {
  const { tagsAdd, tagsRemove, systemFlags, keywords, folder } = changes;
  const metadata = Object.keys(changes.metadata);
  const by = { point, hook, pluginId, pluginVersion, callId };
  return { ...by, tagsAdd, tagsRemove, systemFlags, keywords, folder, metadata };
}

function authorOf({ hook, pluginId, callId, changes }: LateAnswer): ChangeAuthor {
  return { plugin_id: pluginId, hook, call_id: callId, changes: namesOf(changes) };
}

function namesOf(changes: MessageChanges): ChangeAuthor["changes"] {
  const names: string[] = [];
  if (changes.tagsAdd.length + changes.tagsRemove.length > 0) names.push("tags");
  if (changes.systemFlags !== 0 || changes.keywords.length > 0) names.push("flags");
  if (Object.keys(changes.metadata).length > 0) names.push("metadata");
  if (changes.folder !== undefined) names.push("folder");
  return names;
}

function giveUp(
  options: LateAnswerOptions,
  answer: LateAnswer,
  missing: readonly string[],
  why: string,
): void {
  if (!UUID.test(answer.messageId)) return;
  const data = { job: LATE_ANSWER_JOB, by: [authorOf(answer)], result: "not_applicable", problems: [why] };
  const at = options.now();
  const events = missing.map(recipient => ({ at, kind: "job" as const, recipient, data }));
  options.recordEvents(answer.messageId, answer.queueId, events);
}

function readCheckpoint({ done }: JobData): Set<AccountId> {
  return new Set(Array.isArray(done) ? done.filter(id => typeof id === "number").map(accountId) : []);
}

const isText = (value: unknown): value is string => typeof value === "string";
const areTexts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(isText);
const isPoint = (value: unknown): value is HookPoint => HOOK_POINTS.some(point => point === value);

/** @throws {MairustError} `data_invalid` */
function readAnswer(payload: JobData): { readonly answer: LateAnswer; readonly at: Date } {
  const { at, point, hook, pluginId, callId, messageId: id, queueId, recipients, everyone } = payload;
  const pluginVersion = isText(payload.pluginVersion) ? payload.pluginVersion : "";
  const changes = readChanges(payload.changes);
  const isWhole =
    isText(at) && isPoint(point) && isText(hook) && isText(pluginId) && isText(callId) && isText(id);
  if (!isWhole || !isText(queueId) || !areTexts(recipients) || changes === undefined)
    throw new MairustError("data_invalid", "Cannot read a late answer: its job has another payload");
  const by = { point, hook, pluginId, pluginVersion, callId };
  const answer = { ...by, messageId: messageId(id), queueId, recipients, changes };
  return { answer: { ...answer, everyone: everyone === true }, at: new Date(at) };
}

function readChanges(value: unknown): MessageChanges | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { tagsAdd, tagsRemove, systemFlags, keywords, folder, metadata } = value as Record<string, unknown>;
  if (!areTexts(tagsAdd) || !areTexts(tagsRemove) || !areTexts(keywords)) return undefined;
  if (typeof systemFlags !== "number" || typeof metadata !== "object" || metadata === null) return undefined;
  if (folder !== undefined && !isText(folder)) return undefined;
  return {
    tagsAdd,
    tagsRemove,
    systemFlags,
    keywords,
    folder,
    metadata: metadata as Record<string, unknown>,
  };
}
