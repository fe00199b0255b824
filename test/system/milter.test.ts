/**
 * The milter with a real Postfix, on a UNIX socket below its queue folder and on TCP: smtpd and mail by sendmail(1). Who decides
 * stands in this test. Accepted mail stays in the queue, where postcat(1) shows what became of it.
 */
import assert from "node:assert/strict";
import { chmod, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import type { QueuedMessage } from "../../src/mailhost/postfix-queue.ts";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { openListeners } from "../../src/platform/listeners.ts";
import { createMilterServer } from "../../src/protocols/milter/server.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";
import { ALL_NEEDS, Counted, MemoryDecider } from "../unit/protocols/milter/harness.ts";

const START_MS = 60_000;
const WAIT_MS = 60_000;
const HEADER = [
  "From: sender@a.test",
  "To: ann@a.test",
  "Date: Thu, 01 Jan 2026 00:00:00 +0000",
  "Message-ID: <1@a.test>",
  "Subject:no blank",
  "X-Folded: one",
  "\ttwo",
].join("\r\n");
const BODY = "first line\r\n.dot\r\n\xe9\r\n";
const MESSAGE = `${HEADER}\r\n\r\n${BODY}`;

const scratch = await makeScratch();
after(() => scratch.remove());

interface Site {
  readonly postfix: Postfix;
  readonly decider: MemoryDecider;
  readonly counted: Counted;
}

async function withSite(
  kind: "unix" | "tcp",
  work: (site: Site) => Promise<void>,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const dir = await mkdtemp(join(scratch.dir, "s"));
  await chmod(dir, 0o755);
  const port = await freePort();
  const milter = kind === "unix" ? "unix:mairust/milter.sock" : `inet:127.0.0.1:${port}`;
  const settings = {
    smtpd_milters: milter,
    non_smtpd_milters: milter,
    milter_default_action: "tempfail",
    defer_transports: "mairust",
    smtpd_authorized_xclient_hosts: "127.0.0.1",
    in_flow_delay: "0",
    ...more,
  };
  const deadline = deadlineAfter(START_MS);
  const postfix = await startPostfix({ dir, domains: ["a.test"], settings }, deadline);
  deadline.dispose();
  const decider = new MemoryDecider();
  const counted = new Counted();
  const server = createMilterServer({
    config: {
      connections: 20,
      packetBytes: 1_048_576,
      chainTimeoutMs: 5_000,
      outboundDaemons: ["ORIGINATING"],
      outboundNetworks: ["198.51.100.0/24"],
    },
    decider,
    log: counted.log,
    metrics: counted.metrics,
  });
  const listeners = await openListeners({
    name: "milter.listen",
    specs: [kind === "unix" ? `unix:${join(postfix.socketDir, "milter.sock")}` : milter],
    createServer: () => server.createListener(),
    access: { mode: "0660", group: "postfix" },
    maxConnections: 40,
  });
  try {
    await work({ postfix, decider, counted });
    const complaints = (await postfix.log()).filter(line => /warning: .*milter/iu.test(line));
    // The start looks for a greeting when nobody listens yet.
    assert.deepEqual(
      complaints.filter(line => !/connect to Milter service/u.test(line)),
      [],
    );
    assert.deepEqual([counted.faults, counted.errors], [[], []]);
  } finally {
    await postfix.stop();
    await server.close();
    await listeners.close();
  }
}

/** The message in its last place: on its way from folder to folder it is sometimes seen nowhere. */
async function entryOf(postfix: Postfix, reply: string): Promise<QueuedMessage> {
  const id = /queued as ([0-9A-Za-z]{15})$/u.exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  let entry: QueuedMessage | undefined;
  await until(`${id} rests in the queue`, async () => {
    const entries = await postfix.queue();
    entry = entries.find(
      ({ queueId, queueName }) => queueId === id && /^(?:deferred|hold)$/u.test(queueName),
    );
    return entry !== undefined;
  });
  assert.ok(entry !== undefined);
  return entry;
}

/** What Postfix keeps of the message, with LF. */
async function queued(postfix: Postfix, reply: string): Promise<string> {
  return postfix.run("postcat", ["-qhb", (await entryOf(postfix, reply)).queueId]);
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isTrue())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
  deadline.dispose();
}

