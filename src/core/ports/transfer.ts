/** The store side of import, export and verify; `store/import.ts`, `store/import-messages.ts` and `store/verify-results.ts` implement it. */
import type { AccountId, BlobDigest, MailboxId } from "../ids.ts";
import type { Delivery, FlagSet } from "./store.ts";

export interface SourceUids {
  readonly uidValidity: number;
  readonly uidNext: number;
}

export type ImportState = "running" | "done" | "changed" | "failed" | "interrupted";

export interface ImportRecord {
  /** 0: a dry run. */
  readonly id: number;
  /** Canonical address. */
  readonly account: string;
  readonly kind: "maildir" | "imap";
  readonly source: string;
  readonly state: ImportState;
  readonly startedAt: Date;
  readonly finishedAt: Date | undefined;
  readonly copied: number;
  readonly copiedBytes: number;
  readonly report: unknown;
}

export interface OpenedMailbox {
  /** undefined: a dry run, and it is not there yet. */
  readonly id: MailboxId | undefined;
  readonly name: string;
  /** `kept`: it has the UIDs of the source, or will have them with the first message. */
  readonly uids: "kept" | "own";
  /** Why they are our own; "" when kept. */
  readonly uidsReason: string;
  readonly uidNext: number;
  readonly known: number;
  /** MODSEQ of the folder at the end of the last whole pass over it; undefined: there was none. */
  readonly sourceModseq: bigint | undefined;
}

/** A message of the source as it is there now. */
export interface SourceMessage {
  readonly key: string;
  /** undefined: as at the last pass. */
  readonly flags: FlagSet | undefined;
}

/** A folder of a server that counts its changes. */
export interface SourceFolder {
  /** Server, user and folder. */
  readonly source: string;
  readonly uidValidity: number;
}

export interface ComparedMessage {
  readonly kind: "new" | "same" | "flags_changed";
  readonly sourceUid: number | undefined;
}

/** One message of a batch: its bytes are durable. */
export interface ImportMessage {
  readonly key: string;
  readonly sourceUid: number | undefined;
  readonly flags: FlagSet;
  readonly internalDate: Date;
  readonly digest: BlobDigest;
  /** With one target. */
  readonly delivery: Delivery;
  /** UID of an entry with the same bytes but for the trace; undefined: none was found. */
  readonly standsFor?: number;
}

/** An entry that may be a message of the source; its bytes tell. */
export interface ImportCandidate {
  readonly uid: number;
  /** In front of the blob. */
  readonly prefix: Uint8Array;
  readonly digest: BlobDigest;
}

export type ImportOutcome =
  | { readonly kind: "stored"; readonly uid: number }
  /** The key was stored earlier, the same bytes were under a key that the source has no more, or an entry stands for it. */
  | { readonly kind: "already"; readonly uid: number }
  /** It and all that follow in the batch: nothing is passed over, UIDs stay in order. */
  | { readonly kind: "over_quota" }
  /** Its UID cannot be kept: the mailbox has it already, is past it, or has another UIDVALIDITY. */
  | { readonly kind: "uid_taken" };

export interface ImportStore {
  /** Another import into the account that did not end is marked `interrupted`. */
  start(
    account: AccountId,
    from: Pick<ImportRecord, "kind" | "source">,
    dryRun: boolean,
  ): Promise<ImportRecord>;
  list(
    account: AccountId | undefined,
    page: { limit: number; after?: string },
  ): Promise<readonly ImportRecord[]>;
  /** @throws {MairustError} `not_found` */
  get(id: number): Promise<ImportRecord>;
  /** @throws {MairustError} `not_found` */
  finish(id: number, state: ImportState, report: unknown): Promise<ImportRecord>;
  /**
   * Find the mailbox or make it.
   * @param source  undefined: UIDs of our own
   * @throws {MairustError} `invalid_argument` (its name), `too_many`
   */
  openMailbox(
    account: AccountId,
    name: string,
    options: {
      subscribe: boolean;
      source: SourceUids | undefined;
      folder: SourceFolder | undefined;
      dryRun: boolean;
    },
  ): Promise<OpenedMailbox>;
  /** Which messages are new; flags that changed at the source since the last pass are changed here too, what changed here stays. */
  compare(
    account: AccountId,
    mailbox: string,
    importId: number,
    messages: readonly SourceMessage[],
    dryRun: boolean,
  ): Promise<readonly ComparedMessage[]>;
  /**
   * Put `\Seen` on messages that were read elsewhere; what is gone, or has it, stays as it is.
   * @returns how many got it
   * @throws {MairustError} `not_found` (mailbox), `invalid_state`: it has another UIDVALIDITY
   */
  addSeen(account: AccountId, mailbox: string, uidValidity: number, uids: readonly number[]): Promise<number>;
  /** For each message the entries that may be it and stand for no other message of a source; lowest UID first. */
  candidates(
    account: AccountId,
    mailbox: string,
    messages: readonly ImportMessage[],
  ): Promise<readonly (readonly ImportCandidate[])[]>;
  /**
   * Store a batch in one transaction, in its order, with the keys that a second pass knows it by.
   * @param keep  take the UIDs of the source, whose UIDVALIDITY this is; undefined: UIDs of our own
   * @throws {MairustError} `not_found` (mailbox); nothing of the batch is stored then
   */
  add(
    account: AccountId,
    mailbox: string,
    importId: number,
    keep: number | undefined,
    messages: readonly ImportMessage[],
  ): Promise<readonly ImportOutcome[]>;
  /**
   * The pass over a mailbox is over: a kept UIDNEXT is taken.
   * @param seen  how far the folder was seen; undefined: not whole, or it does not count its changes
   * @throws {MairustError} `not_found`
   */
  closeMailbox(
    account: AccountId,
    name: string,
    importId: number,
    source: SourceUids | undefined,
    seen: (SourceFolder & { readonly modseq: bigint }) | undefined,
  ): Promise<{ readonly uidNext: number; readonly goneAtSource: number; readonly uids: "kept" | "own" }>;
}

