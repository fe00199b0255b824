/**
 * What the next hop gets of a message (message path, step 7): the received bytes without our own trace field, and on top what was added
 * here. Return-Path and Delivered-To are the next hop's own. In stage `observe` nothing is added.
 *
 * A folder that a hook chose stands in a field of ours with a secret that the operator's Sieve rule knows
 * (`dovecot/mairust-folder.sieve`), so a sender cannot choose one. Such fields from outside are taken out.
 */
import type { Envelope } from "../../core/envelope.ts";
import { headerFields } from "../../core/mime/header.ts";
import type { StagedBlob } from "../../core/ports/blobs.ts";
import type { HookDecision } from "../../core/ports/hooks.ts";
import { encodeHeaderValue, headerFieldLines, receivedLines } from "../prefix.ts";
import type { ReceivedMessage } from "../received-message.ts";
import { TRACE_FIELD } from "../trace-field.ts";

export const FOLDER_FIELD = "X-MaiRust-Folder";

export interface Added {
  readonly envelope: Pick<Envelope, "peer" | "peerHelo" | "smtpUtf8">;
  readonly hostname: string;
  readonly message: Pick<ReceivedMessage, "id" | "receivedAt">;
  /** By hooks, in order. */
  readonly headers: HookDecision["headers"];
  /** Undefined: none was chosen. */
  readonly folder: string | undefined;
  readonly folderSecret: string;
}

/** Our Received names no recipient: those whose hooks added the same share one transaction. */
export function addedTop({ envelope, hostname, message, headers, folder, folderSecret }: Added): string {
  const received = receivedLines({
    envelope,
    hostname,
    messageId: message.id,
    receivedAt: message.receivedAt,
  });
  const chosen =
    folder === undefined ? "" : `${FOLDER_FIELD}: ${folderSecret}\r\n ${encodeHeaderValue(folder)}\r\n`;
  return `${received}${chosen}${headerFieldLines(headers)}`;
}

export interface RelayedContent {
  readonly sizeBytes: number;
  content(): AsyncIterable<Uint8Array>;
}

/**
 * @param header     its root header, as far as it is looked through
 * @param unchanged   stage `observe`: only the trace field goes, which no sender wrote
 */
export function relayedContent(
  header: Uint8Array,
  message: Pick<StagedBlob, "sizeBytes" | "read">,
  unchanged: boolean,
): RelayedContent {
  const ours = new Set([TRACE_FIELD, ...(unchanged ? [] : [FOLDER_FIELD])].map(name => name.toLowerCase()));
  const ranges = keptRanges(header, message.sizeBytes, ours);
  return {
    sizeBytes: ranges.reduce((sum, { start, end }) => sum + end - start, 0),
    async *content() {
      for (const range of ranges) yield* message.read(range);
    },
  };
}

/** What stays when these fields of the header go. */
function keptRanges(header: Uint8Array, sizeBytes: number, without: ReadonlySet<string>) {
  const ranges: { start: number; end: number }[] = [];
  let from = 0;
  // Most mail has none of them: no field is read then.
  if (
    Buffer.from(header.buffer, header.byteOffset, header.length)
      .toString("latin1")
      .search(/^x-mairust-/imu) >= 0
  )
    for (const { name, start, end } of headerFields(header)) {
      if (!without.has(name)) continue;
      if (start > from) ranges.push({ start: from, end: start });
      from = end;
    }
  if (from < sizeBytes || ranges.length === 0) ranges.push({ start: from, end: sizeBytes });
  return ranges;
}
