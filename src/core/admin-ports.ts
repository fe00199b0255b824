/**
 * The interfaces between the use cases (`services/`) and what they work on: the database (`store/admin-*.ts`) and the running
 * service (`compose.ts`). Apart from `ports.ts`, because nothing here is on a message's way.
 */
import type { BlobDigest, MessageId } from "./ids.ts";
import type { Stage } from "./ports/directory.ts";
import type { MailboxInfo } from "./ports/mailboxes.ts";
import type { AuthFacts } from "./ports/sender-auth.ts";
import type { TimelineEvent } from "./ports/timeline.ts";
import type { MessageQuery } from "./search-grammar.ts";

// ---------------------------------------------------------------- pages

/** `after`: key of the last item of the page before, as {@link Page.next} gave it. */
export interface PageRequest {
  /** 1..{@link MAX_PAGE_ITEMS} of the wire. */
  readonly limit: number;
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Key of the last item when there are more. Stable under inserts: it names a position, not an offset. */
  readonly next: string | undefined;
}

/** A change that is only tried: everything is checked, the answer is the same, nothing stays. */
export interface ChangeOptions {
  readonly dryRun: boolean;
}

// ---------------------------------------------------------------- domains and accounts

export type AccountPolicy = "auto" | "listed";

export interface DomainRecord {
  /** Lower-case A-label. */
  readonly name: string;
  readonly tenant: string;
  readonly stage: Stage;
  readonly accounts: AccountPolicy;
  /** Of each account; 0: none. */
  readonly quotaBytes: number;
  /** Next hop of the stages before `store`. */
  readonly relayLmtp: string | undefined;
  readonly accountCount: number;
  readonly createdAt: Date;
}

export interface NewDomain {
  /** As typed: canonical form is the store's matter. */
  readonly name: string;
  readonly accounts: AccountPolicy;
  readonly quotaBytes: number;
  /** Its first one. */
  readonly stage: Stage;
  readonly relayLmtp?: string;
}

export interface AccountRecord {
  /** Canonical `local@domain`. */
  readonly address: string;
  readonly domain: string;
  /** In effect. */
  readonly stage: Stage;
  /** Its own; undefined: the domain's. */
  readonly ownStage: Stage | undefined;
  /** Its own; undefined: the domain's. */
  readonly quotaBytes: number | undefined;
  /** 0: none. */
  readonly effectiveQuotaBytes: number;
  readonly usedBytes: number;
  readonly usedMessages: number;
  /** Canonical addresses, sorted. */
  readonly aliases: readonly string[];
  /** It may log in by IMAP with a password of its own. */
  readonly hasPassword: boolean;
  readonly createdAt: Date;
}

/** A password, the hash of one, or none any more. */
export type NewPassword =
  | { readonly kind: "password"; readonly password: string }
  | { readonly kind: "hash"; readonly hash: string }
  | { readonly kind: "none" };

export interface NewAccount {
  readonly address: string;
  /** undefined: the domain's. */
  readonly quotaBytes: number | undefined;
  /** undefined: none, only the master user gets in. */
  readonly password?: NewPassword;
}

export interface AliasRecord {
  readonly address: string;
  readonly account: string;
  readonly createdAt: Date;
}

export type MailboxRecord = Omit<MailboxInfo, "id">;

/** Domains and accounts. Addresses and names come as typed; all methods may throw `store_unavailable`. */
export interface AccountAdmin {
  listDomains(page: PageRequest): Promise<Page<DomainRecord>>;
  /** @throws {MairustError} `unknown_domain` */
  getDomain(name: string): Promise<DomainRecord>;
  /** @throws {MairustError} `already_exists`, `invalid_argument` */
  addDomain(domain: NewDomain, options: ChangeOptions): Promise<DomainRecord>;
  /** @throws {MairustError} `unknown_domain`, `not_permitted` while it has accounts */
  removeDomain(name: string, options: ChangeOptions): Promise<DomainRecord>;

  listAccounts(domain: string | undefined, page: PageRequest): Promise<Page<AccountRecord>>;
  /** Exact address, no alias. @throws {MairustError} `unknown_account` */
  getAccount(address: string): Promise<AccountRecord>;
  /** @throws {MairustError} `already_exists` (also as an alias), `unknown_domain`, `address_syntax` */
  addAccount(account: NewAccount, options: ChangeOptions): Promise<AccountRecord>;
  /** With all its mail. @throws {MairustError} `unknown_account`, `invalid_state` (mail came in meanwhile: again) */
  removeAccount(address: string, options: ChangeOptions): Promise<AccountRecord>;
  /** @param quotaBytes  undefined: the domain's. @throws {MairustError} `unknown_account` */
  setQuota(address: string, quotaBytes: number | undefined, options: ChangeOptions): Promise<AccountRecord>;
  /** @throws {MairustError} `unknown_account`, `invalid_argument` (length, a hash that is not Argon2id) */
  setPassword(address: string, password: NewPassword, options: ChangeOptions): Promise<AccountRecord>;

