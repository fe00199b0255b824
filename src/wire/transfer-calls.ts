/**
 * What import, export and verify ask of the running service, and what a command asks of them. The engines (`transfer/`) run in the
 * command's process, because the service cannot read other users' files; the command brings the way to the service. Types only.
 */
import type { MailboxBody } from "./api/accounts.ts";
import type { PageBody } from "./api/common.ts";
import type {
  ExportBody,
  ExportedBody,
  FinishExportBody,
  KnownExportBody,
  NewExportBody,
  OpenExportBody,
  RecordExportBody,
} from "./api/exports.ts";
import type {
  BatchBody,
  ClosedMailboxBody,
  CloseMailboxBody,
  CompareBody,
  ComparedBody,
  FinishImportBody,
  ImportBody,
  ImportReport,
  MailboxMessageBody,
  NewImportBody,
  NewVerifyBody,
  OpenedMailboxBody,
  OpenMailboxBody,
  VerifyResult,
} from "./api/transfer.ts";

/** One step forward, at most a few per second. */
export interface TransferProgress {
  readonly mailbox: string;
  /** Messages seen, and how many there are in all. */
  readonly done: number;
  readonly total: number;
  readonly bytes: number;
  /** Of many accounts: the one that stepped, how many there are, and how many have ended. */
  readonly account?: string;
  readonly accounts?: number;
  readonly accounts_done?: number;
}

export type OnProgress = (progress: TransferProgress) => void;

export interface ImportCalls {
  start(body: NewImportBody, dryRun: boolean): Promise<ImportBody>;
  open(id: number, body: OpenMailboxBody, dryRun: boolean): Promise<OpenedMailboxBody>;
  compare(id: number, body: CompareBody, dryRun: boolean): Promise<ComparedBody>;
  /** @param frames  `wire/message-batch.ts` */
  batch(
    id: number,
    to: { readonly account: string; readonly mailbox: string; readonly uidValidity: number | undefined },
    frames: AsyncIterable<Uint8Array>,
  ): Promise<BatchBody>;
  close(id: number, body: CloseMailboxBody): Promise<ClosedMailboxBody>;
  finish(id: number, body: FinishImportBody): Promise<ImportBody>;
  /** The service failed over what it got, and not because it is away or busy: one message may be the reason. */
  isPoison(error: unknown): boolean;
}

export interface FolderMapping {
  /** As the source calls it, `/` between levels. */
  readonly from: string;
  readonly to: string;
}

export interface ImportOptions {
  readonly folder: string;
  readonly account: string;
  readonly layout: "maildir++" | "fs";
  readonly maps: readonly FolderMapping[];
  /** `keep`: where the whole map can be the same. */
  readonly uids: "keep" | "own";
  /** The source's server is stopped for good: messages without a UID get the next ones. */
  readonly final: boolean;
  readonly dryRun: boolean;
  readonly calls: ImportCalls;
  readonly onProgress: OnProgress;
}

export interface ExportCalls {
  mailboxes(account: string): Promise<readonly MailboxBody[]>;
  messages(account: string, mailbox: string, cursor: string | null): Promise<PageBody<MailboxMessageBody>>;
  /** The bytes that a client would fetch. */
  raw(account: string, mailbox: string, uid: number): Promise<AsyncIterable<Uint8Array>>;
  /** Whether a failed `raw` means that the message was expunged meanwhile, or that this message cannot be read; else the run ends. */
  failureOf(error: unknown): "gone" | "unreadable" | "fatal";
}

export interface ExportOptions {
  readonly folder: string;
  readonly account: string;
  /** Numbers of the user and group that the files shall belong to. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly dryRun: boolean;
  readonly calls: ExportCalls;
  readonly onProgress: OnProgress;
}

export interface ExportMailboxReport {
  readonly mailbox: string;
  readonly folder: string;
  readonly found: number;
  readonly copied: number;
  readonly already: number;
  readonly failed: number;
  readonly copied_bytes: number;
  /** Exported earlier, and no longer in the mailbox: the files stay. */
  readonly gone: number;
}