export interface Verification {
  readonly account: string;
  readonly against: string;
  readonly mode: "headers" | "full";
  readonly equal: boolean;
  readonly result: unknown;
  readonly finishedAt: Date;
}

export interface VerificationStore {
  /** Replaces the last one of the account. */
  record(
    account: AccountId,
    verification: Omit<Verification, "account" | "finishedAt">,
  ): Promise<Verification>;
  /** @throws {MairustError} `not_found`: none yet */
  get(account: AccountId): Promise<Verification>;
}

/** What a batch of messages is made of, once its frames are read. */
export interface IncomingMessage {
  readonly key: string;
  readonly sourceUid: number | undefined;
  readonly flags: FlagSet;
  readonly internalDate: Date;
}

export type BatchPart =
  | { readonly kind: "head"; readonly message: IncomingMessage }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "abandon" };

export type BatchOutcome =
  | (ImportOutcome & { readonly sizeBytes: number })
  | { readonly kind: "abandoned" | "too_large"; readonly sizeBytes: number };

/** Takes the messages of one batch; `delivery/import-batch.ts` implements it. No hooks. */
export interface BatchImporter {
  /**
   * Stored in order, in transactions of a hundred or so, blobs durable before. When it fails, what came first may be stored.
   * @returns one outcome per message, in order
   */
  add(
    target: {
      account: AccountId;
      address: string;
      mailbox: string;
      importId: number;
      keep: number | undefined;
    },
    parts: AsyncIterable<BatchPart>,
  ): Promise<readonly BatchOutcome[]>;
}

export type ExportState = ImportState;

export interface ExportRecord {
  readonly id: number;
  /** Canonical address. */
  readonly account: string;
  readonly target: string;
  readonly state: ExportState;
  readonly startedAt: Date;
  readonly finishedAt: Date | undefined;
  /** Folder there to which a killed export was sending: what it sent may be there, or come to be there yet. */
  readonly appendingTo: string | undefined;
  readonly copied: number;
  readonly copiedBytes: number;
  readonly report: unknown;
}

export interface ExportedMessage {
  readonly uid: number;
  /** undefined: it was not exported, but imported with these flags. */
  readonly thereUid: number | undefined;
  /** Ours at the last pass. */
  readonly flags: FlagSet;
}

/** What of ours stands where at an IMAP server; `store/export.ts` implements it. */
export interface ExportStore {
  /** Another export of the account that did not end is `interrupted`: whatever it asks from now on is refused. */
  start(account: AccountId, target: string): Promise<ExportRecord>;
  /** @throws {MairustError} `not_found` */
  get(id: number): Promise<ExportRecord>;
  /** With another folder or UIDVALIDITY than before, what was known is forgotten. @throws {MairustError} `not_found`, `invalid_state` */
  openMailbox(
    account: AccountId,
    id: number,
    name: string,
    there: { readonly folder: string; readonly uidValidity: number },
  ): Promise<void>;
  /** In UID order, above `after`. @throws {MairustError} `not_found`, `invalid_state` */
  known(
    account: AccountId,
    id: number,
    name: string,
    page: { readonly after: number; readonly limit: number },
  ): Promise<readonly ExportedMessage[]>;
  /** @throws {MairustError} `not_found`, `invalid_state`: another export took over, nothing more may be sent */
  record(
    account: AccountId,
    id: number,
    name: string,
    progress: {
      readonly messages: readonly (ExportedMessage & { readonly thereUid: number })[];
      readonly forget: readonly number[];
      /** Folder there to which messages are sent next; undefined: none are on their way. */
      readonly appendingTo: string | undefined;
      readonly copied: number;
      readonly copiedBytes: number;
    },
  ): Promise<void>;
  finish(id: number, state: ExportState, report: unknown): Promise<ExportRecord>;
}
