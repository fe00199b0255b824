/** What a client has against what the account holds: byte for byte, nothing lost, nothing doubled, nothing else. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { KeptMessage, MailClient, SyncJob } from "./client.ts";
import type { StoredMessage } from "./messages.ts";
import type { Stored } from "./stored.ts";

/** Context around the first octet that differs. */
const QUOTED = 40;
/** Of missing messages. */
const QUOTED_NAMES = 5;

export interface Compared {
  /** Messages that the client has. */
  readonly kept: number;
  /** Names of messages that it passes over, as its own rules say. */
  readonly passedOver: readonly string[];
}

export async function compareKept(client: MailClient, job: SyncJob, expected: Stored): Promise<Compared> {
  const kept = await client.read(job);
  const names = [...expected]
    .filter(([, list]) => client.emptyMailboxes || list.length > 0)
    .map(([name]) => name);
  const had = [...kept].filter(([, list]) => client.emptyMailboxes || list.length > 0).map(([name]) => name);
  assert.deepEqual(had.sort(), names.sort(), "mailboxes");
  const passedOver: string[] = [];
  let count = 0;
  for (const name of names) {
    const messages = expected.get(name) ?? [];
    const written = await client.writes(
      messages.map(({ bytes }) => bytes),
      job,
    );
    assert.equal(written.length, messages.length);
    const wanted: Wanted[] = [];
    for (const [i, bytes] of written.entries()) {
      const message = messages[i];
      if (message === undefined) continue;
      if (bytes === undefined) passedOver.push(message.name);
      else wanted.push({ message, bytes });
    }
    compareMailbox(client, name, wanted, kept.get(name) ?? []);
    count += wanted.length;
  }
  return { kept: count, passedOver };
}

interface Wanted {
  readonly message: StoredMessage;
  readonly bytes: Buffer;
}

function compareMailbox(
  client: MailClient,
  mailbox: string,
  wanted: readonly Wanted[],
  kept: readonly KeptMessage[],
): void {
  const withUids = kept.some(({ uid }) => uid !== undefined);
  if (withUids) compareByUid(client, mailbox, wanted, kept);
  else compareByContent(mailbox, wanted, kept);
  assert.equal(kept.length, wanted.length, `messages in ${mailbox}`);
}

function compareByUid(
  client: MailClient,
  mailbox: string,
  wanted: readonly Wanted[],
  kept: readonly KeptMessage[],
): void {
  const byUid = new Map(kept.map(one => [one.uid, one]));
  assert.equal(byUid.size, kept.length, `a UID of ${mailbox} came twice`);
  for (const { message, bytes } of wanted) {
    const what = `${mailbox} UID ${message.uid} (${message.name})`;
    const one = byUid.get(message.uid);
    assert.ok(one !== undefined, `${what} is missing`);
    if (!one.bytes.equals(bytes)) assert.fail(`${what}: ${firstDifference(one.bytes, bytes)}`);
    const flags = takenOver(client, message.flags);
    if (flags !== undefined) {
      const has = (one.flags ?? []).filter(flag => flag !== "\\Recent");
      assert.deepEqual([...has].sort(), [...flags].sort(), `flags of ${what}`);
    }
    if (client.dates && message.date !== undefined) {
      assert.equal(seconds(one.date), seconds(message.date), `date of ${what}`);
    }
  }
}

/** For clients that do not tell which UID a message had: the same contents, each as often as it is stored. */
function compareByContent(mailbox: string, wanted: readonly Wanted[], kept: readonly KeptMessage[]): void {
  const left = new Map<string, number>();
  for (const { bytes } of kept) left.set(digest(bytes), (left.get(digest(bytes)) ?? 0) + 1);
  const missing: string[] = [];
  for (const { message, bytes } of wanted) {
    const key = digest(bytes);
    const count = left.get(key) ?? 0;
    if (count === 0) missing.push(message.name);
    else left.set(key, count - 1);
  }
  const some = missing.slice(0, QUOTED_NAMES).join(", ");
  assert.equal(missing.length, 0, `${missing.length} missing in ${mailbox}, or not byte for byte: ${some}`);
}

function takenOver({ flags }: MailClient, all: readonly string[]): readonly string[] | undefined {
  if (flags === undefined || flags === "all") return flags === undefined ? undefined : all;
  return all.filter(flag => flags.includes(flag));
}

function firstDifference(has: Buffer, wanted: Buffer): string {
  let at = 0;
  while (at < has.length && has[at] === wanted[at]) at++;
  const quote = (bytes: Buffer) =>
    JSON.stringify(bytes.toString("latin1", Math.max(0, at - QUOTED), at + QUOTED));
  return `${has.length} octets, expected ${wanted.length}; they differ at ${at}: ${quote(has)}, expected ${quote(wanted)}`;
}

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("base64");
const seconds = (date: Date | undefined) => Math.floor((date?.getTime() ?? 0) / 1000);
