/** Messages of ours on their way out: small ones are read ahead into memory, a bounded group at a time; large ones are streamed. */
import { messageOf } from "../core/errors.ts";
import type { MailboxMessageBody } from "../wire/api/transfer.ts";
import type { ImapExportOptions } from "../wire/transfer-calls.ts";
import { comparableOf } from "./comparable.ts";

/** Read whole up to this size. */
const SMALL_BYTES = 256 * 1024;
const GROUP_MESSAGES = 50;
const GROUP_BYTES = 4 * 1024 * 1024;
/** Requests for bytes at a time. */
const AT_ONCE = 8;

export interface Loaded {
  readonly message: MailboxMessageBody;
  readonly sizeBytes: number;
  readonly failure: { readonly reason: string; readonly isGone: boolean } | undefined;
  /** `ComparableDigest`; a large message is read for it. */
  key(): Promise<string>;
  digest(): Promise<string>;
  content(): Promise<Iterable<Uint8Array> | AsyncIterable<Uint8Array>>;
}

/** @throws what `calls.raw` threw, if it is fatal */
export async function* loadMessages(
  options: ImapExportOptions,
  mailbox: string,
  messages: readonly MailboxMessageBody[],
): AsyncIterable<readonly Loaded[]> {
  let group: MailboxMessageBody[] = [];
  let bytes = 0;
  for (const message of messages) {
    const isFull = group.length >= GROUP_MESSAGES || bytes + message.size_bytes > GROUP_BYTES;
    if (isFull && group.length > 0) {
      yield await loadGroup(options, mailbox, group);
      group = [];
      bytes = 0;
    }
    group.push(message);
    bytes += message.size_bytes;
  }
  if (group.length > 0) yield await loadGroup(options, mailbox, group);
}

async function loadGroup(
  options: ImapExportOptions,
  mailbox: string,
  group: readonly MailboxMessageBody[],
): Promise<readonly Loaded[]> {
  const loaded: Loaded[] = [];
  let next = 0;
  const worker = async () => {
    while (next < group.length) {
      const at = next++;
      const message = group[at] as MailboxMessageBody;
      loaded[at] =
        message.size_bytes > SMALL_BYTES || options.dryRun
          ? streamed(options, mailbox, message)
          : await whole(options, mailbox, message);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return loaded;
}

async function whole(
  options: ImapExportOptions,
  mailbox: string,
  message: MailboxMessageBody,
): Promise<Loaded> {
  const { calls, account } = options;
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await calls.raw(account, mailbox, message.uid)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const summed = once(() => comparableOf([bytes]));
    return {
      ...{ message, sizeBytes: bytes.length, failure: undefined },
      key: async () => (await summed()).key,
      digest: async () => (await summed()).digest,
      content: async () => [bytes],
    };
  } catch (error) {
    const kind = calls.failureOf(error);
    if (kind === "fatal") throw error;
    const isGone = kind === "gone";
    const failure = { reason: isGone ? "expunged meanwhile" : messageOf(error), isGone };
    return { ...streamed(options, mailbox, message), failure };
  }
}

function streamed(options: ImapExportOptions, mailbox: string, message: MailboxMessageBody): Loaded {
  const raw = () => options.calls.raw(options.account, mailbox, message.uid);
  const summed = once(async () => {
    try {
      return await comparableOf(await raw());
    } catch (error) {
      if (options.calls.failureOf(error) === "fatal") throw error;
      // Nothing is equal to it: what is wrong with it shows when it is sent.
      return { key: "", digest: "" };
    }
  });
  return {
    ...{ message, sizeBytes: message.size_bytes, failure: undefined },
    key: async () => (await summed()).key,
    digest: async () => (await summed()).digest,
    content: raw,
  };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let done: Promise<T> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}
