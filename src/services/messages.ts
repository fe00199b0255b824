/** Use cases on stored messages: search, show, raw bytes, timeline, and putting one in without hooks (`msg add`). */
import type { MessageRecord, PlaceSelector, RawMessage, Timeline } from "../core/admin-ports.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { AddedMessage } from "../core/ports/message-adder.ts";
import type { FlagSet } from "../core/ports/store.ts";
import { parseSearch } from "../core/search-grammar.ts";
import { type Actor, audited } from "./audit.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** @param text  see `core/search-grammar.ts`; "" lists everything. @throws {MairustError} `invalid_argument`, `not_built` */
export async function searchMessages(
  ports: ServicePorts,
  text: string,
  asked: PageAsked,
): Promise<PageGiven<MessageRecord>> {
  const query = parseSearch(text);
  return pageGiven(await ports.messages.search(query, pageRequest(asked)));
}

/** @param id  UUID, queue id or Message-ID field. @throws {MairustError} `not_found` */
export function getMessage(ports: ServicePorts, id: string): Promise<MessageRecord> {
  return ports.messages.getMessage(id);
}

/** What happened to a message, when and why. @throws {MairustError} `not_found` */
export function explainMessage(ports: ServicePorts, id: string): Promise<Timeline> {
  return ports.messages.timeline(id);
}

export interface RawContent {
  readonly raw: RawMessage;
  /** Prefix and blob, `raw.sizeBytes` octets; fails with `blob_missing` or `blob_damaged`. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * The bytes a mail client would fetch; that somebody asked for them is recorded.
 * @param id  undefined: the place says which
 * @throws {MairustError} `not_found`, `store_unavailable`
 */
export async function readRaw(
  ports: ServicePorts,
  id: string | undefined,
  place: PlaceSelector,
  { who }: Actor,
): Promise<RawContent> {
  const raw = await ports.messages.raw(id, place);
  const { account, mailbox, uid } = raw;
  if (id === undefined) await ports.bodyReads.openedMailbox(who, account, mailbox);
  else await ports.bodyReads.opened(who, "message.read", id, { account, mailbox, uid });
  return { raw, content: prefixed(raw, ports.blobs.get(raw.digest)) };
}

async function* prefixed(raw: RawMessage, blob: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (raw.prefix.length > 0) yield raw.prefix;
  yield* blob;
}

export interface AddAsked extends Actor {
  readonly account: string;
  readonly mailbox: string;
  readonly flags: FlagSet;
  /** Default: now. */
  readonly internalDate: Date | undefined;
  readonly content: AsyncIterable<Uint8Array>;
  readonly dryRun: boolean;
}

export interface AddGiven {
  readonly account: string;
  readonly mailbox: string;
  readonly sizeBytes: number;
  /** undefined: dry run. */
  readonly added: AddedMessage | undefined;
}

/**
 * Store one message exactly as it comes: no field added, no hooks.
 * @throws {MairustError} `unknown_account`, `not_found` (mailbox), `data_invalid` (empty), `message_too_large`, `over_quota`, `disk_full`
 */
export async function addMessage(ports: ServicePorts, asked: AddAsked): Promise<AddGiven> {
  const found = await ports.directory.findAccount(parseMailAddress(asked.account));
  if (found === undefined) {
    const text = `no such account "${asked.account}"`;
    throw new MairustError("unknown_account", `Cannot add a message: ${text}`, { publicText: text });
  }
  const { account } = found;
  const mailboxes = await ports.accounts.listMailboxes(account.address);
  const wanted = asked.mailbox.toUpperCase() === "INBOX" ? "INBOX" : asked.mailbox;
  if (!mailboxes.some(mailbox => mailbox.name === wanted)) {
    const text = `no mailbox "${asked.mailbox}" in "${account.address}": a mailbox is made when the first hook files mail there`;
    throw new MairustError("not_found", `Cannot add a message: ${text}`, { publicText: text });
  }
  const counter = { bytes: 0 };
  const content = bounded(asked.content, ports.maxMessageBytes(), counter);
  const common = { account: account.address, mailbox: wanted };
  if (asked.dryRun) {
    for await (const _ of content);
    return { ...common, sizeBytes: counter.bytes, added: undefined };
  }
  const internalDate = asked.internalDate ?? new Date();
  const added = await audited(
    ports,
    { actor: asked.who, action: "message.add", object: account.address, detail: { mailbox: wanted } },
    asked,
    () => ports.adder.add({ account, mailbox: wanted, flags: asked.flags, internalDate, content }),
  );
  return { ...common, mailbox: added.mailbox, sizeBytes: added.sizeBytes, added };
}

/**
 * Passes chunks on, counts them, and refuses too many octets or none at all.
 * @throws {MairustError} `message_too_large`, `data_invalid`
 */
export async function* bounded(
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
  counter: { bytes: number },
): AsyncIterable<Uint8Array> {
  for await (const chunk of content) {
    counter.bytes += chunk.length;
    if (counter.bytes > maxBytes) {
      const text = `the message has more than ${maxBytes} octets (limits.message_bytes)`;
      throw new MairustError("message_too_large", `Cannot take a message: ${text}`, { publicText: text });
    }
    yield chunk;
  }
  if (counter.bytes === 0) {
    const text = "the message is empty";
    throw new MairustError("data_invalid", `Cannot take a message: ${text}`, { publicText: text });
  }
}
