/** Use cases of import, export and verify on the side of the service: the commands read the files, these read and write the store. */
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { flagSetAt, indexOfUid, type MailboxSnapshot, uidsBetween } from "../core/mailbox-snapshot.ts";
import type { Account } from "../core/ports/directory.ts";
import type { MessageRow } from "../core/ports/mailboxes.ts";
import type { FlagSet } from "../core/ports/store.ts";
import type {
  BatchOutcome,
  BatchPart,
  ComparedMessage,
  ImportRecord,
  ImportState,
  OpenedMailbox,
  SourceFolder,
  SourceMessage,
  SourceUids,
  Verification,
} from "../core/ports/transfer.ts";
import { readTime } from "../wire/message-arguments.ts";
import { BatchSyntaxError, readBatch } from "../wire/message-batch.ts";
import { MAX_KEY_CHARS } from "../wire/transfer.ts";
import { flagSetOf } from "./flags.ts";
import { encodeCursor, type PageAsked, type PageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} `unknown_account`, `address_syntax` */
export async function accountOf(ports: ServicePorts, address: string): Promise<Account> {
  const found = await ports.directory.findAccount(parseMailAddress(address));
  if (found !== undefined) return found.account;
  const text = `no such account "${address}"`;
  throw new MairustError("unknown_account", `Cannot find the account: ${text}`, { publicText: text });
}

/** @throws {MairustError} `unknown_account` */
export async function startImport(
  ports: ServicePorts,
  asked: { readonly account: string } & Pick<ImportRecord, "kind" | "source">,
  dryRun: boolean,
): Promise<ImportRecord> {
  const account = await accountOf(ports, asked.account);
  return ports.imports.start(account.id, asked, dryRun);
}

/** Newest first. */
export async function listImports(
  ports: ServicePorts,
  account: string | undefined,
  asked: PageAsked,
): Promise<PageGiven<ImportRecord>> {
  const page = pageRequest(asked);
  const id = account === undefined ? undefined : (await accountOf(ports, account)).id;
  const rows = await ports.imports.list(id, { ...page, limit: page.limit + 1 });
  const items = rows.slice(0, page.limit);
  const last = items.at(-1);
  const more = rows.length > page.limit && last !== undefined;
  return { items, nextCursor: more ? encodeCursor(String(last.id)) : undefined };
}

/** @throws {MairustError} `not_found` */
export function getImport(ports: ServicePorts, id: number): Promise<ImportRecord> {
  return ports.imports.get(id);
}

/** @throws {MairustError} `not_found` */
export function finishImport(
  ports: ServicePorts,
  id: number,
  state: ImportState,
  report: unknown,
): Promise<ImportRecord> {
  return ports.imports.finish(id, state, report);
}

/** @throws {MairustError} `unknown_account`, `invalid_argument`, `too_many` */
export async function openImportMailbox(
  ports: ServicePorts,
  asked: {
    readonly account: string;
    readonly name: string;
    readonly subscribe: boolean;
    readonly source: SourceUids | undefined;
    readonly folder: SourceFolder | undefined;
  },
  dryRun: boolean,
): Promise<OpenedMailbox> {
  const account = await accountOf(ports, asked.account);
  const { subscribe, source, folder } = asked;
  return ports.imports.openMailbox(account.id, asked.name, { subscribe, source, folder, dryRun });
}

/** What is new; flags that changed at the source are changed here. @throws {MairustError} `unknown_account`, `not_found` */
export async function compareImport(
  ports: ServicePorts,
  asked: {
    readonly account: string;
    readonly mailbox: string;
    readonly importId: number;
    readonly messages: readonly SourceMessage[];
  },
  dryRun: boolean,
): Promise<readonly ComparedMessage[]> {
  const account = await accountOf(ports, asked.account);
  return ports.imports.compare(account.id, asked.mailbox, asked.importId, asked.messages, dryRun);
}

/**
 * What its user has read elsewhere is read here too.
 * @returns how many messages that changed
 * @throws {MairustError} `unknown_account`, `not_found`, `invalid_state`: the mailbox has another UIDVALIDITY
 */
export async function addSeen(
  ports: ServicePorts,
  asked: {
    readonly account: string;
    readonly mailbox: string;
    readonly uidValidity: number;
    readonly uids: readonly number[];
  },
): Promise<number> {
  const { id } = await accountOf(ports, asked.account);
  return ports.imports.addSeen(id, asked.mailbox, asked.uidValidity, asked.uids);
}

/** @throws {MairustError} `unknown_account`, `not_found` */
export async function closeImportMailbox(
  ports: ServicePorts,
  asked: {
    readonly account: string;
    readonly name: string;
    readonly importId: number;
    readonly source: SourceUids | undefined;
    readonly seen: (SourceFolder & { readonly modseq: bigint }) | undefined;
  },
): Promise<{ readonly uidNext: number; readonly goneAtSource: number; readonly uids: "kept" | "own" }> {
  const account = await accountOf(ports, asked.account);
  return ports.imports.closeMailbox(account.id, asked.name, asked.importId, asked.source, asked.seen);
}

