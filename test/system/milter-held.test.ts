/**
 * A hook holds mail at the milter, in the whole service behind a real Postfix with the shipped lines: what is released goes through
 * Postfix with its one-time id, is not judged again, and is stored once with what was decided; what is rejected comes back as a bounce.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { judgePlugin } from "../lib/judge-plugin.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const WAIT_MS = 60_000;
const SENDER = "alice@sender.test";
const TARO = "taro@example.test";
const JIRO = "jiro@example.test";

const scratch = await makeScratch();
const points = ["pre_receive", "pre_send", "pre_delivery"];
const { toml, callsFile } = judgePlugin(scratch.dir, points, "", ["reject", "tempfail", "hold"]);
let site: MailSite;

before(async () => {
  site = await startMailSite({
    users: [TARO, JIRO],
    aliases: { "sales@example.test": [TARO, JIRO] },
    milterStage: "store",
    submits: true,
    postfixSettings: {
      smtpd_authorized_xclient_hosts: "127.0.0.1",
      in_flow_delay: "0",
      default_transport: "discard:",
      smtpd_relay_restrictions: "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    },
    toml,
  });
});
after(async () => {
  await site?.stop();
  await scratch.remove();
});

async function send(subject: string, from: string, to: readonly string[], login?: string): Promise<void> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    if (login !== undefined) {
      assert.match(await client.command(`XCLIENT ADDR=192.0.2.7 NAME=far.test LOGIN=${login}`), /^220/u);
      await client.command("EHLO far.test");
    }
    const text = `From: ${from}\r\nMessage-ID: <${Math.random()}@x>\r\nSubject: ${subject}\r\n\r\nbody\r\n`;
    assert.match(await client.send(from, to, text), /^250 /u);
  } finally {
    client.close();
  }
}

interface Stored {
  readonly text: string;
  readonly tags: readonly string[];
}

/** Messages of a user with this subject, once the queue is empty. */
async function stored(user: string, subject: string): Promise<readonly Stored[]> {
  await site.drainQueue();
  return site.withImap(user, "direct", async client => {
    const { exists } = await client.mailboxOpen("INBOX", { readOnly: true });
    const found: Stored[] = [];
    if (exists === 0) return found;
    for await (const one of client.fetch("1:*", { source: true, flags: true, envelope: true })) {
      if (one.envelope?.subject !== subject) continue;
      const tags = [...(one.flags ?? [])].filter(flag => flag !== "\\Recent").sort();
      found.push({ text: one.source?.toString("latin1") ?? "", tags });
    }
    return found;
  });
}

/** What we send ourselves is sent by a job: it comes a little later. */
async function arrived(user: string, subject: string): Promise<Stored> {
  const deadline = deadlineAfter(WAIT_MS);
  for (;;) {
    const [first] = await stored(user, subject);
    if (first !== undefined) {
      deadline.dispose();
      return first;
    }
    assert.ok(deadline.remainingMs() > 0, `in time: "${subject}"`);
    await sleep(50);
  }
}

/** The point of each call about a subject, in order. */
const calls = (subject: string) =>
  readFileSync(callsFile, "utf8")
    .trim()
    .split("\n")
    .map(line => JSON.parse(line) as { hook: string; subject: string })
    .filter(call => call.subject === subject)
    .map(({ hook }) => hook);

async function heldId(subject: string): Promise<string> {
  const { code, stdout, stderr } = await site.sidecar.mairust(["held", "list", "-f", "jsonl"]);
  assert.equal(code, 0, stderr);
  const rows = stdout.toString().trim().split("\n").filter(Boolean);
  const found = rows.map(row => JSON.parse(row)).filter(row => row.subject === subject);
  assert.equal(found.length, 1, stdout.toString());
  return found[0].id;
}

async function release(id: string): Promise<void> {
  const { code, stdout, stderr } = await site.sidecar.mairust(["held", "release", id, "-f", "tab"]);
  assert.equal(code, 0, `${stdout}${stderr}${site.sidecar.logText().slice(-2000)}`);
}

test("mail from outside is held, released through Postfix, not judged again, and stored once for each with its tags", async () => {
  await send("hold inbound", SENDER, ["sales@example.test"]);
  assert.deepEqual([await stored(TARO, "hold inbound"), await stored(JIRO, "hold inbound")], [[], []]);
  const id = await heldId("hold inbound");
  await release(id);
  for (const user of [TARO, JIRO]) {
    const copies = await stored(user, "hold inbound");
    assert.deepEqual(
      copies.map(({ tags }) => tags),
      [["held-by-pre-receive", "pre-delivery"]],
      user,
    );
    assert.match(copies[0]?.text ?? "", /^X-MaiRust-Trace: v1; /mu);
    assert.doesNotMatch(copies[0]?.text ?? "", /X-MaiRust-Submit/iu);
  }
  assert.deepEqual(calls("hold inbound"), ["pre_receive", "pre_delivery", "pre_delivery"]);
  const again = await site.sidecar.mairust(["held", "release", id]);
  assert.notEqual(again.code, 0, "once");
});

test("what our users send is held, released, and reaches a neighbour without being judged as from outside", async () => {
  await send("hold mine", TARO, [JIRO], "taro");
  assert.deepEqual(await stored(JIRO, "hold mine"), []);
  await release(await heldId("hold mine"));
  assert.deepEqual(
    (await stored(JIRO, "hold mine")).map(({ tags }) => tags),
    [["pre-delivery"]],
  );
  assert.deepEqual(calls("hold mine"), ["pre_send", "pre_delivery"]);
});

test("sent mail that is rejected comes back as a bounce that nobody judges", async () => {
  await send("hold and reject", TARO, [JIRO], "taro");
  const id = await heldId("hold and reject");
  const { code, stderr } = await site.sidecar.mairust(["held", "reject", id]);
  assert.equal(code, 0, `${stderr}${site.sidecar.logText().slice(-2000)}`);
  const bounce = await arrived(TARO, "Your message was not sent");
  assert.match(bounce.text, /^Content-Type: multipart\/report/mu);
  assert.match(bounce.text, /Final-Recipient: rfc822; jiro@example\.test/u);
  assert.doesNotMatch(bounce.text, /X-MaiRust-Submit/iu);
  assert.deepEqual(calls("Your message was not sent"), ["pre_delivery"]);
  assert.deepEqual(await stored(JIRO, "hold and reject"), []);
});

test("a one-time id that somebody makes up opens nothing", async () => {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  const forged = `X-MaiRust-Submit: ${"A".repeat(32)}\r\nFrom: ${SENDER}\r\nSubject: reject forged\r\n\r\nbody\r\n`;
  assert.match(await client.send(SENDER, [TARO], forged), /^550 5\.7\.1 not wanted here/u);
  client.close();
});
