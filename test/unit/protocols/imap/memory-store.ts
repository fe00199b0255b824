/**
 * A mailbox reader, blob store and authenticator in memory, for tests of the IMAP server: they implement the ports the
 * server is built against, and let a test deliver, flag, expunge and damage.
 */
import { createHash } from "node:crypto";
import { MairustError, NotFound } from "../../../../src/core/errors.ts";
import { FlagTable } from "../../../../src/core/flag-table.ts";
import {
  accountId,
  type BlobDigest,
  blobDigest,
  type MailboxId,
  mailboxId,
  messageId,
} from "../../../../src/core/ids.ts";
import { applyDelta, emptySnapshot } from "../../../../src/core/mailbox-delta.ts";
import type { MailboxSnapshot } from "../../../../src/core/mailbox-snapshot.ts";
import { packStructure } from "../../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../../src/core/mime/scanner.ts";
import type { BlobStore, ByteRange } from "../../../../src/core/ports/blobs.ts";
import type { Account } from "../../../../src/core/ports/directory.ts";
import type { Authenticator, LoginRequest } from "../../../../src/core/ports/login.ts";
import {
  FETCH_PAGE,
  type MailboxInfo,
  type MailboxListing,
  type MailboxReader,
  type MessageRow,
  type OpenMailbox,
  type RowFields,
  type StatusWish,
  type Vanished,
} from "../../../../src/core/ports/mailboxes.ts";
import { FLAG_DELETED, FLAG_SEEN, type FlagSet } from "../../../../src/core/ports/store.ts";
import { deltaLine } from "../../../lib/snapshots.ts";

export const MASTER = { user: "dovecot", password: "master-secret" };
export const PASSWORD = "secret";

interface Stored {
  readonly row: Required<Omit<MessageRow, "header">> & { readonly header: Uint8Array | null };
  flags: FlagSet;
  modseq: number;
}

export interface Delivered {
  readonly flags?: FlagSet;
  readonly prefix?: string;
  readonly internalDate?: Date;
  readonly uid?: number;
  readonly threadId?: string;
  readonly preview?: string;
}

function digestOf(...parts: readonly Uint8Array[]): string {
  return createHash("sha256").update(Buffer.concat(parts)).digest("hex").slice(0, 32);
}

export class MemoryMailbox {
  readonly id: MailboxId;
  readonly name: string;
  readonly specialUse: string | undefined;
  readonly stored: Stored[] = [];
  readonly listeners = new Set<() => void>();
  uidValidity = 1_700_000_000;
  uidNext = 1;
  modseq = 1;
  holders = 0;
  /** MODSEQs of expunged messages by UID. */
  readonly expunged = new Map<number, number>();
  /** As if expunges up to this MODSEQ were forgotten. */
  expungedFloor = 0;
  #flags = new FlagTable();
  #snapshot: MailboxSnapshot | undefined;
  #pretended: MailboxSnapshot | undefined;
  #byUid: Map<number, Stored["row"]> | undefined;
  readonly #blobs: MemoryBlobs;

  constructor(id: number, name: string, specialUse: string | undefined, blobs: MemoryBlobs) {
    this.id = mailboxId(id);
    this.name = name;
    this.specialUse = specialUse;
    this.#blobs = blobs;
  }

  /** @param content  latin1 text or octets */
  deliver(content: string | Uint8Array, options: Delivered = {}): number {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : Buffer.from(content);
    const prefix = Buffer.from(options.prefix ?? "", "latin1");
    const scanner = new MessageScanner();
    scanner.write(bytes);
    const structure = scanner.end();
    const uid = options.uid ?? this.uidNext;
    if (uid < this.uidNext) this.#startAgain();
    this.uidNext = uid + 1;
    const row = {
      uid,
      messageId: messageId(`message-${uid}`),
      internalDate: options.internalDate ?? new Date("2026-02-01T09:05:07Z"),
      sizeBytes: prefix.length + bytes.length,
      blob: this.#blobs.put(bytes),
      blobSizeBytes: bytes.length,
      headerBytes: structure.headerSizeBytes,
      prefixBytes: prefix.length,
      prefix,
      structure: packStructure(structure),
      header: structure.headerBytes ?? null,
      emailId: `M${digestOf(prefix, bytes)}`,
      threadId: options.threadId ?? null,
      preview: options.preview ?? null,
    };
    this.modseq += 1;
    this.stored.push({ row, flags: options.flags ?? { system: 0, keywords: [] }, modseq: this.modseq });
    this.changed();
    return uid;
  }

  setFlags(uid: number, flags: FlagSet): void {
    const stored = this.stored.find(each => each.row.uid === uid);
    this.modseq += 1;
    if (stored !== undefined) Object.assign(stored, { flags, modseq: this.modseq });
    this.changed();
  }

