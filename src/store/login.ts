/**
 * Who may read whose mail over IMAP: the master user with an authorization identity (Dovecot), and users with passwords of their
 * own. Failed tries are counted per peer address, and per peer and user; past the limit they are refused for a while. Local
 * peers are never refused: all of Dovecot comes from one address, and one wrong password there must not lock everybody out. They
 * share a pace instead: when many were wrong of late, the next look at a password waits, over all connections.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { Account, Directory } from "../core/ports/directory.ts";
import type { Authenticator, LoginRequest } from "../core/ports/login.ts";
import { sleep } from "../platform/deadline.ts";
import { FailureCounter, FailurePace } from "./login-limits.ts";
import type { UserPasswords } from "./passwords.ts";

/** Failures of one peer within a minute after which it is refused without a look at the password. */
const PEER_FAILURES = 20;
/** The same of one peer with one user name. */
const USER_FAILURES = 5;

export interface AuthenticatorOptions {
  readonly directory: Directory;
  readonly masterUser: string;
  /** Empty: no master login at all. */
  readonly masterPassword: string;
  readonly users: UserPasswords;
  /** Milliseconds. */
  readonly now: () => number;
  /** Waits for `ms`; for tests. */
  readonly wait?: (ms: number, gone: AbortSignal | undefined) => Promise<void>;
}

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { now, wait = sleep } = options;
  const ofPeers = new FailureCounter(PEER_FAILURES, now);
  const ofUsers = new FailureCounter(USER_FAILURES, now);
  const localPace = new FailurePace(now, wait);
  return {
    async login(request, gone) {
      const { peer, user } = request;
      let allowed: Allowed | undefined;
      const check = async () => {
        allowed = await judge(options, request);
        return allowed !== undefined;
      };
      if (isLocal(peer)) await localPace.check(check, gone);
      else {
        const withUser = JSON.stringify([peer, user]);
        ofPeers.refuseIfTooMany(peer, peer);
        ofUsers.refuseIfTooMany(withUser, peer);
        if (!(await check())) {
          ofPeers.count(peer);
          ofUsers.count(withUser);
        }
      }
      if (allowed === undefined) throw wrongPassword(request);
      return allowed === "master" ? accountOf(options.directory, request.authorize) : allowed;
    },
  };
}

/** The master user, who still has to be given the account; or the account of a user. */
type Allowed = "master" | Account;

/** A user may name themselves as authorization identity; whoever names somebody else must be the master user. */
async function judge(options: AuthenticatorOptions, request: LoginRequest): Promise<Allowed | undefined> {
  const { user, authorize, password } = request;
  const forThemselves = authorize === "" || authorize === user;
  if (!forThemselves || user === options.masterUser)
    return masterLogin(options, request) ? "master" : undefined;
  return options.users.check(user, password);
}

function masterLogin(options: AuthenticatorOptions, request: LoginRequest): boolean {
  // Both are compared whatever the first says, in constant time.
  const user = sameText(request.user, options.masterUser);
  const password = sameText(request.password, options.masterPassword);
  return user && password && options.masterPassword !== "" && request.authorize !== "";
}

function wrongPassword({ user }: LoginRequest): MairustError {
  return new MairustError("auth_failed", `Cannot log in "${user}": wrong user or password`, {
    publicText: "authentication failed",
    context: { reason: "bad_password" },
  });
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
        context: { reason: "unknown_account" },
        cause: error,
      });
    }
    throw error;
  }
}

function isLocal(peer: string): boolean {
  return peer === "unix" || peer === "::1" || peer.startsWith("127.") || peer.startsWith("::ffff:127.");
}
