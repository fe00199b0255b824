/**
 * Ends mails of the outbox whose job is no more. Nobody is left without a word: of a job that failed for good the sender is told by a
 * bounce; a job that somebody canceled leaves a record of who and when, and no bounce, since the mail was taken away on purpose (as by
 * postsuper -d). Who had been refused before is told of in both cases.
 *
 * Runs right after such an end, and every few minutes for what a killed process left. What fails is tried again then.
 */
import { messageOf } from "../../core/errors.ts";
import type { AbandonedMail, AttemptResult, OutgoingAttempt } from "../../core/ports/outbox.ts";
import { resultOf, type SendMailOptions, settle, settleTaken } from "./mail-results.ts";

const GAVE_UP = "it is not tried any more";
const UNKNOWN = "the last try may have been taken";

/** @returns how many ended. @throws {MairustError} `store_unavailable`: nobody knows which there are */
export async function endAbandonedMails(options: SendMailOptions): Promise<number> {
  let ended = 0;
  for (const one of await options.work.abandoned()) {
    try {
      if (await endMail(options, one)) ended += 1;
    } catch (error) {
      options.log.error("mail not ended", { outbox: one.id, reason: messageOf(error) });
    }
  }
  return ended;
}

async function endMail(options: SendMailOptions, abandoned: AbandonedMail): Promise<boolean> {
  const opened = await options.work.open(abandoned.id);
  if (opened === undefined) return false;
  const mail = await settleTaken(options, opened);
  if (mail === undefined) return true;
  return settle(options, mail, resultsOf(mail, abandoned), { abandoned });
}

function resultsOf(
  { waiting, interrupted }: OutgoingAttempt,
  { canceledBy }: AbandonedMail,
): readonly AttemptResult[] {
  const doubt = interrupted === undefined ? "" : `; ${UNKNOWN}`;
  return waiting.map(one => {
    if (canceledBy !== undefined) return resultOf(one, "canceled", `canceled by ${canceledBy}${doubt}`);
    return resultOf(one, "refused", `${GAVE_UP}${doubt}${one.reply === "" ? "" : `: ${one.reply}`}`);
  });
}
