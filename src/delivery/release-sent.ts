/**
 * Held mail of the `send` path that is let go (message path, step 5, later): it gets what it would have got without the hold, the
 * signature of its sender's domain and the copy in its sender's mailbox. Mail that came through the MTA has both from its own way.
 *
 * What fails how: a key that cannot be read leaves the mail held. The copy is made after the MTA took the mail, once; without one the
 * mail is released all the same, because it is out.
 */
import type { Deadline } from "../core/deadline.ts";
import { type MailAddress, parseMailAddress } from "../core/envelope.ts";
import { messageOf } from "../core/errors.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory, ResolvedRecipient } from "../core/ports/directory.ts";
import type { HoldReleases, HoldTaken } from "../core/ports/hold-admin.ts";
import type { Log } from "../core/ports/log.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import { within } from "../platform/deadline.ts";
import type { ReadyMail } from "./release-edits.ts";

export interface SentParts {
  readonly holds: HoldReleases;
  readonly blobs: Pick<BlobStore, "get" | "stage">;
  readonly directory: Directory;
  readonly signer: DkimSigner;
  readonly log: Log;
}

export interface SignedSend {
  /** Fields of the signature, with CRLF; "": none. */
  readonly top: string;
  readonly content: AsyncIterable<Uint8Array>;
  /** undefined: the mail is none of the `send` path, or its sender is gone. */
  readonly sender: ResolvedRecipient | undefined;
  /** Text was appended: the copy has the bytes that were held, which the signature does not fit. */
  readonly isEdited: boolean;
  discard(): Promise<void>;
}

/** Held by `send`: no MTA had it yet. */
const isSend = ({ record, message }: HoldTaken) => record.point === "pre_send" && message.queueId === "";

/** @throws {MairustError} `blob_missing`, `blob_damaged`, `disk_full`, `deadline`; the key cannot be used */
export async function signForRelease(
  { blobs, directory, signer }: SentParts,
  taken: HoldTaken,
  { content, isEdited }: ReadyMail,
  deadline: Deadline,
): Promise<SignedSend> {
  const from: MailAddress = parseMailAddress(taken.message.mailFrom);
  const sender = isSend(taken) ? await directory.findAccount(from) : undefined;
  if (sender === undefined)
    return { top: "", content, sender: undefined, isEdited, discard: async () => undefined };
  const stage = blobs.stage();
  try {
    for await (const chunk of content) {
      deadline.signal.throwIfAborted();
      await stage.write(chunk);
    }
  } catch (error) {
    await stage.abort();
    throw error;
  }
  const staged = await stage.finish();
  const discard = () => staged.discard();
  try {
    const top = await within(signer.sign(sender.domain.name, staged), deadline);
    return { top, content: staged.read(), sender, isEdited, discard };
  } catch (error) {
    await discard();
    throw error;
  }
}

/** Never rejects. */
export async function keepSentCopy(
  { holds, log }: SentParts,
  taken: HoldTaken,
  { sender, top, isEdited }: SignedSend,
): Promise<void> {
  if (sender === undefined || sender.stage !== "store") return;
  const fields = { id: taken.message.messageId, hold: taken.record.id, to: sender.account.address };
  try {
    const copy = await holds.keepSent(taken, sender.account, isEdited ? "" : top);
    if (copy !== "stored") log.warn("no copy of sent mail kept", { ...fields, reason: copy });
  } catch (error) {
    log.warn("no copy of sent mail kept", { ...fields, reason: messageOf(error) });
  }
}
