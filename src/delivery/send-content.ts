/**
 * What a user wants sent, as bytes in the store (composed or given as a whole), with who it is from and for. Lines end in CRLF.
 */
import { createHash } from "node:crypto";
import type { Deadline } from "../core/deadline.ts";
import type { MailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import { MAX_OUTGOING_RECIPIENTS } from "../core/ports/outbox.ts";
import type { ComposedMail, RawMail } from "../core/ports/sending.ts";
import { within } from "../platform/deadline.ts";
import { MessageReceiver, type ReceivedMessage } from "./received-message.ts";
import { distinct, type Mailbox } from "./send-addresses.ts";
import { composeMail } from "./send-compose.ts";
import { readRaw } from "./send-raw.ts";

export interface ContentParts {
  readonly blobs: BlobStore;
  readonly log: Log;
  readonly limits: () => { readonly messageBytes: number; readonly mime: MimeLimits };
  readonly now: () => Date;
}

export interface SentContent {
  /** Not durable yet. */
  readonly message: ReceivedMessage;
  readonly from: MailAddress;
  /** Of the field Sender, when there is one. */
  readonly sender: MailAddress | undefined;
  /** Each once. */
  readonly recipients: readonly MailAddress[];
  /** Of what was given, hex. */
  readonly digest: string;
}

interface Bytes {
  readonly from: Mailbox;
  readonly sender: Mailbox | undefined;
  readonly recipients: readonly Mailbox[];
  readonly header: Uint8Array;
  readonly original: Uint8Array;
  readonly body: AsyncIterable<Uint8Array>;
}

/** @throws {MairustError} as `MailSender.send`; nothing is kept then */
export async function takeContent(
  parts: ContentParts,
  mail: ComposedMail | RawMail,
  id: MessageId,
  deadline: Deadline,
): Promise<SentContent> {
  const now = parts.now();
  const bytes =
    mail.kind === "raw" ? await within(readRaw(mail, id, now), deadline) : await composed(mail, id, now);
  const recipients = distinct(bytes.recipients.map(one => one.address));
  assertRecipients(recipients.length);
  const digest = createHash("sha256");
  // Without what was added: Date and Message-ID are others each time.
  if (mail.kind === "raw") digest.update(JSON.stringify([mail.from ?? "", mail.to]));
  digest.update(bytes.original);
  const message = await stage(
    parts,
    id,
    now,
    chunksOf(bytes, chunk => digest.update(chunk)),
    deadline,
  );
  return {
    message,
    from: bytes.from.address,
    sender: bytes.sender?.address,
    recipients,
    digest: digest.digest("hex"),
  };
}

async function composed(mail: ComposedMail, id: MessageId, now: Date): Promise<Bytes> {
  const { from, recipients, bytes } = await composeMail(mail, id, now);
  return { from, sender: undefined, recipients, header: bytes, original: bytes, body: nothing() };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** @throws {MairustError} `invalid_argument`, `too_many` */
function assertRecipients(count: number): void {
  if (count > 0 && count <= MAX_OUTGOING_RECIPIENTS) return;
  const text =
    count === 0 ? "it is for nobody" : `${count} recipients, allowed are ${MAX_OUTGOING_RECIPIENTS}`;
  throw new MairustError("invalid_argument", `Cannot send: ${text}`, { publicText: text });
}

async function* chunksOf(
  { header, body }: Bytes,
  seen: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  const lines = new LineEnds();
  yield lines.chunk(header);
  for await (const chunk of body) {
    seen(chunk);
    yield lines.chunk(chunk);
  }
}

const CR = 0x0d;
const LF = 0x0a;

/** A bare LF becomes CRLF, over chunks: so it goes over SMTP, and so it must be signed. */
class LineEnds {
  #last = 0;

  chunk(bytes: Uint8Array): Uint8Array {
    const out = Buffer.allocUnsafe(bytes.length * 2);
    let length = 0;
    for (const octet of bytes) {
      if (octet === LF && this.#last !== CR) out[length++] = CR;
      out[length++] = octet;
      this.#last = octet;
    }
    return out.subarray(0, length);
  }
}

/** @throws {MairustError} `message_too_large`, `disk_full`, `deadline`: nothing is kept */
export async function stage(
  { blobs, log, limits }: ContentParts,
  id: MessageId,
  receivedAt: Date,
  chunks: AsyncIterable<Uint8Array>,
  deadline: Deadline,
): Promise<ReceivedMessage> {
  const { messageBytes, mime } = limits();
  const receiver = new MessageReceiver({ blobs, id, receivedAt, limits: mime, log });
  try {
    let size = 0;
    for await (const chunk of chunks) {
      deadline.signal.throwIfAborted();
      size += chunk.length;
      if (size > messageBytes) throw tooLarge(messageBytes);
      await receiver.write(chunk);
    }
    return await receiver.finish();
  } catch (error) {
    await receiver.abort();
    throw error;
  }
}

function tooLarge(bytes: number): MairustError {
  const text = `the message has more than ${bytes} octets (limits.message_bytes)`;
  return new MairustError("message_too_large", `Cannot send: ${text}`, { publicText: text });
}
