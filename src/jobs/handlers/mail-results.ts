/**
 * What came of mail of the outbox, written down for each recipient, with the notice for its sender when the mail has ended. Shared by
 * the job that sends (`send-mail.ts`) and by what ends mail whose job is no more (`abandoned-mail.ts`).
 */
import type { Deadline } from "../../core/deadline.ts";
import type { HeldRecipient } from "../../core/ports/holds.ts";
import type { Log } from "../../core/ports/log.ts";
import type {
  AttemptResult,
  OutboxWork,
  OutgoingAttempt,
  OutgoingMail,
  OutgoingPurpose,
  RecordOptions,
  RefusedRecipient,
  WaitingRecipient,
} from "../../core/ports/outbox.ts";

/** What the MTA said about one recipient. */
export interface SubmitReply {
  readonly taken: boolean;
  readonly text: string;
  readonly isEarly?: true;
}

export interface SendMailOptions {
  readonly work: OutboxWork;
  /**
   * @returns a reply for each of `waiting`, in order
   * @throws {MairustError} nothing was taken, unless `context.unknown` is true
   */
  readonly submit: (
    mail: OutgoingAttempt,
    token: string,
    deadline: Deadline,
  ) => Promise<readonly SubmitReply[]>;
  /** What its sender is told when it ends; undefined: nothing. */
  readonly notice: (
    mail: OutgoingAttempt,
    refused: readonly RefusedRecipient[],
  ) => Promise<OutgoingMail | undefined>;
  readonly log: Pick<Log, "info" | "warn" | "error">;
  readonly onResult: (purpose: OutgoingPurpose, result: AttemptResult["state"]) => void;
  /** It is sent again, and may have been taken before. */
  readonly onUnknown: (purpose: OutgoingPurpose) => void;
}

/**
 * Write down whom a try whose answer was lost surely reached.
 * @returns the mail as it is now; undefined: it has ended
 */
export async function settleTaken(
  options: SendMailOptions,
  mail: OutgoingAttempt,
): Promise<OutgoingAttempt | undefined> {
  const { interrupted } = mail;
  if (interrupted === undefined) return mail;
  const has = new Set(interrupted.cameBackFor.map(one => one.toLowerCase()));
  const taken = mail.waiting.filter(({ address }) => has.has(address.raw.toLowerCase()));
  if (taken.length === 0) return mail;
  const reply = `250 taken before the answer was lost: queued as ${interrupted.queueId ?? ""}`;
  await settle(
    options,
    mail,
    taken.map(one => resultOf(one, "taken", reply)),
  );
  return options.work.open(mail.id);
}

/** @returns whether it has ended */
export async function settle(
  options: SendMailOptions,
  mail: OutgoingAttempt,
  results: readonly AttemptResult[],
  { abandoned, token }: Pick<RecordOptions, "abandoned" | "token"> = {},
): Promise<boolean> {
  const ended = results.length === mail.waiting.length && results.every(one => one.state !== "waiting");
  const refused = [...mail.refused, ...results.flatMap(one => refusedOf(mail.waiting, one))];
  const notice = ended && refused.length > 0 ? await options.notice(mail, refused) : undefined;
  const isOver = await options.work.record(mail.id, results, { notice, abandoned, token });
  if (abandoned !== undefined && !isOver) return false;
  for (const { recipient, state, reply } of results) {
    options.onResult(mail.purpose, state);
    options.log.info("outbox", {
      ...{ outbox: mail.id, id: mail.messageId, purpose: mail.purpose, to: recipient, status: STATUS[state] },
      reply: reply.replace(/\s+/gu, " "),
    });
  }
  return isOver;
}

/** As the MTA's log calls them. */
const STATUS = { taken: "sent", refused: "bounced", waiting: "deferred", canceled: "canceled" } as const;

function refusedOf(
  waiting: readonly HeldRecipient[],
  { recipient, state, reply }: AttemptResult,
): readonly RefusedRecipient[] {
  const found = waiting.find(({ address }) => address.raw === recipient);
  return state === "refused" && found !== undefined ? [{ ...found, reply }] : [];
}

export const resultOf = (
  { ord, address }: WaitingRecipient,
  state: AttemptResult["state"],
  reply: string,
): AttemptResult => ({ ord, recipient: address.raw, state, reply });
