/**
 * The way into another IMAP server, for import, export and verify. A password or token goes in clear only within this host: elsewhere
 * it is TLS from the start or STARTTLS, never neither (`platform/mail-client-tls.ts`).
 */
import { ImapFlow, type ImapFlowOptions } from "imapflow";
import { MairustError, messageOf } from "../core/errors.ts";
import { certificateProblem, clientTls } from "../platform/mail-client-tls.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";

/** To connect, and until the greeting; a server that answers nothing for the last one is taken for gone. */
const CONNECT_MS = 30_000;
const GREETING_MS = 30_000;
const SILENT_MS = 300_000;
/** One piece of an answer, and all of it: bodies are asked for in far smaller ones. */
const MAX_LITERAL_BYTES = 32 * 1024 * 1024;
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
/** Mailboxes of one account. */
const MAX_MAILBOXES = 10_000;

/** RFC 6154 attributes of mailboxes that have a name of ours. */
const USES: ReadonlyMap<string, string> = new Map([
  ["\\sent", "Sent"],
  ["\\drafts", "Drafts"],
  ["\\trash", "Trash"],
  ["\\junk", "Junk"],
  ["\\archive", "Archive"],
]);

export interface ImapMailbox {
  /** As the server calls it. */
  readonly path: string;
  /** `/` between levels, without the prefix of the namespace. */
  readonly name: string;
  readonly use: string | undefined;
  readonly subscribed: boolean;
  /** Messages, where they were asked for. */
  readonly messages: number;
}

export const serverName = (login: ImapLogin): string => `${login.host}:${login.port}`;

/** Whose mail, where: for people, and by which a later pass knows the server again. */
export const sourceName = (login: ImapLogin): string =>
  `${login.authorize ?? login.user}@${serverName(login)}`;

/** @throws {MairustError} `auth_failed`, `store_unavailable`, `not_permitted` (its certificate) naming the server */
export async function connectImap(login: ImapLogin, more: ImapFlowOptions = {}): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: login.host,
    port: login.port,
    ...clientTls(login),
    logger: false,
    disableAutoIdle: true,
    // A literal8 may be rewritten by the server: parts in `binary` become base64.
    disableBinary: true,
    connectionTimeout: CONNECT_MS,
    greetingTimeout: GREETING_MS,
    socketTimeout: SILENT_MS,
    maxLiteralSize: MAX_LITERAL_BYTES,
    maxResponseSize: MAX_RESPONSE_BYTES,
    ...more,
    auth: credentials(login),
  });
  // Without a listener an error between two commands would end the process; the next command fails by itself.
  client.on("error", () => undefined);
  try {
    await client.connect();
    refuseOwnMail(client, login);
    return client;
  } catch (error) {
    client.close();
    throw explainImap(error, login, "log in");
  }
}

function credentials({ user, password, authorize, accessToken }: ImapLogin) {
  if (accessToken !== undefined) return { user: authorize ?? user, accessToken };
  const master = authorize === undefined ? {} : { authzid: authorize, loginMethod: "AUTH=PLAIN" };
  return { user, pass: password, ...master };
}

/** A server that offers no PLAIN is logged in to by LOGIN, which knows no other user: that would be the master user's own mail. */
function refuseOwnMail(client: ImapFlow, login: ImapLogin): void {
  // imapflow keeps what it logged in by, and tells it to no types.
  const tried: unknown = Reflect.get(client, "authCapabilities");
  if (login.authorize === undefined || (tried instanceof Map && tried.get("AUTH=PLAIN") === true)) return;
  const text = `${serverName(login)} lets no master user in to others' mail: it offers no AUTH=PLAIN`;
  throw new MairustError("not_permitted", `Cannot log in for ${login.authorize}: ${text}`, {
    publicText: text,
  });
}

export async function closeImap(client: ImapFlow): Promise<void> {
  await client.logout().catch(() => client.close());
}

/** What can be selected. @throws {MairustError} `too_many`; what the client threw */
export async function listMailboxes(
  client: ImapFlow,
  login: ImapLogin,
  counted = false,
): Promise<readonly ImapMailbox[]> {
  const found = await client.list(counted ? { statusQuery: { messages: true } } : {});
  if (found.length > MAX_MAILBOXES)
    throw new MairustError(
      "too_many",
      `Cannot go on: ${serverName(login)} lists more than ${MAX_MAILBOXES} mailboxes`,
    );
  const { prefix = "" } = client.namespace || {};
  return found
    .filter(box => !box.flags.has("\\Noselect") && !box.flags.has("\\NonExistent"))
    .map(box => {
      const bare = prefix !== "" && box.path.startsWith(prefix) ? box.path.slice(prefix.length) : box.path;
      const levels = box.delimiter ? bare.split(box.delimiter) : [bare];
      const uses = [...box.flags].flatMap(flag => USES.get(flag.toLowerCase()) ?? []);
      const name = levels.join("/").normalize("NFC");
      const messages = box.status?.messages ?? 0;
      return { path: box.path, name, use: uses[0], subscribed: box.subscribed, messages };
    });
}

/** @returns what the server said, or what became of the connection */
export function replyOf(error: unknown): string {
  const said = error instanceof Error && "responseText" in error ? String(error.responseText) : "";
  return said === "" ? messageOf(error) : said;
}

export function explainImap(error: unknown, login: ImapLogin, what: string): unknown {
  if (error instanceof MairustError) return error;
  const refused =
    error instanceof Error && "authenticationFailed" in error && error.authenticationFailed === true;
  const untrusted = certificateProblem(error);
  const reply = error instanceof Error && "responseText" in error ? `: ${String(error.responseText)}` : "";
  const why = refused ? "login refused" : (untrusted ?? messageOf(error));
  const text = `cannot ${what} at ${serverName(login)}: ${why}${reply}`;
  const code = refused ? "auth_failed" : untrusted === undefined ? "store_unavailable" : "not_permitted";
  return new MairustError(code, text, { publicText: text, cause: error });
}
