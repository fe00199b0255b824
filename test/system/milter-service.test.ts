/**
 * The service behind a real Postfix that asks its milter by the shipped lines, with a script plugin at pre_receive, pre_send and
 * pre_delivery: what the sender's server sees, what is stored, what `explain` tells.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { after, before, test } from "node:test";
import { execa } from "execa";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { judgePlugin } from "../lib/judge-plugin.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const WAIT_MS = 30_000;
const SENDER = "alice@sender.test";
const TARO = "taro@example.test";
const UUID = "[0-9a-f]{8}-[0-9a-f-]{27}";

const scratch = await makeScratch();
const { toml, callsFile } = judgePlugin(scratch.dir, ["pre_receive", "pre_send", "pre_delivery"]);
let site: MailSite;

before(async () => {
  site = await startMailSite({
    users: [TARO],
    aliases: { "sales@example.test": [TARO] },
    milterStage: "store",
    postfixSettings: {
      smtpd_authorized_xclient_hosts: "127.0.0.1",
      in_flow_delay: "0",
      // Bounces go nowhere.
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

const message = (subject: string, more = "") =>
  `${more}From: ${SENDER}\r\nTo: ${TARO}\r\nMessage-ID: <${Math.random()}@sender.test>\r\nSubject: ${subject}\r\n\r\nbody\r\n`;

async function send(text: string, to: readonly string[] = [TARO], from = SENDER): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    return await client.send(from, to, text);
  } finally {
    client.close();
  }
}

function queueIdOf(reply: string): string {
  const id = /^250 .*queued as (\S+)$/u.exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  return id;
}

interface Stored {
  readonly text: string;
  readonly tags: readonly string[];
}

/** The newest message of the account, once the queue is empty. */
async function newest(): Promise<Stored> {
  await site.drainQueue();
  return site.withImap(TARO, "direct", async client => {
    const { exists } = await client.mailboxOpen("INBOX", { readOnly: true });
    const found = await client.fetchOne(String(exists), { source: true, flags: true });
    assert.ok(found);
    return {
      text: found.source?.toString("latin1") ?? "",
      tags: [...(found.flags ?? [])].filter(f => f !== "\\Recent").sort(),
    };
  });
}

const calls = (subject: string) =>
  readFileSync(callsFile, "utf8")
    .trim()
    .split("\n")
    .map(line => JSON.parse(line) as { hook: string; subject: string; rcpt: string[]; tags: string[] })
    .filter(call => call.subject === subject);

const explain = async (id: string) => (await site.sidecar.mairust(["explain", id])).stdout.toString();

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isTrue())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
  deadline.dispose();
}

test("a refusal reaches the sender's server in its session, and its trace id Postfix's log and explain", async () => {
  const reply = await send(message("reject this"));
  const id = new RegExp(`^550 5\\.7\\.1 not wanted here id=(${UUID})$`, "u").exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  await until("Postfix has noted it", async () =>
    (await site.postfix.log()).some(
      line => line.includes("milter-reject: END-OF-MESSAGE") && line.includes(id),
    ),
  );
  assert.deepEqual(await site.postfix.queue(), []);
  await until("its timeline is written", async () => /not wanted here/u.test(await explain(id)));
  assert.match(await explain(id), /judge-pre-receive/u);
});

test("a temporary failure is one for the sender's server", async () => {
  assert.match(await send(message("tempfail this")), new RegExp(`^451 4\\.7\\.1 come back id=${UUID}$`, "u"));
});

test("what pre_receive tagged is on the stored copy, pre_delivery saw it, and nobody judged twice", async () => {
  const queueId = queueIdOf(await send(message("tag one"), ["sales@example.test"]));
  const { text, tags } = await newest();
  assert.deepEqual(tags, ["pre-delivery", "pre-receive"]);
  assert.equal(text.match(/^X-MaiRust-Trace: v1; /gmu)?.length, 1);
  const made = calls("tag one");
  assert.deepEqual(
    made.map(({ hook }) => hook),
    ["pre_receive", "pre_delivery"],
  );
  assert.deepEqual(made[0]?.rcpt, ["sales@example.test"], "the milter sees the alias");
  assert.deepEqual(made[1]?.tags, ["pre-receive"]);
  const isTold = /judge-pre-receive[\s\S]*judge-pre-delivery/u;
  await until("its timeline is written", async () => isTold.test(await explain(queueId)));
});

test("forged fields of ours are taken out; a mark of a hook that failed is added", async () => {
  const forged = "X-MaiRust-Trace: v1; forged\r\nX-MAIRUST-Skipped: nobody\r\n";
  queueIdOf(await send(message("die quietly", forged)));
  const { text, tags } = await newest();
  assert.doesNotMatch(text, /forged|nobody/u);
  assert.match(text, /^X-MaiRust-Skipped: judge-pre-receive\r$/mu);
  assert.deepEqual(tags, ["mairust:unchecked", "pre-delivery"]);
});

test("mail by sendmail(1) is judged too", async () => {
  const sendmail = (subject: string) =>
    execa("/usr/sbin/sendmail", ["-i", "-f", SENDER, TARO], {
      env: { MAIL_CONFIG: site.postfix.configDir },
      input: `Subject: ${subject}\n\nbody\n`,
    });
  await sendmail("tag local");
  await until("it was delivered", () => calls("tag local").length === 2);
  assert.deepEqual((await newest()).tags, ["pre-delivery", "pre-receive"]);
  await sendmail("reject local");
  await until("Postfix has noted the refusal", async () =>
    (await site.postfix.log()).some(line =>
      /milter-reject: END-OF-MESSAGE from localhost.*not wanted here/u.test(line),
    ),
  );
});

test("what our users send meets pre_send: refused in their session, and mail to a neighbour is not judged as from outside", async () => {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  assert.match(await client.command("XCLIENT ADDR=192.0.2.7 NAME=far.test LOGIN=taro"), /^220/u);
  await client.command("EHLO far.test");
  assert.match(await client.send(TARO, [TARO], message("reject mine")), /^550 5\.7\.1 not wanted here/u);
  queueIdOf(await client.send(TARO, [TARO], message("tag mine")));
  client.close();
  assert.deepEqual((await newest()).tags, ["pre-delivery"]);
  assert.deepEqual(
    calls("tag mine").map(({ hook }) => hook),
    ["pre_send", "pre_delivery"],
  );
});

test("while the sidecar is away senders are told to come again, as the shipped line says; afterwards all is well", async () => {
  await site.sidecar.stop();
  assert.match(await send(message("tag away")), /^451 4\.7\.1/u);
  await site.sidecar.restart();
  queueIdOf(await send(message("tag back")));
  assert.deepEqual((await newest()).tags, ["pre-delivery", "pre-receive"]);
});

test("the metrics count what was decided", async () => {
  const text = await new Promise<string>((resolve, reject) => {
    get({ socketPath: site.sidecar.apiSocket, path: "/metrics", agent: false }, answer => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    }).on("error", reject);
  });
  assert.match(text, /mairust_milter_messages_total\{direction="inbound",decision="accepted"\} [1-9]/u);
  assert.match(text, /mairust_milter_added_delay_seconds_count [1-9]/u);
});
