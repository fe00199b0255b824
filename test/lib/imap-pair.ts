/**
 * Our service and a private Dovecot with a Maildir, with the same messages in INBOX under the same UIDs, flags and dates: what both
 * answer to one command can be compared. Messages come in without a prefix, so their octets are the same.
 */
import { mkdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { encodeModifiedUtf7 } from "../../src/core/modified-utf7.ts";
import { startDovecot } from "../../src/mailhost/dovecot.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { ImapTestClient } from "./imap-client.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";
import type { NamedMessage } from "./torture.ts";

const START_MS = 90_000;
export const USER = "pair@example.test";
export const PASSWORD = "pair password";
const FIRST_ARRIVAL_MS = Date.UTC(2025, 0, 1, 12, 0, 0);
const HOUR_MS = 3_600_000;
/** By turns. */
const FLAGS = ["", "\\Seen", "\\Answered \\Seen", "\\Flagged", "\\Draft", "\\Deleted work", "work $Later"];

export const SIDES = ["ours", "dovecot"] as const;
export type Side = (typeof SIDES)[number];

export interface ImapPair {
  readonly clients: Readonly<Record<Side, ImapTestClient>>;
  /** Log in, without selecting. */
  open(side: Side): Promise<ImapTestClient>;
  /** A connection before login. */
  connect(side: Side): ImapTestClient;
  /** The same mailbox on both, with messages; not subscribed. What exists on one side is made on the other. */
  createMailbox(name: string, messages: readonly NamedMessage[]): Promise<void>;
  /** One command on both, at the same time. */
  both(command: string): Promise<Readonly<Record<Side, string[]>>>;
  stop(): Promise<void>;
}

/** @param extraConfig  lines for Dovecot */
export async function startImapPair(messages: readonly NamedMessage[], extraConfig = ""): Promise<ImapPair> {
  const scratch = await makeScratch();
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const sidecar = await startSidecar({ dir: await folder("s"), logLevel: "warn" });
  await sidecar.mairust(["account", "add", USER]);
  await sidecar.mairust(["account", "passwd", USER], `${PASSWORD}\n`);
  const deadline = deadlineAfter(START_MS);
  const dovecot = await startDovecot(
    {
      dir: await folder("d"),
      mode: { kind: "maildir" },
      users: [{ address: USER, password: PASSWORD }],
      extraConfig,
    },
    deadline,
  );
  deadline.dispose();
  const connect = (side: Side) => new ImapTestClient(side === "ours" ? sidecar.imapPort : dovecot.imapPort);
  const open = async (side: Side) => {
    const client = connect(side);
    await client.line();
    const answer = (await client.command(`LOGIN ${USER} "${PASSWORD}"`)).at(-1) ?? "";
    if (!answer.startsWith("OK")) throw new Error(`${side}: ${answer}`);
    return client;
  };
  await fillOurs(sidecar, "INBOX", messages);
  await fillDovecot(await open("dovecot"), "INBOX", messages);
  const clients = { ours: await open("ours"), dovecot: await open("dovecot") };
  const both = async (command: string) => {
    const [ours, theirs] = await Promise.all([
      clients.ours.command(command),
      clients.dovecot.command(command),
    ]);
    return { ours, dovecot: theirs };
  };
  await both("EXAMINE INBOX");
  return {
    clients,
    open,
    connect,
    both,
    async createMailbox(name, content) {
      await createOurs(sidecar, name);
      await clients.dovecot.command(`CREATE "${encodeModifiedUtf7(name)}"`);
      await fillOurs(sidecar, name, content);
      await fillDovecot(await open("dovecot"), name, content);
    },
    async stop() {
      for (const side of SIDES) clients[side].close();
      await dovecot.stop();
      await sidecar.stop();
      await scratch.remove();
    },
  };
}

const arrival = (i: number) => new Date(FIRST_ARRIVAL_MS + i * HOUR_MS);
const flagsOf = (i: number) => FLAGS[i % FLAGS.length] ?? "";

/** As an import does. */
async function createOurs(sidecar: Sidecar, name: string): Promise<void> {
  const send = async (path: string, body: object) => {
    const answer = await post(sidecar.apiSocket, path, Buffer.from(JSON.stringify(body)), "application/json");
    if (answer.status >= 300) throw new Error(`${name}: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text) as { id: number };
  };
  const { id } = await send("/api/v1/imports", { account: USER, kind: "maildir", source: "pair" });
  await send(`/api/v1/imports/${id}/open`, { account: USER, name, subscribe: false, source_uids: null });
}

async function fillOurs(sidecar: Sidecar, mailbox: string, messages: readonly NamedMessage[]): Promise<void> {
  for (const [i, { name, bytes }] of messages.entries()) {
    const query = new URLSearchParams({
      date: arrival(i).toISOString(),
      flags: flagsOf(i).replaceAll(" ", ","),
    });
    const path = `/api/v1/accounts/${encodeURIComponent(USER)}/mailboxes/${encodeURIComponent(mailbox)}/messages?${query}`;
    const { status } = await post(sidecar.apiSocket, path, bytes, "message/rfc822");
    if (status !== 201) throw new Error(`${name}: ${status}`);
  }
}

function post(
  socketPath: string,
  path: string,
  bytes: Buffer,
  type: string,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": type };
    const sent = request({ socketPath, method: "POST", path, headers }, answer => {
      const chunks: Buffer[] = [];
      answer.on("data", chunk => chunks.push(chunk));
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    sent.on("error", reject);
    sent.end(bytes);
  });
}

async function fillDovecot(
  client: ImapTestClient,
  mailbox: string,
  messages: readonly NamedMessage[],
): Promise<void> {
  for (const [i, { name, bytes }] of messages.entries()) {
    const [, day = "", month = "", year = "", time = ""] = arrival(i).toUTCString().split(" ");
    const date = `${day}-${month}-${year} ${time} +0000`;
    const command = `APPEND "${encodeModifiedUtf7(mailbox)}" (${flagsOf(i)}) "${date}" {${bytes.length}+}\r\n${bytes.toString("latin1")}`;
    const answer = (await client.command(command)).at(-1) ?? "";
    if (!answer.startsWith("OK")) throw new Error(`${name}: ${answer}`);
  }
  client.close();
}
