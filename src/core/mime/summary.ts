/**
 * From the finished scan to `MessageStructure`: adds what delivery, search and hooks ask of the root header.
 */
import { listAttachments } from "./attachments.ts";
import type { HeaderReader } from "./header-reader.ts";
import { HEADER_KEEP_BYTES } from "./limits.ts";
import type { EnvelopeFields, MessageStructure, MimePart } from "./structure.ts";
import { firstMessageId, receivedQueueId, threadKeyOf } from "./trace-fields.ts";

export interface FinishedScan {
  readonly root: MimePart;
  readonly sizeBytes: number;
  /** Beginning of the root header block, at most `HEADER_KEEP_BYTES`. */
  readonly head: Uint8Array;
  readonly reader: HeaderReader;
  readonly partCount: number;
  readonly truncated: boolean;
}

const NO_FIELDS: EnvelopeFields = {
  date: undefined,
  subject: undefined,
  from: undefined,
  sender: undefined,
  replyTo: undefined,
  to: undefined,
  cc: undefined,
  bcc: undefined,
  inReplyTo: undefined,
  messageId: undefined,
};

/** Put the structure together. Pure. */
export function summarize(scan: FinishedScan): MessageStructure {
  const { root, reader } = scan;
  const envelope = root.envelope ?? NO_FIELDS;
  const references = reader.value("references");
  const received = reader.value("received");
  return {
    root,
    sizeBytes: scan.sizeBytes,
    headerSizeBytes: root.bodyStart,
    headerBytes: root.bodyStart <= HEADER_KEEP_BYTES ? scan.head : undefined,
    headerHead: scan.head,
    partCount: scan.partCount,
    truncated: scan.truncated,
    receivedCount: reader.receivedCount,
    receivedId: received === undefined ? undefined : receivedQueueId(received),
    deliveredTo: reader.deliveredTo,
    messageId: firstMessageId(envelope.messageId),
    envelope,
    references,
    attachments: listAttachments(root),
    threadKey: threadKeyOf(references, envelope.inReplyTo, envelope.messageId),
  };
}