export interface ExportReport {
  readonly mailboxes: readonly ExportMailboxReport[];
  readonly problems: readonly { readonly mailbox: string; readonly uid: number; readonly reason: string }[];
  readonly notes: readonly string[];
  /** Messages were expunged while they were exported. */
  readonly changed: boolean;
  readonly seconds: number;
}

/** How to log in to an IMAP server. */
export interface ImapLogin {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** False: take any certificate. */
  readonly verifyCertificate: boolean;
  /** Who authenticates. */
  readonly user: string;
  readonly password: string;
  /** Whose mail, when that is not `user`: SASL authorization identity. */
  readonly authorize: string | undefined;
  /** In place of the password: XOAUTH2 or OAUTHBEARER. */
  readonly accessToken?: string | undefined;
}

export interface VerifyOptions {
  readonly here: ImapLogin;
  readonly there: ImapLogin;
  readonly mode: NewVerifyBody["mode"];
  readonly maps: readonly FolderMapping[];
  /** UIDs and UIDVALIDITY may differ. */
  readonly ignoreUids: boolean;
  readonly ignoreDates: boolean;
  /** Return-Path, Delivered-To and the Received on top may differ: mail that both sides were given, each by its own way. */
  readonly ignoreTrace?: boolean;
  /** Flags and keywords that are only here are no difference: hooks mark copies of mail that another server keeps unmarked. */
  readonly ignoreMarks?: boolean;
  /** Differences that are listed one by one. */
  readonly listed: number;
  readonly onProgress: OnProgress;
}

/** Waits until so many octets may be moved. */
export interface RateLimit {
  take(bytes: number): Promise<void>;
}

/** Between an account here and one on an IMAP server. */
export interface ImapTransferOptions {
  readonly account: string;
  /** The other server. */
  readonly there: ImapLogin;
  readonly maps: readonly FolderMapping[];
  /** Most octets of bodies per second; undefined: as fast as it goes. */
  readonly bytesPerSecond: number | undefined;
  /** Shared by several accounts, in place of `bytesPerSecond`. */
  readonly rate?: RateLimit | undefined;
  readonly dryRun: boolean;
  readonly onProgress: OnProgress;
}

export interface ImapImportOptions extends ImapTransferOptions {
  readonly uids: "keep" | "own";
  /** The source takes no mail any more. */
  readonly final: boolean;
  readonly calls: ImportCalls;
}

/** What `export imap` writes down at the service, so that it may be killed at any time. */
export interface ImapExportCalls extends ExportCalls {
  start(body: NewExportBody): Promise<ExportBody>;
  open(id: number, body: OpenExportBody): Promise<void>;
  known(id: number, body: KnownExportBody): Promise<ExportedBody>;
  record(id: number, body: RecordExportBody): Promise<void>;
  finish(id: number, body: FinishExportBody): Promise<ExportBody>;
}

export interface ImapExportOptions extends ImapTransferOptions {
  readonly calls: ImapExportCalls;
  /** What an earlier pass brought there and is no longer here is removed there. */
  readonly expunge?: boolean;
}

export interface ImapExportMailboxReport extends ExportMailboxReport {
  /** Found there by its bytes: not sent. */
  readonly recognized: number;
  readonly flags_updated: number;
  /** Removed there, because it is gone here. */
  readonly expunged: number;
  /** Brought there earlier, and removed there since: not sent again. */
  readonly removed_there: number;
}

export interface ImapExportReport extends ExportReport {
  readonly mailboxes: readonly ImapExportMailboxReport[];
}

export interface TransferEngines {
  importMaildir(options: ImportOptions): Promise<ImportReport>;
  exportMaildir(options: ExportOptions): Promise<ExportReport>;
  importImap(options: ImapImportOptions): Promise<ImportReport>;
  exportImap(options: ImapExportOptions): Promise<ImapExportReport>;
  verify(options: VerifyOptions): Promise<VerifyResult>;
}
