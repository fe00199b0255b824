/** Mail that is sent by command through a real Postfix: results for each recipient, the copy in Sent, kills, notices of success. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import type { OutgoingBody, SentBody } from "../../src/wire/api/send.ts";
import { judgePlugin } from "../lib/judge-plugin.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { openEmbedded } from "../lib/promises-store.ts";
import { type SmtpGate, startSmtpGate } from "../lib/smtp-gate.ts";

const WAIT_MS = 60_000;
const TARO = "taro@example.test";
const JIRO = "jiro@example.test";
const GONE = "gone@example.test";
const FAR = "far@elsewhere.test";

const scratch = await makeScratch();
const points = ["pre_receive", "pre_send", "pre_delivery"];
const { toml } = judgePlugin(scratch.dir, points, "", ["reject", "tempfail", "hold"]);
let site: MailSite;
let gate: SmtpGate;

before(async () => {
  gate = await startSmtpGate();
  site = await startMailSite({
    users: [TARO, JIRO],
    milterStage: "store",
    postfixSettings: {
      in_flow_delay: "0",
      default_transport: "discard:",
      smtpd_recipient_restrictions: `check_recipient_access inline:{{${GONE} = REJECT moved}}, permit_mynetworks, reject`,
    },
    toml: `[outbound]\nsmtp = "inet:127.0.0.1:${gate.port}"\n${toml}`,
  });
  gate.leadTo(site.postfix.smtpPort);
  await mairust(["account", "add", TARO]);
  await mairust(["account", "alias", "add", TARO, "sales@example.test"]);
  await mairust(["account", "add", JIRO]);
});
after(async () => {
  await site?.stop();
  await gate?.close();
  await scratch.remove();
});

async function mairust(args: readonly string[], code = 0, input?: string): Promise<string> {
  const ran = await site.sidecar.mairust(args, input);
  const log = ran.code === code ? "" : site.sidecar.logText().slice(-3000);
  assert.equal(ran.code, code, `${args.join(" ")}\n${ran.stdout}${ran.stderr}${log}`);
  return ran.stdout.toString() + (code === 0 ? "" : ran.stderr);
}

async function send(...args: string[]): Promise<SentBody> {
  return JSON.parse(await mairust(["send", "--from", TARO, ...args, "-f", "json"]));
}

/** Without a process for each look. */
const shown = (id: string | null): Promise<OutgoingBody> =>
  new Promise((resolve, reject) => {
    const path = `/api/v1/send/${id}`;
    get({ socketPath: site.sidecar.apiSocket, path, agent: false }, answer => {
      json(answer).then(body => resolve(body as OutgoingBody), reject);
    }).on("error", reject);
  });

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = deadlineAfter(WAIT_MS);
  try {
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      assert.ok(deadline.remainingMs() > 0, `${what}\n${site.sidecar.logText().slice(-3000)}`);
      await sleep(50);
    }
  } finally {
    deadline.dispose();
  }
}

const ended = (id: string | null) =>
  until("it ends", async () => {
    const mail = await shown(id);
    return mail.state === "queued" ? undefined : mail;
  });

/** Messages of a mailbox with this subject, once Postfix's queue is empty. */
async function received(user: string, mailbox: string, subject: string): Promise<readonly string[]> {
  await site.drainQueue();
  return site.withImap(user, "direct", async client => {
    const { exists } = await client.mailboxOpen(mailbox, { readOnly: true });
    const found: string[] = [];
    if (exists === 0) return found;
    for await (const one of client.fetch("1:*", { source: true, envelope: true }))
      if (one.envelope?.subject === subject) found.push(one.source?.toString("latin1") ?? "");
    return found;
  });
}

/** As if the lease of the job that a killed process left had run out. */
async function freeJobs(): Promise<void> {
  const db = await openEmbedded(join(site.sidecar.dir, "data"));
  const close = deadlineAfter(10_000);
  await db.run`update jobs set lease_until = now() where kind = 'send-mail' and state = 'running'`;
  await db.run`update jobs set run_at = now() where kind = 'send-mail' and state = 'queued'`;
  await db.close(close);
  close.dispose();
}

/** It is sent by a job: it comes a little later. */
const notice = (subject: string) =>
  until(`"${subject}"`, async () => (await received(TARO, "INBOX", subject))[0]);

