/**
 * The job that hands one mail of the outbox to the MTA: what waits is tried, and what each recipient was answered is written down.
 * A 5xx is for good, everything else is tried again with the queue's back-off; past the last run who still waits is refused. What a
 * canceled or dead job leaves is ended by `abandoned-mail.ts`.
 *
 * Killed or cut off after the end of the message and before its answer, nobody knows whether it was taken: it is sent again, unless
 * something of it came back meanwhile (`store/outbox-work.ts`). That is the only way in which a mail can be sent twice; it is counted.
 */
import { MairustError, messageOf } from "../../core/errors.ts";
import type { JobData } from "../../core/ports/jobs.ts";
import {
  type AttemptResult,
  type OutgoingAttempt,
  SEND_MAIL_JOB,
  type WaitingRecipient,
} from "../../core/ports/outbox.ts";
import { deadlineAfter } from "../../platform/deadline.ts";
import type { JobHandler, JobRun } from "../worker.ts";
import { endAbandonedMails } from "./abandoned-mail.ts";
import { resultOf, type SendMailOptions, type SubmitReply, settle, settleTaken } from "./mail-results.ts";

/** Mails at a time on this node. */
const CONCURRENCY = 4;
/** For one submission: a large message over a slow link; the job's lease is renewed meanwhile. */
const SUBMIT_MS = 300_000;

export function createSendMailHandler(options: SendMailOptions): JobHandler {
  return {
    kind: SEND_MAIL_JOB,
    concurrency: CONCURRENCY,
    run: run => sendMail(options, run),
    async abandoned() {
      await endAbandonedMails(options);
    },
  };
}

async function sendMail(options: SendMailOptions, run: JobRun): Promise<void> {
  const id = outboxId(run.job.payload);
  const opened = await options.work.open(id);
  if (opened === undefined) return;
  const mail = await settleTaken(options, opened);
  if (mail === undefined) return;
  if (mail.interrupted !== undefined) tellUnknown(options, mail);
  const token = await options.work.begin(mail.id);
  // A process that stood still lost its job meanwhile: who was told that the mail is not sent must not be sent it.
  if (token === undefined) return;
  const results = await attempt(options, mail, token, run);
  await settle(options, mail, results, { token });
  const still = results.filter(one => one.state === "waiting");
  if (still.length === 0) return;
  const text = `${still.length} of ${results.length} recipients wait: ${still[0]?.reply ?? ""}`;
  throw new MairustError("store_unavailable", `Cannot send mail "${id}" yet: ${text}`, { retry: "later" });
}

/** @throws {MairustError} `data_invalid` */
function outboxId({ outbox }: JobData): string {
  if (typeof outbox === "string") return outbox;
  throw new MairustError("data_invalid", "Cannot send mail: the job has another payload");
}

function tellUnknown(
  { log, onUnknown }: SendMailOptions,
  { id, purpose, interrupted }: OutgoingAttempt,
): void {
  onUnknown(purpose);
  log.warn("mail may be sent twice", { outbox: id, purpose, queue_id: interrupted?.queueId });
}

async function attempt(
  options: SendMailOptions,
  mail: OutgoingAttempt,
  token: string,
  run: JobRun,
): Promise<readonly AttemptResult[]> {
  const isLast = run.job.attempts >= run.job.maxAttempts;
  const deadline = deadlineAfter(SUBMIT_MS, run.signal);
  try {
    const replies = await options.submit(mail, token, deadline);
    return mail.waiting.map((one, i) => resultOfReply(one, replies[i], isLast));
  } catch (error) {
    // Whoever runs it next, or ends it, must know that nobody knows: nothing is written down.
    if (isUnknown(error) && (!isLast || run.signal.aborted)) throw error;
    if (run.signal.aborted) {
      // Should that fail, the mail counts as one that may have been taken.
      await options.work.record(mail.id, [], { token }).catch(() => undefined);
      throw run.signal.reason;
    }
    const reply = problemOf(error);
    return mail.waiting.map(one => resultOf(one, isLast ? "refused" : "waiting", given(reply, isLast)));
  } finally {
    deadline.dispose();
  }
}

const isUnknown = (error: unknown) => error instanceof MairustError && error.context.unknown === true;

const problemOf = (error: unknown) =>
  error instanceof MairustError && error.publicText !== "" ? error.publicText : messageOf(error);

const given = (reply: string, isLast: boolean) => (isLast ? `gave up: ${reply}` : reply);

function resultOfReply(
  recipient: WaitingRecipient,
  reply: SubmitReply | undefined,
  isLast: boolean,
): AttemptResult {
  const text = reply?.text ?? "no reply";
  if (reply?.taken === true) return resultOf(recipient, "taken", text);
  // What a server says of itself ends with its fault.
  if (reply?.isEarly !== true && text.startsWith("5")) return resultOf(recipient, "refused", text);
  return resultOf(recipient, isLast ? "refused" : "waiting", given(text, isLast));
}
