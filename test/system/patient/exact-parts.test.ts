/**
 * Quality R6: sizes, header fields, partials, structure and every part by its number, for the mail corpus and generated
 * torture, directly and through Dovecot. Directly all must be right. Dovecot's imapc fetches BODY[] and cuts the parts
 * itself, so through it an independent parser answers: where it differs, the reason stands here.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { DOVECOT_DIFFERS, isKnown } from "../../lib/dovecot-differs.ts";
import { type FetchValue, ImapTestClient, readFetch } from "../../lib/imap-client.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { type MailSite, startMailSite } from "../../lib/mail-site.ts";
import { sectionsOf } from "../../lib/sections.ts";
import { PASSWORD } from "../../lib/site-imap.ts";
import { type NamedMessage, TORTURE } from "../../lib/torture.ts";

const CORPUS_USER = "corpus@example.test";
const TORTURE_USER = "torture@example.test";
/** Items of one FETCH; the server takes 200. */
const ITEMS = 100;
let site: MailSite;

before(async () => {
  site = await startMailSite({ users: [CORPUS_USER, TORTURE_USER], logLevel: "warn" });
});
after(() => site?.stop());

async function open(user: string, way: "direct" | "dovecot"): Promise<ImapTestClient> {
  const client = new ImapTestClient(way === "direct" ? site.sidecar.imapPort : site.dovecot.imapPort);
  await client.line();
  const plain = Buffer.from(`${user}\0dovecot\0${site.sidecar.masterPassword}`).toString("base64");
  const login = way === "direct" ? `AUTHENTICATE PLAIN ${plain}` : `LOGIN ${user} ${PASSWORD}`;
  assert.match((await client.command(login)).at(-1) ?? "", /^OK/u);
  assert.match((await client.command("SELECT INBOX")).at(-1) ?? "", /^OK/u);
  return client;
}

async function fetch(
  client: ImapTestClient,
  uid: number,
  items: readonly string[],
): Promise<Map<string, FetchValue>> {
  const values = new Map<string, FetchValue>();
  for (let at = 0; at < items.length; at += ITEMS) {
    const answers = await client.command(`UID FETCH ${uid} (${items.slice(at, at + ITEMS).join(" ")})`);
    const result = answers.at(-1) ?? "";
    if (!result.startsWith("OK")) throw new Error(`UID ${uid}: ${result}`);
    for (const answer of answers.filter(line => /^\* \d+ FETCH/u.test(line)))
      for (const [name, value] of readFetch(answer)) values.set(name, value);
  }
  return values;
}

function octetsOf(value: FetchValue | undefined): Buffer | undefined {
  return value !== null && value !== undefined && "octets" in value ? value.octets : undefined;
}

function textOf(value: FetchValue | undefined): string | undefined {
  return value !== null && value !== undefined && "text" in value ? value.text : undefined;
}

async function deliver(user: string, messages: readonly NamedMessage[]): Promise<void> {
  const client = await LmtpTestClient.open(site.sidecar.lmtpPort);
  for (const [i, { name, bytes }] of messages.entries()) {
    const [reply = ""] = await client.deliver([user], bytes, `P${i}${user.slice(0, 3)}`);
    assert.match(reply, /^250 2\.0\.0 stored/u, name);
  }
  client.close();
}

/** Dovecot shows NUL as 0x80. */
function shown(octets: Buffer, way: "direct" | "dovecot"): Buffer {
  return way === "direct" ? octets : Buffer.from(octets.map(octet => (octet === 0 ? 0x80 : octet)));
}

/**
 * What Dovecot does to octets that it cuts itself, by rule: a bare LF becomes CRLF (so offsets move), and the fields it
 * selects always end in an empty line, also where the header has none (RFC 3501 §6.4.5: then there is none).
 */
function agrees(got: Buffer, expected: Buffer, answer: string, way: "direct" | "dovecot"): boolean {
  if (got.equals(shown(expected, way))) return true;
  if (way === "direct") return false;
  const text = shown(expected, way).toString("latin1");
  const dovecot = text.replace(/(?<!\r)\n/gu, "\r\n");
  const fields =
    answer.startsWith("BODY[HEADER.FIELDS") && !dovecot.endsWith("\r\n\r\n") && dovecot !== "\r\n";
  return got.toString("latin1") === (fields ? `${dovecot}\r\n` : dovecot);
}

/** @returns names of the messages in which something differs, with the sections whose difference is not a known one */
async function compare(
  user: string,
  messages: readonly NamedMessage[],
  way: "direct" | "dovecot",
): Promise<Readonly<Record<string, readonly string[]>>> {
  const client = await open(user, way);
  const differing: Record<string, string[]> = {};
  for (const [index, { name, bytes }] of messages.entries()) {
    const first = await fetch(client, index + 1, ["BODY.PEEK[]", "RFC822.SIZE"]);
    const whole = octetsOf(first.get("BODY[]")) ?? Buffer.alloc(0);
    const prefixBytes = whole.length - bytes.length;
    assert.ok(whole.subarray(prefixBytes).equals(shown(bytes, way)), `${name} ${way}`);
    assert.equal(textOf(first.get("RFC822.SIZE")), String(whole.length), `${name} ${way}`);
    const sent = Buffer.concat([whole.subarray(0, prefixBytes), bytes]);
    const moved = way === "dovecot" && /(?<!\r)\n/u.test(bytes.toString("latin1"));
    const sections = sectionsOf(bytes, prefixBytes, sent).filter(
      ({ answer }) => !moved || !answer.includes("]<"),
    );
    const items = sections.map(section => `BODY.PEEK${section.name}`);
    const values = await fetch(client, index + 1, items);
    for (const section of sections) {
      const { answer, expected } = section;
      const got = octetsOf(values.get(answer)) ?? Buffer.alloc(0);
      if (agrees(got, expected, answer, way)) continue;
      const known = way === "dovecot" && isKnown(name, section, shown(expected, way), got);
      differing[name] ??= [];
      if (!known) differing[name].push(answer);
    }
  }
  client.close();
  return differing;
}

/** Every difference is listed with its reason, and each reason is still needed. */
function assertKnown(
  differing: Readonly<Record<string, readonly string[]>>,
  messages: readonly NamedMessage[],
): void {
  const unknown = Object.entries(differing).filter(([, sections]) => sections.length > 0);
  assert.deepEqual(unknown, []);
  const listed = messages.map(({ name }) => name).filter(name => name in DOVECOT_DIFFERS);
  assert.deepEqual(Object.keys(differing).sort(), listed.sort(), "what is listed and what differs");
}

test("every part of generated torture comes back by its number, directly and through Dovecot", async () => {
  await deliver(TORTURE_USER, TORTURE);
  assert.deepEqual(await compare(TORTURE_USER, TORTURE, "direct"), {});
  assertKnown(await compare(TORTURE_USER, TORTURE, "dovecot"), TORTURE);
});

test("every part of the mail corpus comes back by its number, directly and through Dovecot", {
  skip: corpusThere() ? false : "no mail corpus here",
}, async () => {
  const corpus = readCorpus();
  await deliver(CORPUS_USER, corpus);
  assert.deepEqual(await compare(CORPUS_USER, corpus, "direct"), {});
  assertKnown(await compare(CORPUS_USER, corpus, "dovecot"), corpus);
});