const messageIdOf = (text: string) => /^Message-ID: (\S+)\r$/imu.exec(text)?.[1];

test("each recipient has its result, Sent has one copy, and who was refused is told of by a bounce", async () => {
  const file = join(scratch.dir, "report.txt");
  writeFileSync(file, "figures\n");
  const args = [
    "--to",
    JIRO,
    "--cc",
    FAR,
    "--bcc",
    GONE,
    "--subject",
    "hello",
    "--text",
    "See you.\n.\nTaro",
  ];
  const sent = await send(...args, "--attach", file);
  assert.equal(sent.sent_copy, "stored");
  const mail = await ended(sent.id);
  assert.equal(mail.state, "failed");
  assert.deepEqual(
    mail.recipients.map(({ recipient, state }) => [recipient, state]),
    [
      [JIRO, "taken"],
      [FAR, "taken"],
      [GONE, "refused"],
    ],
  );
  assert.match(mail.recipients[0]?.reply ?? "", /^250 2\.0\.0 Ok: queued as /u);
  assert.match(mail.recipients[2]?.reply ?? "", /^554 .*moved/u);
  const [text = "", ...more] = await received(JIRO, "INBOX", "hello");
  assert.deepEqual(more, []);
  assert.doesNotMatch(text, /X-MaiRust-Submit|^bcc:|gone@/imu);
  assert.match(text, /\r\nSee you\.\r\n\.\r\nTaro\r\n/u);
  const copies = await received(TARO, "Sent", "hello");
  assert.deepEqual(copies.map(messageIdOf), [messageIdOf(text)]);
  const bounce = await notice("Your message was not sent");
  assert.match(bounce, /^Final-Recipient: rfc822; gone@example\.test\r$/mu);
  assert.match(bounce, /^Action: failed\r$/mu);
  assert.doesNotMatch(bounce, /rfc822; jiro@/u);
  const story = await mairust(["explain", sent.message_id, "-f", "table"]);
  for (const step of [
    /received +.*by the API, outbound/u,
    /pre_send/u,
    /queued .*copy in Sent: stored/u,
    /sent .*taken by the mail server: 250 2\.0\.0 Ok/u,
    /refused .*by the mail server: 554/u,
  ])
    assert.match(story, step);
  await until("its job is done", async () =>
    /send-mail\tdone/u.test(await mairust(["job", "list", "--kind", "send-mail"])) ? true : undefined,
  );
});

test("mail goes out from our own addresses only, an alias among them", async () => {
  const others = ["taro@elsewhere.test", "nobody@example.test", "postmaster@localhost.test"];
  for (const from of others) {
    const said = await mairust(["send", "--from", from, "--to", FAR, "--text", "x"], 77);
    assert.match(said, /is no address of an account here/u);
  }
  const forged = `From: boss@elsewhere.test\nTo: ${FAR}\n\nx\n`;
  assert.match(await mairust(["send", "--raw", "-"], 77, forged), /no address of an account here/u);
  assert.match(await mairust(["send", "--raw", "-", "--from", TARO], 77, forged), /the From field says/u);
  const second = `Sender: boss@elsewhere.test\nFrom: ${TARO}\nTo: ${FAR}\n\nx\n`;
  await mairust(["send", "--raw", "-"], 77, second);
  const own = `From: Sales <sales@example.test>\nTo: ${JIRO}\nBcc: ${FAR}\nSubject: raw\n\nline\n`;
  const args = ["send", "--raw", "-", "--wait", "-f", "json"];
  const mail: OutgoingBody = JSON.parse(await mairust(args, 0, own));
  assert.deepEqual(
    [mail.mail_from, ...mail.recipients.map(one => `${one.recipient} ${one.state}`)],
    ["sales@example.test", `${JIRO} taken`, `${FAR} taken`],
  );
  const [text = ""] = await received(JIRO, "INBOX", "raw");
  assert.doesNotMatch(text, /^Bcc:/imu);
  assert.match(text, /^Date: /mu);
});

