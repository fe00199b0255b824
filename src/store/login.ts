/**
 * Who may read whose mail over IMAP: the master user with an authorization identity (Dovecot), and users with passwords of their
 * own. Failed tries are counted per peer address, per peer and user, and per account over all peers; past a limit they are refused
 * for a while. Peers on this host are refused for the account alone: all of Dovecot comes from one address, and one wrong password
 * there must not lock everybody out. They share a pace instead: when many were wrong of late, the next look at a password waits.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { type Account, type Directory, NO_ACCOUNT } from "../core/ports/directory.ts";
import type { Authenticator, LoginRequest } from "../core/ports/login.ts";
import { sleep } from "../platform/deadline.ts";
import { customerNetwork, isThisHost } from "../platform/networks.ts";
import { addressText, canonicalAddress } from "./addresses.ts";
import { FailureCounter, FailurePace, KnownPeers } from "./login-limits.ts";
import { MAX_PASSWORD_BYTES, type UserPasswords } from "./passwords.ts";

/** Failures of one peer within a minute after which it is refused without a look at the password. */
const PEER_FAILURES = 20;
/** The same of one peer with one user name. */
const USER_FAILURES = 5;
/** The same of one account over all peers that it does not know: guesses may come from many addresses. */
const ACCOUNT_FAILURES = 50;
/** Characters of a user name that is counted: no address is longer. */
const MAX_USER_CHARS = 800;

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
  const limits = new LoginLimits(now);
  const localPace = new FailurePace(now, wait);
  return {
    login(request, gone) {
      const { user, authorize } = request;
      // A user may name themselves as authorization identity; whoever names somebody else must be the master user.
      const forThemselves = authorize === "" || counted(authorize) === counted(user);
      return !forThemselves || user === options.masterUser
        ? asMaster(options, limits, localPace, request, gone)
        : asUser(options, limits, localPace, request, gone);
    },
  };
}

/** Failures by peer, by peer and user, and by account. */
class LoginLimits {
  readonly #peers: FailureCounter;
  readonly #users: FailureCounter;
  readonly #accounts: FailureCounter;
  /** Where an account's owner has been: guesses from elsewhere lock nobody out there. */
  readonly #known: KnownPeers;

  constructor(now: () => number) {
    this.#peers = new FailureCounter(PEER_FAILURES, now);
    this.#users = new FailureCounter(USER_FAILURES, now);
    this.#accounts = new FailureCounter(ACCOUNT_FAILURES, now);
    this.#known = new KnownPeers(now);
  }

  /** @throws {MairustError} `too_many` */
  refusePeer(peer: string, user: string): void {
    this.#peers.refuseIfTooMany(peer, peer);
    this.#users.refuseIfTooMany(JSON.stringify([peer, user]), peer);
  }

  countPeer(peer: string, user: string): void {
    this.#peers.count(peer);
    this.#users.count(JSON.stringify([peer, user]));
  }

  /** @throws {MairustError} `too_many` */
  refuseUser(peer: string, user: string): void {
    if (!isThisHost(peer)) this.refusePeer(peer, user);
    if (!this.#known.has(peer, user)) this.#accounts.refuseIfTooMany(user, peer);
  }

  countUser(peer: string, user: string): void {
    if (!isThisHost(peer)) this.countPeer(peer, user);
    if (!this.#known.has(peer, user)) this.#accounts.count(user);
  }

  /** Addresses of this host are everybody's, so nobody is known by them. */
  rightUser(peer: string, user: string): void {
    if (!isThisHost(peer)) this.#known.add(peer, user);
  }
}

async function asMaster(
  options: AuthenticatorOptions,
  limits: LoginLimits,
  localPace: FailurePace,
  request: LoginRequest,
  gone: AbortSignal | undefined,
): Promise<Account> {
  const peer = customerNetwork(request.peer);
  const user = counted(request.user);
  if (isThisHost(peer)) {
    if (!(await localPace.check(async () => masterLogin(options, request), gone)))
      throw wrongPassword(request);
  } else {
    limits.refusePeer(peer, user);
    if (!masterLogin(options, request)) {
      limits.countPeer(peer, user);
      throw wrongPassword(request);
    }
  }
  return accountOf(options.directory, request.authorize);
}

/** The limits are looked at again when the check's turn has come: guesses sent at the same time must not all pass them. */
async function asUser(
  options: AuthenticatorOptions,
  limits: LoginLimits,
  localPace: FailurePace,
  request: LoginRequest,
  gone: AbortSignal | undefined,
): Promise<Account> {
  const { password } = request;
  const peer = customerNetwork(request.peer);
  const user = counted(request.user);
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    // Costs nothing, so it counts for who sent it, and does not push others' failures out of memory.
    if (!isThisHost(peer)) limits.countPeer(peer, user);
    throw wrongPassword(request);
  }
  const before = () => limits.refuseUser(peer, user);
  before();
  if (isThisHost(peer)) await localPace.wait(gone);
  const account = await options.users.check(request.user, password, { before, gone });
  if (account === undefined) {
    if (isThisHost(peer)) localPace.failed();
    limits.countUser(peer, user);
    throw wrongPassword(request);
  }
  limits.rightUser(peer, user);
  return account;
}

/** One key for all spellings of an address. */
function counted(user: string): string {
  const address = canonicalAddress(parseMailAddress(user));
  return address === undefined ? user.slice(0, MAX_USER_CHARS).toLowerCase() : addressText(address);
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

/**
 * A master login to an account without mail in an `auto` domain creates it: the user sees an empty INBOX. In the stages before it, who
 * has no account has no mailboxes here: the next hop knows them, and nobody ever logs in as all of those.
 */
async function accountOf(directory: Directory, address: string): Promise<Account> {
  try {
    const { account } = await directory.resolveRecipient(parseMailAddress(address));
    if (account.id !== NO_ACCOUNT) return account;
  } catch (error) {
    const isUnknown =
      error instanceof MairustError && (error.code === "unknown_account" || error.code === "unknown_domain");
    throw isUnknown ? noSuchAccount(address, error) : error;
  }
  throw noSuchAccount(address);
}

function noSuchAccount(address: string, cause?: MairustError): MairustError {
  return new MairustError("auth_failed", `Cannot log in to "${address}": no such account`, {
    publicText: "authentication failed",
    context: { reason: "unknown_account" },
    ...(cause === undefined ? {} : { cause }),
  });
}