  expunge(...uids: number[]): void {
    for (const { row } of this.stored.filter(each => uids.includes(each.row.uid))) {
      this.modseq += 1;
      this.expunged.set(row.uid, this.modseq);
    }
    const kept = this.stored.filter(each => !uids.includes(each.row.uid));
    this.stored.length = 0;
    this.stored.push(...kept);
    this.changed();
  }

  /** Go on from here as if nothing had been there before: keywords of before are not known, and MODSEQs begin at `modseq` again. */
  rewind(modseq: number): void {
    this.modseq = modseq;
    this.#snapshot = undefined;
  }

  changed(): void {
    this.#byUid = undefined;
    for (const listener of this.listeners) listener();
  }

  /** A test fills a mailbox anew, with UIDs that were there before. */
  #startAgain(): void {
    this.expunged.clear();
    this.#snapshot = undefined;
  }

  snapshot(): MailboxSnapshot {
    return this.#pretended ?? this.#newest();
  }

  #newest(): MailboxSnapshot {
    if (this.#snapshot?.uidValidity !== this.uidValidity) {
      this.#flags = new FlagTable();
      this.#snapshot = emptySnapshot({ mailboxId: this.id, uidValidity: this.uidValidity }, this.#flags);
    }
    const { highestModseq: since } = this.#snapshot;
    const changed = this.stored.filter(each => each.modseq > since);
    const delta = {
      uidNext: this.uidNext,
      highestModseq: this.modseq,
      lines: [changed.map(({ row, flags, modseq }) => deltaLine({ uid: row.uid, modseq, flags })).join("\n")],
      expunged: [...this.expunged].flatMap(([uid, modseq]) => (modseq > since ? [uid] : [])),
    };
    this.#snapshot = applyDelta(this.#snapshot, delta, this.#flags);
    return this.#snapshot;
  }

  vanished(since: number, until: number): Vanished {
    const known = [...this.expunged].filter(
      ([, modseq]) => modseq > Math.max(since, this.expungedFloor) && modseq <= until,
    );
    return {
      complete: since >= this.expungedFloor,
      uids: Uint32Array.from(known, ([uid]) => uid).sort(),
    };
  }

  row(uid: number): Stored["row"] | undefined {
    this.#byUid ??= new Map(this.stored.map(each => [each.row.uid, each.row]));
    return this.#byUid.get(uid);
  }

  /** Replace the whole state, for tests with very many messages. */
  pretend(snapshot: MailboxSnapshot): void {
    this.#pretended = snapshot;
  }

  info(subscribed: boolean, wish?: StatusWish): MailboxInfo {
    const deleted = this.stored.filter(each => (each.flags.system & FLAG_DELETED) !== 0).length;
    return {
      ...(wish?.deleted === true ? { deleted } : {}),
      id: this.id,
      name: this.name,
      specialUse: this.specialUse,
      subscribed,
      uidValidity: this.uidValidity,
      uidNext: this.uidNext,
      highestModseq: this.modseq,
      messages: this.stored.length,
      unseen: this.stored.filter(each => (each.flags.system & FLAG_SEEN) === 0).length,
      sizeBytes: this.stored.reduce((sum, each) => sum + each.row.sizeBytes, 0),
    };
  }
}

/** Ranges up to this size come at once. */
const SMALL_BYTES = 4096;

async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

export class MemoryBlobs implements BlobStore {
  readonly #bytes = new Map<BlobDigest, Buffer>();
  /** Octets per chunk that `get` yields. */
  chunkBytes = 65_536;
  /** Digest → octets after which reading fails. */
  readonly damagedAfter = new Map<BlobDigest, number>();

  put(bytes: Buffer): BlobDigest {
    const digest = blobDigest(createHash("sha256").update(bytes).digest("hex"));
    this.#bytes.set(digest, bytes);
    return digest;
  }

  remove(digest: BlobDigest): void {
    this.#bytes.delete(digest);
  }

  async *get(digest: BlobDigest, range?: ByteRange): AsyncIterable<Uint8Array> {
    const bytes = this.#bytes.get(digest);
    if (bytes === undefined)
      throw new MairustError("blob_missing", `Cannot open blob "${digest}": it is not there`);
    const { start, end } = range ?? { start: 0, end: bytes.length };
    const limit = this.damagedAfter.get(digest) ?? Number.POSITIVE_INFINITY;
    for (let at = start; at < end; at += this.chunkBytes) {
      await new Promise(resolve => setImmediate(resolve));
      if (at >= limit) throw new MairustError("blob_damaged", `Cannot read blob "${digest}": it is damaged`);
      // A copy: chunks are their reader's alone.
      yield Buffer.from(bytes.subarray(at, Math.min(end, at + this.chunkBytes)));
    }
  }

