/**
 * LOGIN and AUTHENTICATE PLAIN: a user's own password, or a master user with an authorization identity (how Dovecot logs
 * in). Passwords are refused on connections that others could read; failures are slowed here and limited by the
 * authenticator. Source: RFC 3501 §6.2.2–6.2.3, RFC 4616 (PLAIN), RFC 4959 (SASL-IR), RFC 5530.
 */
import { MairustError } from "../../core/errors.ts";
import { sleep } from "../../platform/deadline.ts";
import { LOGIN_FAILED } from "../../platform/log-text.ts";
import { capabilities } from "./capability.ts";
import type { Connection } from "./connection.ts";
import type { SessionContext } from "./context.ts";
import { ConnectionGone } from "./output.ts";
import { bad, type Completion, no, ok, oneLine } from "./reply.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** "" when the user acts for themselves. */
  readonly authorize: string;
}

const GUESSES: ReadonlySet<string> = new Set([
  "address_syntax",
  "auth_failed",
  "too_many",
  "unknown_account",
  "unknown_domain",
]);

/** The answer to give before credentials are looked at, or undefined when they are welcome. */
export function loginRefusal(context: SessionContext): Completion | undefined {
  if (context.account !== undefined) return bad("Already logged in");
  if (context.secure) return undefined;
  return no("Passwords are only accepted over TLS or on this host", "PRIVACYREQUIRED");
}

/**
 * Check credentials and attach the account to the session.
 * @throws {MairustError} what the authenticator throws
 */
export async function login(context: SessionContext, credentials: Credentials): Promise<Completion> {
  const { user, password, authorize } = credentials;
  const request = { user, password, authorize, peer: context.peer };
  const account = await context.authenticator.login(request, context.gone).catch((error: unknown) => {
    throw context.gone.aborted ? new ConnectionGone() : error;
  });
  if (!context.admit(account)) return no("Too many connections of this account", "LIMIT");
  context.account = account;
  context.log.info("imap login", { account: account.address, user: oneLine(user), peer: context.peer });
  return ok("Logged in", `CAPABILITY ${capabilities(context)}`);
}

/** Makes who guesses passwords wait. */
export class LoginFailures {
  #count = 0;

  /** @returns failures on this connection so far */
  get count(): number {
    return this.#count;
  }

  /**
   * @returns false when the error says nothing about the credentials
   * @throws {ConnectionGone} the peer left while it had to wait
   */
  async slowDown(context: SessionContext, asked: Credentials, error: unknown): Promise<boolean> {
    if (!(error instanceof MairustError) || !GUESSES.has(error.code)) return false;
    this.#count += 1;
    context.metrics.loginFailed();
    // The authenticator tells the log more than the peer: whether it was the password or the account.
    const reason = typeof error.context.reason === "string" ? error.context.reason : error.code;
    const account = asked.authorize === "" ? {} : { account: oneLine(asked.authorize) };
    const fields = { service: "imap", user: oneLine(asked.user), ...account, ip: context.peer, reason };
    context.log.warn(LOGIN_FAILED, fields);
    context.output.flush();
    const delayMs = context.limits.loginDelayMs * 2 ** (this.#count - 1);
    await sleep(delayMs, context.gone).catch(() => {
      throw new ConnectionGone();
    });
    return true;
  }
}

/**
 * The client's side of PLAIN.
 * @param initial  what came with the command (SASL-IR), or undefined: ask for it
 * @param leaving  asked at every wake-up: true gives up
 */
export async function receivePlain(
  connection: Connection,
  initial: string | undefined,
  leaving: () => boolean,
): Promise<Credentials | Completion> {
  if (initial !== undefined) return parsePlain(initial);
  connection.output.text("+ \r\n");
  for (;;) {
    const line = connection.nextLine();
    if (line === "overflow") return bad("Line is too long");
    if (line !== undefined) return parsePlain(line.toString("latin1"));
    // Answers from before may still wait to be sent, so this is no ConnectionGone.
    if (connection.inputEnded) return bad("AUTHENTICATE has no answer");
    if (leaving()) return no("Server is leaving", "UNAVAILABLE");
    await connection.wait();
  }
}

/**
 * One PLAIN message: `[authzid] NUL authcid NUL passwd` in base64.
 * @param line  base64, `*` to cancel, `=` for an empty initial response
 * @returns the credentials, or the answer to give
 */
export function parsePlain(line: string): Credentials | Completion {
  if (line === "*") return bad("AUTHENTICATE was cancelled");
  if (!/^[A-Za-z0-9+/]+={0,2}$/u.test(line) || line.length % 4 !== 0) return bad("Invalid base64");
  const parts = Buffer.from(line, "base64").toString("utf8").split("\0");
  const [authorize, user, password] = parts;
  if (parts.length !== 3 || authorize === undefined || !user || password === undefined) {
    return bad("Invalid PLAIN message");
  }
  return { authorize, user, password };
}
