/** What the account of the client tests holds, as it was put in, and how it looks through Dovecot. */
import assert from "node:assert/strict";
import { corpusThere, readCorpus } from "../corpus.ts";
import { LmtpTestClient } from "../lmtp-client.ts";
import { dateOf, flagsOf, generated, type StoredMessage } from "./messages.ts";
import { type ClientSite, FILED, USER, type Way } from "./site.ts";

/** Messages of INBOX before the second run: `npm run clients` sets more, for its long form. */
export const MANY = Number(process.env.CLIENT_MESSAGES ?? 2_000);
/** Where the corpus is. */
export const CORPUS_BOX = "Archive";
/** More for the second run: by LMTP to INBOX, by LMTP filed into a new mailbox, and added to the corpus. */
const MORE = { inbox: 20, filed: 10, added: 20 };
export const MORE_COUNT = MORE.inbox + MORE.filed + MORE.added;
/** Every account has these. */
const EMPTY = ["Drafts", "Junk", "Sent", "Trash"];
/** Dovecot's own namespace of `dovecot/stage-store.conf`. */
const LOCAL = ["Local/Drafts", "Local/Sent", "Local/Trash"];
const PREFIX =
  /^Return-Path: <sender@example\.org>\r\nDelivered-To: [^\r]+\r\nReceived: (?:[^\r]+\r\n\s)*[^\r]+\r\n$/u;

/** Mailbox name → its messages in order of UID. */
export type Stored = ReadonlyMap<string, readonly StoredMessage[]>;

/** Dovecot's IMAP server shows NUL so. */
function nulAs0x80(bytes: Buffer): Buffer {
  return bytes.includes(0) ? Buffer.from(bytes.map(octet => (octet === 0 ? 0x80 : octet))) : bytes;
}

interface Fresh {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Fill the account: `MANY` messages and, where there is one, the corpus; with flags and dates, without a field added. */
export async function fill(site: ClientSite): Promise<Stored> {
  const made = await site.sidecar.mairust(["account", "add", USER]);
  assert.equal(made.code, 0, made.stderr);
  const many = Array.from({ length: MANY }, (_, i) => ({ name: `message ${i}`, bytes: generated(i) }));
  const stored = new Map<string, readonly StoredMessage[]>(EMPTY.map(name => [name, []]));
  stored.set("INBOX", await add(site, "INBOX", many));
  stored.set(CORPUS_BOX, await add(site, CORPUS_BOX, corpusThere() ? readCorpus() : []));
  return stored;
}

/** `MORE_COUNT` messages more, some of them in a mailbox that was not there. */
export async function fillMore(site: ClientSite, before: Stored): Promise<Stored> {
  const lmtp = await LmtpTestClient.open(site.sidecar.lmtpPort);
  const stored = new Map(before);
  const inbox = [...(before.get("INBOX") ?? [])];
  for (let i = 0; i < MORE.inbox; i++)
    inbox.push(await deliver(site, lmtp, "INBOX", inbox.length, `news ${i}`));
  stored.set("INBOX", inbox);
  const filed: StoredMessage[] = [];
  for (let i = 0; i < MORE.filed; i++)
    filed.push(await deliver(site, lmtp, FILED, filed.length, `invoice ${i}`));
  stored.set(FILED, filed);
  lmtp.close();
  const fresh = Array.from({ length: MORE.added }, (_, i) => ({
    name: `added ${i}`,
    bytes: generated(MANY + i),
  }));
  const corpus = before.get(CORPUS_BOX) ?? [];
  stored.set(CORPUS_BOX, [...corpus, ...(await add(site, CORPUS_BOX, fresh))]);
  return stored;
}

async function add(site: ClientSite, mailbox: string, fresh: readonly Fresh[]): Promise<StoredMessage[]> {
  const details = fresh.map((one, i) => ({ ...one, flags: flagsOf(i), date: dateOf(i) }));
  const uids = await site.api.addAll(details.map(one => ({ ...one, account: USER, mailbox })));
  const stored = details.map((one, i) => ({ ...one, uid: uids[i] ?? 0 }));
  return stored.sort((a, b) => a.uid - b.uid);
}

/** By LMTP; what is expected is what the REST interface gives, after a look that it is prefix and message. */
async function deliver(
  site: ClientSite,
  lmtp: LmtpTestClient,
  mailbox: string,
  before: number,
  subject: string,
): Promise<StoredMessage> {
  const sent = Buffer.from(
    `From: a@example.org\r\nSubject: ${subject}\r\n\r\n.one line\r\nof ${subject}\r\n`,
  );
  const [reply = ""] = await lmtp.deliver([USER], sent, `Q${subject.replace(" ", "")}`);
  assert.match(reply, /^250 /u);
  const uid = before + 1;
  const bytes = await site.api.raw(USER, mailbox, uid);
  assert.ok(bytes.subarray(-sent.length).equals(sent), subject);
  assert.match(bytes.toString("latin1", 0, bytes.length - sent.length), PREFIX);
  return { name: subject, bytes, uid, flags: mailbox === FILED ? ["invoice"] : [], date: undefined };
}

/**
 * The same account as a client must see it. Through Dovecot: NUL is 0x80, `\Seen` is Dovecot's own (nobody has read anything there),
 * and `Local/` is there and empty.
 */
export function seenBy(stored: Stored, way: Way): Stored {
  if (way !== "dovecot") return stored;
  const through = [...stored].map(([name, messages]): [string, readonly StoredMessage[]] => [
    name,
    messages.map(one => ({
      ...one,
      bytes: nulAs0x80(one.bytes),
      flags: one.flags.filter(flag => flag !== "\\Seen"),
    })),
  ]);
  return new Map([...through, ...LOCAL.map((name): [string, readonly StoredMessage[]] => [name, []])]);
}

export function countOf(stored: Stored): number {
  return [...stored.values()].reduce((sum, messages) => sum + messages.length, 0);
}
