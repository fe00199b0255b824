/** The two ends of the demonstration: a mail program that sends through Postfix and one that reads through Dovecot. */
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";
import type { DemoMessage } from "./messages.ts";

/** What Postfix said to a message. */
export type SmtpAnswer =
  | { readonly kind: "taken"; readonly queueId: string; readonly text: string }
  | { readonly kind: "refused"; readonly code: number; readonly text: string };

/** @returns Postfix's queue id. @throws {MairustError} `data_invalid` Postfix did not take it */
export async function sendMail(smtpPort: number, message: DemoMessage, deadline: Deadline): Promise<string> {
  const answer = await tryToSend(smtpPort, message, deadline);
  if (answer.kind === "taken") return answer.queueId;
  throw new MairustError("data_invalid", `Cannot send ${message.title}: Postfix answered "${answer.text}"`);
}

/** @throws what is no answer of Postfix: it went away, or the deadline came */
export async function tryToSend(
  smtpPort: number,
  { from, to, content }: Pick<DemoMessage, "from" | "to" | "content">,
  deadline: Deadline,
): Promise<SmtpAnswer> {
  const transport = createTransport({ host: "127.0.0.1", port: smtpPort, secure: false, ignoreTLS: true });
  try {
    const sent = await within(
      transport.sendMail({ envelope: { from, to: [...to] }, raw: content }),
      deadline,
    );
    const queueId = /queued as (\S+)/u.exec(sent.response)?.[1];
    if (queueId !== undefined) return { kind: "taken", queueId, text: sent.response };
    throw new MairustError("data_invalid", `Cannot send: Postfix answered "${sent.response}"`);
  } catch (error) {
    const { response, responseCode } = error as {
      readonly response?: string;
      readonly responseCode?: number;
    };
    if (response === undefined || responseCode === undefined) throw error;
    return { kind: "refused", code: responseCode, text: response };
  } finally {
    transport.close();
  }
}

export interface FoundCopy {
  readonly source: Buffer;
  readonly flags: ReadonlySet<string>;
}

export interface Login {
  readonly imapPort: number;
  readonly user: string;
  readonly password: string;
}

/** Every copy of a message in one mailbox, with all its bytes. */
export async function readCopies(
  login: Login,
  mailbox: string,
  messageId: string,
  deadline: Deadline,
): Promise<readonly FoundCopy[]> {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: login.imapPort,
    secure: false,
    doSTARTTLS: false,
    auth: { user: login.user, pass: login.password },
    logger: false,
  });
  // Without a listener an error after the last command would end the process.
  client.on("error", () => undefined);
  try {
    return await within(copiesIn(client, mailbox, messageId), deadline);
  } finally {
    client.close();
  }
}

async function copiesIn(client: ImapFlow, mailbox: string, messageId: string): Promise<readonly FoundCopy[]> {
  await client.connect();
  await client.mailboxOpen(mailbox, { readOnly: true });
  const uids = (await client.search({ header: { "message-id": messageId } }, { uid: true })) || [];
  const found: FoundCopy[] = [];
  for (const uid of uids) {
    const message = await client.fetchOne(String(uid), { source: true, flags: true }, { uid: true });
    if (message === undefined || message === false || message.source === undefined) {
      throw new MairustError(
        "not_found",
        `Cannot read UID ${uid} of "${mailbox}": the server gave no source`,
      );
    }
    found.push({ source: message.source, flags: message.flags ?? new Set() });
  }
  await client.logout();
  return found;
}
