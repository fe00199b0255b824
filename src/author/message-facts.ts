/**
 * A message in memory as hooks get to know it, for calls on trial: scanned as mail is when it comes in, with an envelope that a
 * fixture or a command gives. Nothing fails here: any bytes are a message.
 */
import { createHash } from "node:crypto";
import type { ClientFacts } from "../core/envelope.ts";
import { blobDigest, type MessageId } from "../core/ids.ts";
import { packStructure } from "../core/mime/packed.ts";
import { MessageScanner } from "../core/mime/scanner.ts";
import type { MessageContent, MessageFacts } from "../core/ports/hooks.ts";

export interface TrialEnvelope {
  readonly mailFrom: string;
  readonly recipients: readonly string[];
  readonly client: ClientFacts;
  readonly tls: boolean | undefined;
  readonly authUser: string | undefined;
  readonly queueId: string;
}

export interface Trial {
  readonly bytes: Uint8Array;
  readonly envelope: TrialEnvelope;
  readonly direction: "inbound" | "outbound";
  readonly tags: readonly string[];
}

/** What an envelope is that nobody wrote down: addresses of RFC 2606, a network of RFC 5737. */
export const TRIAL_ENVELOPE: TrialEnvelope = {
  mailFrom: "sender@example.org",
  recipients: ["user@example.com"],
  client: { address: "192.0.2.7", name: "mx.example.org", helo: "mx.example.org" },
  tls: undefined,
  authUser: undefined,
  queueId: "4cYz1234567890A",
};

/** Files in version control end their lines in LF; mail ends them in CRLF. */
export function mailBytes(file: Uint8Array): Buffer {
  return Buffer.from(Buffer.from(file).toString("latin1").replace(/\r?\n/gu, "\r\n"), "latin1");
}

export function factsOf(trial: Trial, messageId: MessageId, receivedAt: Date): MessageFacts {
  const { bytes, envelope, direction, tags } = trial;
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const structure = scanner.end();
  const { recipients, mailFrom, client, tls, authUser, queueId } = envelope;
  return {
    messageId,
    receivedAt,
    sizeBytes: bytes.byteLength,
    queueId,
    direction,
    stage: "store",
    mailFrom,
    recipients,
    observed: new Set(),
    account: direction === "inbound" && recipients.length === 1 ? recipients[0] : undefined,
    client,
    authUser,
    tls,
    header: structure.headerHead,
    threadKey: structure.threadKey,
    tags,
    structure: packStructure(structure),
    content: contentOf(bytes),
  };
}

function contentOf(bytes: Uint8Array): MessageContent {
  return {
    digest: blobDigest(createHash("sha256").update(bytes).digest("hex")),
    sizeBytes: bytes.byteLength,
    async *read(range = { start: 0, end: bytes.byteLength }) {
      yield bytes.subarray(range.start, range.end);
    },
  };
}