/** Every decision, all in one connection. */
async function decisions({ postfix, decider, counted }: Site): Promise<void> {
  const client = await SmtpTestClient.open(postfix.smtpPort);
  const send = (to: string, message = MESSAGE) =>
    client.send("sender@a.test", [`${to}@a.test`, "bob@a.test"], message);

  const accepted = await send("ann");
  const stored = await queued(postfix, accepted);
  assert.ok(stored.includes("\n\nfirst line\n.dot\n"), stored);
  const [message] = decider.decided;
  assert.equal(message?.content, MESSAGE);
  assert.equal(message?.envelope.queueId, accepted.split(" ").at(-1));
  assert.deepEqual(message?.envelope.client, {
    address: "127.0.0.1",
    port: message?.envelope.client.port,
    helo: "client.test",
    ident: message?.envelope.queueId,
  });
  assert.ok((message?.envelope.client.port ?? 0) > 0);
  assert.equal(message?.envelope.mta, "mail.a.test");
  assert.equal(message?.envelope.direction, "inbound");
  assert.deepEqual(
    message?.envelope.recipients.map(({ address }) => address.raw),
    ["ann@a.test", "bob@a.test"],
  );

  assert.equal(await send("refuse"), "550 5.7.1 not 100% wanted");
  assert.equal(await send("defer"), "451-4.7.1 later\r\n451 4.7.1 please");
  assert.match(await send("discard"), /^250 /u);
  const { queueId } = decider.decided.at(-1)?.envelope ?? {};
  const isDropped = (line: string) => line.includes(`${queueId}: milter-discard: END-OF-MESSAGE`);
  await until("Postfix has dropped it", async () => (await postfix.log()).some(isDropped));

  decider.edits = [
    { kind: "add_header", name: "X-Added", value: "one\r\n\ttwo" },
    { kind: "insert_header", index: 0, name: "X-MaiRust-Trace", value: "v1" },
    { kind: "change_header", index: 1, name: "Subject", value: "changed" },
    { kind: "add_recipient", address: "cid@a.test" },
    { kind: "remove_recipient", address: "bob@a.test" },
    {
      kind: "replace_body",
      body: [Buffer.from("new body\r\n"), Buffer.alloc(70_000, "x"), Buffer.from("\r\n")],
    },
  ];
  const forged =
    "X-MaiRust-Trace: forged\r\nX-MaiRust-A: 1\r\nx-mairust-a: 2\r\nX-Kept: yes\r\nX-MAIRUST-A : 3\r\n";
  const edited = await send("edit", `${forged}${MESSAGE}`);
  const text = await queued(postfix, edited);
  const [head = "", body] = text.split(/\n\n(.*)/su);
  assert.deepEqual(head.match(/^x-mairust.*$/gimu), ["X-MaiRust-Trace: v1"]);
  assert.match(head, /^X-MaiRust-Trace: v1\n/u);
  assert.match(head, /\nX-Kept: yes\n/u);
  assert.match(head, /\nSubject: changed\n/u);
  assert.match(head, /\nX-Added: one\n\ttwo$/u);
  assert.equal(body?.trimEnd(), `new body\n${"x".repeat(70_000)}`);
  const entry = await entryOf(postfix, edited);
  assert.deepEqual(entry.recipients.map(({ address }) => address).sort(), ["cid@a.test", "edit@a.test"]);
  assert.equal(decider.decided.at(-1)?.reserved.length, 4);

  decider.edits = [{ kind: "quarantine", reason: "look at it" }];
  const held = await send("edit");
  assert.equal((await entryOf(postfix, held)).queueName, "hold");

  assert.equal(counted.open, 1);
  assert.deepEqual(counted.results, ["accepted", "refused", "deferred", "discarded", "accepted", "accepted"]);
  // A message that is given up in between, and a client that only looks in.
  await client.command("MAIL FROM:<sender@a.test>");
  await client.command("RCPT TO:<ann@a.test>");
  assert.match(await client.command("RSET"), /^250/u);
  assert.match(await send("ann"), /^250/u);
  client.close();
  (await SmtpTestClient.open(postfix.smtpPort)).close();
  await until("all connections are closed", () => counted.open === 0);
}

