/**
 * What a command handler may touch: the connection it answers on, who is logged in, what is selected, and the parts of
 * the service behind the ports. The session is the only one that makes a context.
 */
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { BodyIndex } from "../../core/ports/body-index.ts";
import type { Account } from "../../core/ports/directory.ts";
import type { FlagWriter } from "../../core/ports/flag-writer.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Authenticator } from "../../core/ports/login.ts";
import type { MailboxReader } from "../../core/ports/mailboxes.ts";
import type { MessageOrder } from "../../core/ports/message-order.ts";
import type { TlsUpgrade } from "../../platform/tls-server.ts";
import type { RefusalReason } from "./admission.ts";
import type { ImapLimits } from "./limits.ts";
import type { Output } from "./output.ts";
import type { ListenerProfile } from "./profile.ts";
import type { Selected } from "./view.ts";

export interface ImapConfig {
  /** Shown in the greeting. */
  readonly hostname: string;
  /** All connections together. */
  readonly connections: number;
  /** Logged-in connections of one account. */
  readonly connectionsPerUser: number;
  /** Where changes can be made: the end of the sentence a user reads when one is refused. */
  readonly readOnlyHint?: string;
}

/** Called for what operators count. Labels are closed sets; no addresses. */
export interface ImapMetrics {
  /** @param command  name of a known command, or "unknown" */
  command(command: string, result: "ok" | "no" | "bad" | "gone", seconds: number): void;
  connection(change: 1 | -1, listener: ListenerProfile["kind"]): void;
  /** A connection that was refused before anything was read. */
  refused?(listener: ListenerProfile["kind"], reason: RefusalReason): void;
  handshake?(result: "ok" | "failed"): void;
  /** `refused`: told by NO. `cut`: found in the middle of a literal, the connection was closed. */
  unreadable(outcome: "refused" | "cut"): void;
  loginFailed(): void;
}

export interface ImapParts {
  readonly config: ImapConfig;
  readonly limits: ImapLimits;
  readonly reader: MailboxReader;
  readonly blobs: BlobStore;
  readonly authenticator: Authenticator;
  /** Undefined: TLS is not offered. */
  readonly tls?: TlsUpgrade;
  /** Undefined: mail is read-only. */
  readonly writer?: FlagWriter;
  /** Undefined: SORT and THREAD are not there. */
  readonly order?: MessageOrder;
  /** Undefined: SEARCH reads every message. */
  readonly bodyIndex?: BodyIndex;
  readonly log: Log;
  readonly metrics: ImapMetrics;
}

/** The state of one connection that handlers read and change. */
export interface SessionContext extends ImapParts {
  readonly output: Output;
  readonly peer: string;
  /** Passwords may travel on this connection: TLS, loopback or UNIX socket. */
  readonly secure: boolean;
  /** STARTTLS may begin TLS on this connection. */
  readonly offersTls: boolean;
  /** Of the listener that took the connection. */
  readonly profile: ListenerProfile;
  /** What the client asked for by ENABLE, or by a command that implies it. Never taken back (RFC 5161 §3.1). */
  readonly enabled: { condstore: boolean; qresync: boolean; rev2: boolean };
  /** Aborts when the connection is gone. */
  readonly gone: AbortSignal;
  account: Account | undefined;
  selected: Selected | undefined;
  /** Leave the selected mailbox; harmless when there is none. */
  unselect(): void;
  /** Count this connection to the account. @returns false when it has too many */
  admit(account: Account): boolean;
}

/** A logged-in session. */
export type LoggedIn = SessionContext & { readonly account: Account };

/** A logged-in session with a mailbox. */
export type InMailbox = LoggedIn & { readonly selected: Selected };

export function isLoggedIn(context: SessionContext): context is LoggedIn {
  return context.account !== undefined;
}

export function isInMailbox(context: SessionContext): context is InMailbox {
  return isLoggedIn(context) && context.selected !== undefined;
}