/**
 * Store a batch, in order. When it fails, what came first may be stored: sent again it is `already` there.
 * @param content  see `wire/message-batch.ts`
 * @throws {MairustError} `unknown_account`, `not_found` (mailbox), `invalid_argument` (the batch), `data_invalid` (it broke off), `disk_full`
 */
export async function addBatch(
  ports: ServicePorts,
  asked: {
    readonly account: string;
    readonly mailbox: string;
    readonly importId: number;
    /** UIDVALIDITY of the source when its UIDs are kept. */
    readonly keep: number | undefined;
    readonly content: AsyncIterable<Uint8Array>;
  },
): Promise<readonly BatchOutcome[]> {
  const { id, address } = await accountOf(ports, asked.account);
  const { mailbox, importId, keep } = asked;
  return ports.batches.add({ account: id, address, mailbox, importId, keep }, partsOf(asked.content));
}

async function* partsOf(content: AsyncIterable<Uint8Array>): AsyncIterable<BatchPart> {
  try {
    for await (const frame of readBatch(content)) {
      if (frame.kind === "head") yield { kind: "head", message: messageOfHead(frame.json) };
      else if (frame.kind !== "last") yield frame;
    }
  } catch (error) {
    if (!(error instanceof BatchSyntaxError)) throw error;
    throw new MairustError("invalid_argument", `Cannot read a batch: ${error.message}`, {
      publicText: error.message,
      cause: error,
    });
  }
}

const MAX_UID = 4_294_967_294;

function messageOfHead(json: unknown) {
  const head: Readonly<Record<string, unknown>> =
    typeof json === "object" && json !== null ? { ...json } : {};
  const { key, source_uid: uid, flags, keywords, internal_date: date } = head;
  const internalDate = typeof date === "string" ? readTime(date) : "no date";
  const isUid =
    uid === null || (typeof uid === "number" && Number.isInteger(uid) && uid >= 1 && uid <= MAX_UID);
  const isKey = typeof key === "string" && key !== "" && key.length <= MAX_KEY_CHARS && !key.includes("\0");
  if (!isKey || !isUid || typeof internalDate === "string" || !isTexts(flags) || !isTexts(keywords)) {
    throw new BatchSyntaxError("the head of a message is wrong");
  }
  const sourceUid = uid === null ? undefined : uid;
  return { key, sourceUid, flags: flagSetOf(flags, keywords), internalDate };
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(one => typeof one === "string");

export interface ListedMessage {
  readonly uid: number;
  readonly flags: FlagSet;
  readonly internalDate: Date;
  /** As a client sees it, prefix included. */
  readonly sizeBytes: number;
}

/** One mailbox in UID order. @throws {MairustError} `unknown_account`, `not_found` */
export async function listMailboxMessages(
  ports: ServicePorts,
  address: string,
  name: string,
  asked: PageAsked,
): Promise<PageGiven<ListedMessage>> {
  const { id } = await accountOf(ports, address);
  const { limit, after } = pageRequest(asked);
  const opened = await ports.mailboxes.open(id, name);
  try {
    const snapshot = await opened.refresh();
    const first = indexOfUid(snapshot, Number(after ?? 0) + 1);
    const uids = uidsBetween(snapshot, first, Math.min(first + limit, snapshot.count));
    const items: ListedMessage[] = [];
    for await (const rows of ports.mailboxes.rows(opened.info.id, uids, {}))
      items.push(...rows.map(row => listed(snapshot, row)));
    const last = uids.at(-1);
    const more = last !== undefined && first + limit < snapshot.count;
    return { items, nextCursor: more ? encodeCursor(String(last)) : undefined };
  } finally {
    opened.close();
  }
}

function listed(snapshot: MailboxSnapshot, row: MessageRow): ListedMessage {
  const flags = flagSetAt(snapshot, indexOfUid(snapshot, row.uid));
  return { uid: row.uid, flags, internalDate: row.internalDate, sizeBytes: row.sizeBytes };
}

/** Keep the result of a comparison; it replaces the last one. @throws {MairustError} `unknown_account` */
export async function recordVerification(
  ports: ServicePorts,
  address: string,
  verification: Omit<Verification, "account" | "finishedAt">,
): Promise<Verification> {
  const account = await accountOf(ports, address);
  return ports.verifications.record(account.id, verification);
}

/** @throws {MairustError} `unknown_account`, `not_found` */
export async function lastVerification(ports: ServicePorts, address: string): Promise<Verification> {
  return ports.verifications.get((await accountOf(ports, address)).id);
}