  /** At most {@link MAX_ALIASES}. @throws {MairustError} `unknown_account` */
  listAliases(address: string): Promise<readonly AliasRecord[]>;
  /** @throws {MairustError} `unknown_account`, `unknown_domain`, `already_exists`, `too_many`, `address_syntax` */
  addAlias(address: string, alias: string, options: ChangeOptions): Promise<AliasRecord>;
  /** @throws {MairustError} `unknown_account`, `not_found` */
  removeAlias(address: string, alias: string, options: ChangeOptions): Promise<AliasRecord>;

  /** INBOX first, then by name. @throws {MairustError} `unknown_account` */
  listMailboxes(address: string): Promise<readonly MailboxRecord[]>;
}

/** Most aliases of one account. */
export const MAX_ALIASES = 1000;

// ---------------------------------------------------------------- messages

/** One copy of a message in one mailbox. */
export interface Place {
  readonly account: string;
  readonly mailbox: string;
  readonly uid: number;
  /** OR of the FLAG_ bits. */
  readonly systemFlags: number;
  readonly keywords: readonly string[];
  readonly internalDate: Date;
  readonly sizeBytes: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Most places that are shown with one message. */
export const MAX_PLACES = 50;

export interface MessageRecord {
  readonly id: MessageId;
  readonly subject: string;
  readonly from: string;
  readonly messageIdHeader: string | undefined;
  readonly queueId: string;
  readonly mailFrom: string;
  readonly sizeBytes: number;
  readonly attachments: number;
  readonly threadKey: string | undefined;
  readonly digest: BlobDigest;
  readonly receivedAt: Date;
  /** What our own checks said of the sender; undefined: nothing was checked. */
  readonly senderAuth: AuthFacts | undefined;
  /** At most {@link MAX_PLACES}, oldest first. */
  readonly places: readonly Place[];
  readonly placesTotal: number;
}

export interface RecordedEvent extends TimelineEvent {
  readonly messageId: MessageId;
  readonly queueId: string;
}

/** Most events of one timeline. */
export const MAX_EVENTS = 2000;

export interface Timeline {
  readonly matched: "message_id" | "queue_id" | "message_id_header";
  /** By time. */
  readonly events: readonly RecordedEvent[];
  readonly truncated: boolean;
}

/** Which copy of a message is meant; without any of them the oldest one. */
export interface PlaceSelector {
  readonly account?: string;
  readonly mailbox?: string;
  readonly uid?: number;
}

/** What a client would fetch: the prefix of one copy, then the blob. */
export interface RawMessage {
  readonly messageId: MessageId;
  readonly account: string;
  readonly mailbox: string;
  readonly uid: number;
  readonly prefix: Uint8Array;
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  /** Copies that the selector left open besides this one. */
  readonly otherPlaces: number;
}

export interface MessageAdmin {
  /** Newest first. */
  search(query: MessageQuery, page: PageRequest): Promise<Page<MessageRecord>>;
  /** @param id  UUID, queue id or Message-ID field; the newest when several match. @throws {MairustError} `not_found` */
  getMessage(id: string): Promise<MessageRecord>;
  /** @throws {MairustError} `not_found` */
  timeline(id: string): Promise<Timeline>;
  /** @param id  undefined: account and UID (and mailbox) of the selector say which. @throws {MairustError} `not_found` */
  raw(id: string | undefined, place: PlaceSelector): Promise<RawMessage>;
}

// ---------------------------------------------------------------- the running service

export interface ComponentView {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly type: string;
  readonly state: string;
}

export interface CheckView {
  readonly name: string;
  readonly status: "ok" | "degraded" | "error";
  /** "" when there is nothing to say. */
  readonly reason: string;
}

export interface ConfigKeyView {
  /** Dotted, quoted where needed: `domains."example.com".stage`. */
  readonly key: string;
  /** Masked where secret. */
  readonly value: unknown;
  /** `default`, `file:line`, `environment NAME` or `-o`. */
  readonly origin: string;
}

export interface ReloadResult {
  readonly applied: readonly string[];
  readonly needRestart: readonly string[];
}

export interface SystemControl {
  components(): readonly ComponentView[];
  /** Every dependency with its state. Never rejects. */
  checks(): Promise<readonly CheckView[]>;
  config(): readonly ConfigKeyView[];
  /**
   * Read the configuration again and apply it.
   * @throws {MairustError} `config_invalid`: the old one stays; `context.problems` is a list of texts
   */
  reload(options: ChangeOptions): Promise<ReloadResult>;
  /** Prometheus text. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}