/** XCLIENT shows Postfix another client: its network, its login. */
async function directions({ postfix, decider }: Site): Promise<void> {
  for (const [facts, direction, auth] of [
    ["ADDR=198.51.100.7 NAME=ours.test LOGIN=[UNAVAILABLE]", "outbound", undefined],
    ["ADDR=192.0.2.7 NAME=[UNAVAILABLE]", "inbound", undefined],
    ["ADDR=192.0.2.7 NAME=far.test LOGIN=ann", "outbound", { user: "ann", mechanism: "XCLIENT" }],
  ] as const) {
    // After XCLIENT the client is another one, which may not say it again.
    const client = await SmtpTestClient.open(postfix.smtpPort);
    assert.match(await client.command(`XCLIENT ${facts}`), /^220/u);
    await client.command("EHLO other.test");
    assert.match(await client.send("sender@a.test", ["ann@a.test"], MESSAGE), /^250/u);
    const envelope = decider.decided.at(-1)?.envelope;
    assert.deepEqual([envelope?.direction, envelope?.auth], [direction, auth], facts);
    assert.equal(envelope?.client.address, /ADDR=(\S+)/u.exec(facts)?.[1]);
    client.close();
  }
}

/** sendmail(1) → postdrop → pickup → cleanup: no SMTP client. */
async function withoutSmtp({ postfix, decider, counted }: Site): Promise<void> {
  const sendmail = (to: string, input: string) =>
    execa("/usr/sbin/sendmail", ["-i", "-f", "local@a.test", `${to}@a.test`], {
      env: { MAIL_CONFIG: postfix.configDir },
      input,
    });
  const taken = decider.decided.length;
  decider.edits = [{ kind: "add_header", name: "X-Added", value: "yes" }];
  await sendmail("edit", "X-MaiRust-A: 1\nSubject: local\n\nbody\n");
  await until("mail by sendmail is decided about", () => decider.decided.length > taken);
  const message = decider.decided.at(-1);
  assert.equal(message?.envelope.client.address, "127.0.0.1");
  assert.equal(message?.envelope.client.port, 0);
  assert.equal(message?.envelope.mailFrom.raw, "local@a.test");
  assert.match(message?.content ?? "", /Subject: local\r\n.*\r\n\r\nbody\r\n$/su);
  const text = await queued(postfix, `queued as ${message?.envelope.queueId}`);
  assert.match(text, /^X-Added: yes$/mu);
  assert.doesNotMatch(text, /x-mairust/iu);

  const { length } = counted.results;
  await sendmail("refuse", "Subject: local\n\nbody\n");
  await until("it is refused", () => counted.results.length > length);
  const isBounced = (line: string) =>
    /milter-reject: END-OF-MESSAGE from localhost.*not 100% wanted/u.test(line);
  await until("Postfix has noted it", async () => (await postfix.log()).some(isBounced));
}

async function withoutBody({ postfix, decider }: Site): Promise<void> {
  decider.wanted = { ...ALL_NEEDS, body: false };
  const client = await SmtpTestClient.open(postfix.smtpPort);
  const reply = await client.send(
    "sender@a.test",
    ["ann@a.test"],
    `${MESSAGE}${"x".repeat(70)}\r\n`.repeat(3_000),
  );
  assert.match(reply, /^250/u);
  assert.equal(decider.decided.at(-1)?.content, `${HEADER}\r\n\r\n`);
  decider.wanted = ALL_NEEDS;
  client.close();
}

async function olderVersion({ postfix, decider }: Site): Promise<void> {
  const client = await SmtpTestClient.open(postfix.smtpPort);
  decider.edits = [{ kind: "add_header", name: "X-Added", value: "yes" }];
  for (const [to, reply] of [
    ["ann", /^250 /u],
    ["refuse", /^550 5\.7\.1 not 100% wanted$/u],
    ["edit", /^250 /u],
  ] as const) {
    const answer = await client.send("sender@a.test", [`${to}@a.test`], `X-MaiRust-A: 1\r\n${MESSAGE}`);
    assert.match(answer, reply, to);
    // The blank behind a colon is not told.
    assert.equal(decider.decided.at(-1)?.content, MESSAGE.replace("Subject:no", "Subject: no"));
    if (to === "edit") assert.match(await queued(postfix, answer), /^X-Added: yes$/mu);
  }
  client.close();
}

for (const kind of ["unix", "tcp"] as const) {
  test(`the milter behind Postfix, socket: ${kind}`, async () => {
    await withSite(kind, async site => {
      await decisions(site);
      await directions(site);
      await withoutSmtp(site);
      await withoutBody(site);
    });
  });
}

for (const version of ["2", "3", "4"]) {
  test(`the milter behind a Postfix that speaks version ${version}`, async () => {
    await withSite("unix", olderVersion, { milter_protocol: version });
  });
}