  async open(digest: BlobDigest, range: ByteRange): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
    const bytes = this.get(digest, range);
    return range.end - range.start > SMALL_BYTES ? bytes : collected(bytes);
  }

  stage(): never {
    throw new MairustError("internal", "Cannot stage: this store is for reading");
  }

  list(): never {
    throw new MairustError("internal", "Cannot list: this store is for reading");
  }

  async removeLeftovers(): Promise<number> {
    return 0;
  }

  async head(): Promise<undefined> {}
  async confirm(): Promise<undefined> {}
  async delete(): Promise<void> {}
  async verify(): Promise<void> {}

  async freeBytes(): Promise<number> {
    return Number.MAX_SAFE_INTEGER;
  }
}

export class MemoryStore implements MailboxReader, Authenticator {
  readonly blobs = new MemoryBlobs();
  readonly mailboxes = new Map<string, MemoryMailbox>();
  readonly subscribed = new Set<string>();
  readonly account: Account;
  readonly rowRequests: Array<{ readonly count: number; readonly fields: RowFields }> = [];
  readonly logins: LoginRequest[] = [];
  pageSize = FETCH_PAGE;
  /** What a refresh fails with. */
  away: MairustError | undefined;

  constructor(address = "ann@a.test") {
    this.account = {
      id: accountId(1),
      address,
      domain: "a.test",
      quotaBytes: 0,
      usedBytes: 0,
      usedMessages: 0,
    };
    this.add("INBOX");
  }

  add(name: string, specialUse?: string): MemoryMailbox {
    const mailbox = new MemoryMailbox(this.mailboxes.size + 1, name, specialUse, this.blobs);
    this.mailboxes.set(name, mailbox);
    this.subscribed.add(name);
    return mailbox;
  }

  get inbox(): MemoryMailbox {
    return this.#find("INBOX");
  }

  #find(name: string): MemoryMailbox {
    const mailbox = this.mailboxes.get(name);
    if (mailbox === undefined) throw new NotFound("mailbox", name);
    return mailbox;
  }

  async login(request: LoginRequest): Promise<Account> {
    this.logins.push(request);
    const asMaster = request.user === MASTER.user && request.password === MASTER.password;
    const own = request.user === this.account.address && request.password === PASSWORD;
    const authorize = request.authorize === "" ? request.user : request.authorize;
    if ((asMaster || own) && authorize === this.account.address) return this.account;
    const context = asMaster ? { reason: "unknown_account" } : {};
    throw new MairustError("auth_failed", "Cannot log in: wrong password", { context });
  }

  async list(_: unknown, wish?: StatusWish): Promise<MailboxListing> {
    const mailboxes = [...this.mailboxes.values()].map(mailbox =>
      mailbox.info(this.subscribed.has(mailbox.name), wish),
    );
    return { mailboxes, subscriptions: await this.subscriptions() };
  }

  async status(_: unknown, name: string, wish?: StatusWish): Promise<MailboxInfo> {
    return this.#find(name).info(this.subscribed.has(name), wish);
  }

  async open(_: unknown, name: string): Promise<OpenMailbox> {
    const mailbox = this.#find(name);
    mailbox.holders += 1;
    return {
      info: mailbox.info(true),
      snapshot: () => mailbox.snapshot(),
      refresh: async () => {
        if (this.away !== undefined) throw this.away;
        return mailbox.snapshot();
      },
      vanished: async (since, until) => mailbox.vanished(since, until),
      onChange(listener) {
        mailbox.listeners.add(listener);
        return () => mailbox.listeners.delete(listener);
      },
      close: () => {
        mailbox.holders -= 1;
      },
    };
  }

  async subscriptions(): Promise<readonly string[]> {
    return [...this.subscribed];
  }

  async subscribe(_: unknown, name: string, on: boolean): Promise<void> {
    if (on) this.subscribed.add(name);
    else this.subscribed.delete(name);
  }

  async *rows(id: MailboxId, uids: Uint32Array, fields: RowFields): AsyncIterable<readonly MessageRow[]> {
    this.rowRequests.push({ count: uids.length, fields });
    const mailbox = [...this.mailboxes.values()].find(each => each.id === id);
    for (let at = 0; at < uids.length; at += this.pageSize) {
      await new Promise(resolve => setImmediate(resolve));
      const page = Array.from(uids.subarray(at, at + this.pageSize), uid => mailbox?.row(uid));
      yield page.filter(row => row !== undefined).map(row => withFields(row, fields));
    }
  }
}

/** What was not asked for is not there: a handler that forgets to ask is seen. */
function withFields(row: Stored["row"], fields: RowFields): MessageRow {
  const { prefix, structure, header, emailId, threadId, preview, ...base } = row;
  return {
    ...base,
    ...(fields.prefix === true ? { prefix } : {}),
    ...(fields.structure === true ? { structure } : {}),
    ...(fields.header === true ? { header } : {}),
    ...(fields.objectIds === true ? { emailId, threadId } : {}),
    ...(fields.preview === true ? { preview } : {}),
  };
}
