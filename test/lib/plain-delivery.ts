/** A delivery as plain as it can be, for tests that put rows in by hand: one message for one mailbox, no hooks, no queue id. */
import type { AccountId, MessageId } from "../../src/core/ids.ts";
import { packStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import type { BlobRecord } from "../../src/core/ports/blobs.ts";
import type { Delivery } from "../../src/core/ports/store.ts";

export interface PlainDelivery {
  readonly id: MessageId;
  readonly account: AccountId;
  readonly recipient: string;
  readonly blob: BlobRecord;
  /** The message's bytes, or as many others. */
  readonly bytes: Buffer;
}

/** Into INBOX. The header is all up to the first empty line; none: there is none. */
export function plainDelivery({ id, account, recipient, blob, bytes }: PlainDelivery): Delivery {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const end = bytes.indexOf("\r\n\r\n");
  const headerBytes = end < 0 ? 0 : end + 4;
  const now = new Date();
  return {
    messageId: id,
    receivedAt: now,
    blob,
    structure: packStructure(scanner.end()),
    header: end < 0 ? undefined : bytes.subarray(0, headerBytes),
    headerBytes,
    messageIdHeader: undefined,
    subject: "",
    from: "",
    threadKey: undefined,
    attachments: 0,
    queueId: "",
    mailFrom: "",
    events: [],
    targets: [
      {
        accountId: account,
        recipient,
        mailbox: "INBOX",
        ifMissing: "fail",
        flags: { system: 0, keywords: [] },
        internalDate: now,
        prefix: Buffer.from("Return-Path: <>\r\n"),
        metadata: {},
        exactlyOnce: false,
        events: [],
      },
    ],
  };
}