test("a hook refuses, defers or holds what is sent; what is held goes when it is released", async () => {
  const [to, body] = [
    ["--to", JIRO],
    ["--text", "x"],
  ] as const;
  const ask = (subject: string, code: number) =>
    mairust(["send", "--from", TARO, ...to, ...body, "--subject", subject], code);
  assert.match(await ask("reject this", 77), /550 5\.7\.1 not wanted here \(hook "judge-pre-send", id=/u);
  assert.match(await ask("tempfail this", 75), /451 4\.7\.1 come back/u);
  const held = await send(...to, ...body, "--subject", "hold this", "--idempotency-key", "h1");
  assert.deepEqual([held.state, held.id, held.sent_copy], ["held", null, null]);
  const again = await send(...to, ...body, "--subject", "hold this", "--idempotency-key", "h1");
  assert.equal(again.hold, held.hold);
  await mairust(["held", "release", held.hold ?? ""]);
  assert.equal((await received(JIRO, "INBOX", "hold this")).length, 1);
});

test("killed before the answer to the message's end: what came back is not sent again", async () => {
  const answered = gate.keepNextAnswer();
  const sent = await send("--to", JIRO, "--subject", "killed near", "--text", "x");
  assert.match(await answered, /^250 /u);
  await site.sidecar.kill();
  await site.sidecar.restart();
  assert.equal((await received(JIRO, "INBOX", "killed near")).length, 1);
  await freeJobs();
  const mail = await ended(sent.id);
  assert.equal(mail.state, "done");
  assert.match(mail.recipients[0]?.reply ?? "", /taken before the answer was lost: queued as /u);
  assert.equal((await received(JIRO, "INBOX", "killed near")).length, 1);
  assert.equal((await received(TARO, "Sent", "killed near")).length, 1);
});

test("killed there with mail that leaves the site: sent again and counted; Sent has it once", async () => {
  const answered = gate.keepNextAnswer();
  const sent = await send("--to", FAR, "--subject", "killed far", "--text", "x");
  assert.match(await answered, /^250 /u);
  await site.sidecar.kill();
  await site.sidecar.restart();
  await freeJobs();
  assert.equal((await ended(sent.id)).state, "done");
  await until("it is logged", async () =>
    site.sidecar.logText().includes("mail may be sent twice") ? true : undefined,
  );
  assert.equal((await received(TARO, "Sent", "killed far")).length, 1);
});

test("while the mail server is down mail waits with the reason; it goes when the server is back", async () => {
  gate.shut();
  const sent = await send("--to", JIRO, "--subject", "patience", "--text", "x");
  const waiting = await until("it was tried", async () => {
    const mail = await shown(sent.id);
    return mail.recipients[0]?.reply === "" ? undefined : mail;
  });
  assert.deepEqual([waiting.state, waiting.recipients[0]?.state], ["queued", "waiting"]);
  assert.match(waiting.recipients[0]?.reply ?? "", /the mail server at inet:.*: the connection was closed/u);
  gate.open();
  await freeJobs();
  assert.equal((await ended(sent.id)).state, "done");
  assert.equal((await received(JIRO, "INBOX", "patience")).length, 1);
});

test("sendmail -N success is answered by us when the mail is stored; who asked for nothing or NEVER gets nothing", async () => {
  const inject = (notify: string, subject: string) =>
    execFileSync("sendmail", ["-N", notify, "-V", "env<1>", "-f", TARO, JIRO], {
      env: { MAIL_CONFIG: site.postfix.configDir, PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      input: `From: ${TARO}\nTo: ${JIRO}\nSubject: ${subject}\n\nx\n`,
      timeout: 30_000,
    });
  inject("success,failure", "tell me");
  inject("never", "tell nobody");
  assert.equal((await received(JIRO, "INBOX", "tell me")).length, 1);
  assert.equal((await received(JIRO, "INBOX", "tell nobody")).length, 1);
  const told = await notice("Your message was delivered");
  assert.match(told, /^Return-Path: <>\r$/mu);
  assert.match(told, /^Auto-Submitted: auto-replied\r$/mu);
  assert.match(told, /^Original-Envelope-Id: env<1>\r$/mu);
  assert.match(told, /^Original-Recipient: rfc822; ?jiro@example\.test\r$/mu);
  assert.match(told, /^Action: delivered\r$/mu);
  assert.match(told, /^Subject: tell me\r$/mu);
  const dsns = await mairust(["send", "list", "--purpose", "dsn", "-f", "jsonl"]);
  assert.equal(dsns.match(/"mail_from": ?""/gu)?.length, 2, "the bounce and this one");
});
