/** How commands log in at another IMAP server: an address, and a file with the password or the token; and at our own, to compare both. */
import { readFileSync, statSync } from "node:fs";
import type { LoadedConfig } from "../platform/config/load.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";
import type { OptionSpec, Options } from "./command.ts";
import { CommandError, EXIT, usageError } from "./exit-codes.ts";
import { printable } from "./text.ts";

const MAX_SECRET_BYTES = 16_384;
const IMAP_PORT = 143;
const IMAPS_PORT = 993;

export const LOGIN_OPTIONS: readonly OptionSpec[] = [
  { flags: "--password-file <file>", description: "with the password for the other server" },
  { flags: "--token-file <file>", description: "with an OAuth2 access token, in place of a password" },
  {
    flags: "--master-user <name>",
    description: "who logs in there; the user of the URL is whose mail it is",
  },
  { flags: "--insecure", description: "take any certificate" },
];

/** Of one account; what is undefined comes from the options. */
export interface LoginParts {
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly masterUser?: string | undefined;
}

export interface ImapUrl {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** Whose mail it names; "" nobody's. */
  readonly user: string;
}

/** @param name  how the user calls the URL. @throws {CommandError} 64 */
export function readImapUrl(text: string, name: string): ImapUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["imap:", "imaps:"].includes(url.protocol) || url.hostname === "")
    throw usageError(`${name} takes imap://user@host:port or imaps://…, not "${printable(text)}"`);
  if (url.password !== "")
    throw usageError("a password does not belong on the command line: use --password-file");
  const secure = url.protocol === "imaps:";
  return {
    host: url.hostname.replace(/^\[|\]$/gu, ""),
    port: url.port === "" ? (secure ? IMAPS_PORT : IMAP_PORT) : Number(url.port),
    secure,
    user: decoded(url.username, text, name),
  };
}

/** What is no letter of a URL is written as "%" and two hexadecimal digits of its UTF-8. */
function decoded(user: string, text: string, name: string): string {
  try {
    return decodeURIComponent(user);
  } catch {
    throw usageError(
      `${name}: the user in "${printable(text)}" has a "%" that is no octet of UTF-8; write % as %25 and @ as %40`,
    );
  }
}

/** Whose mail the URL names. */
export const hasUser = (text: string, name: string): boolean => readImapUrl(text, name).user !== "";

/**
 * @param account  whose mail, when nothing says so
 * @throws {CommandError} 64, 65, 66, 77
 */
export function loginAt(
  text: string,
  name: string,
  account: string,
  options: Options,
  parts: LoginParts = {},
): ImapLogin {
  const { host, port, secure, user } = readImapUrl(text, name);
  const mailbox = parts.user ?? (user === "" ? account : user);
  const hasOwn = parts.passwordFile !== undefined || parts.tokenFile !== undefined;
  // A password of its own is the account's, unless the file names a master user as well.
  const master = parts.masterUser ?? (hasOwn ? undefined : options.text("masterUser"));
  const tokenFile = hasOwn ? parts.tokenFile : options.text("tokenFile");
  const passwordFile = hasOwn ? parts.passwordFile : options.text("passwordFile");
  if (tokenFile !== undefined && (passwordFile !== undefined || master !== undefined))
    throw usageError("--token-file goes without --password-file and --master-user");
  return {
    host,
    port,
    secure,
    verifyCertificate: !options.has("insecure"),
    user: master ?? mailbox,
    password: tokenFile === undefined ? secretOf(passwordFile, "--password-file") : "",
    authorize: master === undefined ? undefined : mailbox,
    accessToken: tokenFile === undefined ? undefined : secretOf(tokenFile, "--token-file"),
  };
}

/** Our own IMAP listener, as Dovecot logs in. @throws {CommandError} 64, 65, 66, 77, 78 */
export function loginHere({ config }: LoadedConfig, account: string): ImapLogin {
  const spec = config.imap.listen.map(one => /^inet:(.+):(\d+)$/u.exec(one)).find(one => one !== null);
  if (spec === undefined || spec === null)
    throw new CommandError(EXIT.configuration, "imap.listen has no inet: address to read this side by");
  const host = (spec[1] ?? "").replace(/^\[|\]$/gu, "");
  return {
    host: ["0.0.0.0", "::", "*"].includes(host) ? "127.0.0.1" : host,
    port: Number(spec[2]),
    secure: false,
    verifyCertificate: true,
    user: config.imap.master_user,
    password: secretOf(config.imap.master_password_file, "imap.master_password_file"),
    authorize: account,
  };
}

/** One line. @throws {CommandError} 64, 65, 66, 77 */
export function secretOf(path: string | undefined, option: string): string {
  if (path === undefined) throw usageError(`${option} is missing: a file with the password`);
  try {
    if (statSync(path).size > MAX_SECRET_BYTES)
      throw new CommandError(EXIT.badData, `${option}: "${path}" is too large`);
    const text = readFileSync(path, "utf8").replace(/\r?\n$/u, "");
    if (text !== "" && !/[\r\n\0]/u.test(text)) return text;
    throw new CommandError(EXIT.badData, `${option}: "${path}" must hold one line`);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const exit = code === "EACCES" || code === "EPERM" ? EXIT.notAllowed : EXIT.noInput;
    throw new CommandError(exit, `${option}: cannot read "${path}" (${code})`, error);
  }
}
