/** Looks for one message by its Message-ID in all folders of a mail server, again and again until a deadline: for `selftest`. */
import { readFileSync } from "node:fs";
import { ImapFlow } from "imapflow";
import { sleep } from "../platform/deadline.ts";
import { certificateProblem, clientTls } from "../platform/mail-client-tls.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";
import { CommandError, EXIT, usageError } from "./exit-codes.ts";
import { readImapUrl } from "./imap-login.ts";
import { printable } from "./text.ts";

/** Between two looks. */
const POLL_MS = 500;
/** Folders that are looked through. */
const MAX_FOLDERS = 200;

/** @throws {CommandError} 64 the URL is wrong or the password file is missing, 66 it cannot be read */
export function mailLogin(
  address: string,
  options: {
    readonly url: string;
    readonly passwordFile?: string;
    readonly masterUser?: string;
    readonly insecure: boolean;
  },
): ImapLogin {
  const { host, port, secure, user } = readImapUrl(options.url, "--imap");
  if (options.passwordFile === undefined) throw usageError("--imap takes its password from --password-file");
  const mailbox = user === "" ? address : user;
  return {
    host,
    port,
    secure,
    verifyCertificate: !options.insecure,
    user: options.masterUser ?? mailbox,
    password: firstLine(options.passwordFile),
    authorize: options.masterUser === undefined ? undefined : mailbox,
  };
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/u)[0] ?? "";
  } catch (error) {
    throw new CommandError(EXIT.noInput, `--password-file: cannot read "${path}"`, error);
  }
}

/**
 * @param endsAt  by `performance.now()`
 * @returns the folder that it lies in
 * @throws {CommandError} 69 no server, 77 it refuses the login, or its certificate is not trusted, 75 it is in no folder in time
 */
export async function findByImap(login: ImapLogin, messageId: string, endsAt: number): Promise<string> {
  const client = new ImapFlow({
    host: login.host,
    port: login.port,
    ...clientTls(login),
    auth: {
      user: login.user,
      pass: login.password,
      ...(login.authorize === undefined ? {} : { authzid: login.authorize }),
    },
    logger: false,
    emitLogs: false,
  });
  client.on("error", () => undefined);
  await client.connect().catch(error => {
    const refused = error instanceof Error && "authenticationFailed" in error;
    const untrusted = certificateProblem(error);
    const where = `${login.host}:${login.port}`;
    const why = untrusted === undefined ? "" : `: ${printable(untrusted)}`;
    throw new CommandError(
      refused || untrusted !== undefined ? EXIT.notAllowed : EXIT.serviceAway,
      refused
        ? `${where} refuses the login of ${printable(login.user)}`
        : `cannot reach ${where} by IMAP${why}`,
      error,
    );
  });
  try {
    for (;;) {
      const folder = await look(client, messageId);
      if (folder !== undefined) return folder;
      if (performance.now() + POLL_MS > endsAt)
        throw new CommandError(EXIT.tryLater, `the message ${messageId} is in no folder of ${login.host}`);
      await sleep(POLL_MS);
    }
  } finally {
    await client.logout().catch(() => client.close());
  }
}

async function look(client: ImapFlow, messageId: string): Promise<string | undefined> {
  const folders = await client.list();
  const names = folders.filter(folder => !folder.flags.has("\\Noselect")).map(folder => folder.path);
  for (const name of [...new Set(["INBOX", ...names])].slice(0, MAX_FOLDERS)) {
    const lock = await client.getMailboxLock(name, { readOnly: true }).catch(() => undefined);
    if (lock === undefined) continue;
    try {
      await client.noop();
      const found = await client.search({ header: { "message-id": messageId } }, { uid: true });
      if (found !== false && found !== undefined && found.length > 0) return name;
    } finally {
      lock.release();
    }
  }
  return undefined;
}
