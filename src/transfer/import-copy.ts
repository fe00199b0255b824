/** New messages of one folder of a source on their way into one mailbox, counted. */
import type { BatchResult } from "../wire/api/transfer.ts";
import type { ImportCalls } from "../wire/transfer-calls.ts";
import {
  type BatchEntry,
  type BatchSender,
  type PendingMessage,
  type Sent,
  sendMessages,
} from "./import-batches.ts";
import type { ImportTally, MailboxTally } from "./import-tally.ts";
import type { LoadedFile } from "./message-file.ts";

export interface CopyRun {
  readonly options: { readonly calls: ImportCalls };
  /** 0: a dry run. */
  readonly id: number;
  /** Canonical. */
  readonly account: string;
  readonly tally: ImportTally;
}

export interface CopyPlan<E extends BatchEntry> {
  readonly mailbox: string;
  /** Of the source, when its UIDs are kept. */
  readonly uidValidity: number | undefined;
  readonly load: (entry: E) => Promise<LoadedFile>;
  /** For people. */
  readonly nameOf: (entry: E) => string;
}

/** @returns false: the rest of the folder was not tried */
export async function copyMessages<E extends BatchEntry>(
  run: CopyRun,
  pending: readonly PendingMessage<E>[],
  tally: MailboxTally,
  { mailbox, uidValidity, load, nameOf }: CopyPlan<E>,
): Promise<boolean> {
  const { options, account, id } = run;
  const sender: BatchSender<E> = {
    load,
    send: async (frames: AsyncIterable<Uint8Array>) =>
      (await options.calls.batch(id, { account, mailbox, uidValidity }, frames)).results,
    isPoison: (error: unknown) => options.calls.isPoison(error),
  };
  let tried = 0;
  for await (const batch of sendMessages<E>(sender, pending)) {
    tried += batch.length;
    for (const sent of batch) count(run, sent, nameOf(sent.pending.entry), tally);
    if (!batch.some(sent => sent.kind === "sent" && sent.result.kind === "over_quota")) continue;
    // Smaller ones might still fit, but then this one could never get its place.
    for (const { entry } of pending.slice(tried))
      tally.failed("over_quota", nameOf(entry), "not tried: the quota is used up");
    return false;
  }
  return true;
}

const REFUSED: Readonly<
  Record<Exclude<BatchResult["kind"], "stored" | "already">, readonly [reason: string, detail: string]>
> = {
  abandoned: ["changed_while_read", "it changed while it was read"],
  over_quota: ["over_quota", "the quota of the account is used up"],
  too_large: ["too_large", "larger than limits.message_bytes"],
  uid_taken: ["uid_taken", "its UID cannot be kept any more; --uids own copies it with a UID of our own"],
  gone: ["mailbox_gone", "the mailbox was removed meanwhile"],
};

function count<E extends BatchEntry>(run: CopyRun, sent: Sent<E>, name: string, tally: MailboxTally): void {
  switch (sent.kind) {
    case "vanished":
      run.tally.changed = true;
      tally.skipped("vanished", name, "it is not there any more");
      return;
    case "bad":
      tally.failed(sent.reason, name, sent.detail);
      return;
    case "sent":
      break;
  }
  const { kind, size_bytes: bytes } = sent.result;
  if (kind === "stored") tally.copied(bytes);
  else if (kind === "already") tally.already(1);
  else {
    if (kind === "abandoned") run.tally.changed = true;
    tally.failed(REFUSED[kind][0], name, sent.broken || REFUSED[kind][1]);
  }
}
