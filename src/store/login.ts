/**
 * Who may read whose mail over IMAP: the master user with an authorization identity (Dovecot), and later users with passwords of
 * their own. Failed tries are counted per peer address; past the limit that peer is refused for a while. Local peers are not:
 * all of Dovecot comes from one address, and one wrong password there must not lock everybody out (the session slows failures).
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { Account, Directory } from "../core/ports/directory.ts";
import type { Authenticator, LoginRequest } from "../core/ports/login.ts";

/** Failures of one peer within the window after which it is refused without a look at the password. */
const MAX_FAILURES = 20;
const FAILURE_WINDOW_MS = 60_000;
/** Peers whose failures are remembered. */
const MAX_PEERS = 10_000;

export interface AuthenticatorOptions {
  readonly directory: Directory;
  readonly masterUser: string;
  /** Empty: no master login at all. */
  readonly masterPassword: string;
  readonly now: () => number;
}

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const failures = new Map<string, { count: number; since: number }>();
  return {
    async login(request: LoginRequest): Promise<Account> {
      refuseAfterFailures(failures, request.peer, options.now());
      if (!masterLogin(options, request)) {
        countFailure(failures, request.peer, options.now());
        throw new MairustError("auth_failed", `Cannot log in "${request.user}": wrong user or password`, {
          publicText: "authentication failed",
        });
      }
      return accountOf(options.directory, request.authorize);
    },
  };
}

function masterLogin(options: AuthenticatorOptions, request: LoginRequest): boolean {
  // Both are compared whatever the first says, in constant time.
  const user = sameText(request.user, options.masterUser);
  const password = sameText(request.password, options.masterPassword);
  return user && password && options.masterPassword !== "" && request.authorize !== "";
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** A master login to an account without mail in an `auto` domain creates it: the user sees an empty INBOX. */
async function accountOf(directory: Directory, address: string): Promise<Account> {
  try {
    return (await directory.resolveRecipient(parseMailAddress(address))).account;
  } catch (error) {
    if (
      error instanceof MairustError &&
      (error.code === "unknown_account" || error.code === "unknown_domain")
    ) {
      throw new MairustError("auth_failed", `Cannot log in to "${address}": no such account`, {
        publicText: "authentication failed",
        cause: error,
      });
    }
    throw error;
  }
}

function refuseAfterFailures(
  failures: Map<string, { count: number; since: number }>,
  peer: string,
  now: number,
): void {
  const entry = failures.get(peer);
  if (entry === undefined || isLocal(peer)) return;
  if (now - entry.since > FAILURE_WINDOW_MS) failures.delete(peer);
  else if (entry.count >= MAX_FAILURES) {
    throw new MairustError(
      "too_many",
      `Cannot log in from ${peer}: ${entry.count} failures within a minute`,
      {
        publicText: "too many failed logins, try later",
      },
    );
  }
}

function countFailure(
  failures: Map<string, { count: number; since: number }>,
  peer: string,
  now: number,
): void {
  const entry = failures.get(peer);
  if (entry !== undefined) {
    entry.count++;
    return;
  }
  if (failures.size >= MAX_PEERS) {
    const [oldest] = failures.keys();
    if (oldest !== undefined) failures.delete(oldest);
  }
  failures.set(peer, { count: 1, since: now });
}

function isLocal(peer: string): boolean {
  return peer === "unix" || peer === "::1" || peer.startsWith("127.") || peer.startsWith("::ffff:127.");
}
