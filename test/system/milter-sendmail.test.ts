/**
 * The milter with a real sendmail, the other MTA that speaks the protocol, on a UNIX socket and on TCP. Who decides stands in this test;
 * what sendmail makes of accepted mail arrives at a sink. It takes header edits by other rules than Postfix, tells macros at other
 * times and says MAIL for a message before it knows whether there will be content.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { openListeners } from "../../src/platform/listeners.ts";
import { createMilterServer, type MilterServer } from "../../src/protocols/milter/server.ts";
import { type MailSink, openMailSink, type SunkMessage } from "../lib/mail-sink.ts";
import { findPeer } from "../lib/peers.ts";
import { type Sendmail, startSendmail } from "../lib/sendmail-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";
import { ALL_NEEDS, Counted, MemoryDecider } from "../unit/protocols/milter/harness.ts";

/** Where sendmail must sleep for a minute before it starts. */
const START_MS = 120_000;
const WAIT_MS = 60_000;
const HEADER = ["From: sender@a.test", "To: ann@a.test", "Subject:no blank", "X-Folded: one", "\ttwo"].join(
  "\r\n",
);
const BODY = "first line\r\n.dot\r\n\xe9\r\n";
const MESSAGE = `${HEADER}\r\n\r\n${BODY}`;

const peer = await findPeer("sendmail");
const options = { skip: peer === undefined ? "sendmail is not unpacked: test/setup-host peers" : false };
const scratch = await makeScratch();
after(() => scratch.remove());

interface Site {
  readonly sendmail: Sendmail;
  readonly sink: MailSink;
  readonly server: MilterServer;
  readonly decider: MemoryDecider;
  readonly counted: Counted;
}

async function withSite(
  kind: "unix" | "tcp",
  work: (site: Site) => Promise<void>,
  timing: { readonly readSeconds?: number; readonly progressMs?: number } = {},
): Promise<void> {
  assert.ok(peer);
  const dir = await mkdtemp(join(scratch.dir, "s"));
  await chmod(dir, 0o755);
  await mkdir(join(dir, "m"));
  await mkdir(join(dir, "s"));
  const socket = join(dir, "s", "milter.sock");
  const port = await freePort();
  const decider = new MemoryDecider();
  const counted = new Counted();
  const { readSeconds = 10, progressMs = 5_000 } = timing;
  const server = createMilterServer({
    config: {
      connections: 20,
      packetBytes: 1_048_576,
      chainTimeoutMs: 20_000,
      outboundDaemons: ["ORIGINATING"],
      outboundNetworks: [],
      limits: { progressMs },
    },
    decider,
    log: counted.log,
    metrics: counted.metrics,
  });
  const listeners = await openListeners({
    name: "milter.listen",
    specs: [kind === "unix" ? `unix:${socket}` : `inet:127.0.0.1:${port}`],
    createServer: () => server.createListener(),
    access: { mode: "0660", group: "" },
    maxConnections: 40,
  });
  const sink = await openMailSink({ protocol: "smtp" });
  const deadline = deadlineAfter(START_MS);
  const sendmail = await startSendmail(
    {
      peer,
      dir: join(dir, "m"),
      milter: kind === "unix" ? `unix:${socket}` : `inet:${port}@127.0.0.1`,
      sinkPort: sink.port,
      readSeconds,
    },
    deadline,
  );
  deadline.dispose();
  try {
    await work({ sendmail, sink, server, decider, counted });
    assert.deepEqual([counted.faults, counted.errors], [[], []]);
  } finally {
    await sendmail.stop();
    await server.close();
    await listeners.close();
    await sink.close();
  }
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isTrue())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
  deadline.dispose();
}

/** What arrived under the queue id of a 250 reply: header lines below sendmail's Received field, and the body. */
async function arrived({ sink }: Site, reply: string) {
  const id = /^250 2\.0\.0 (\w+) Message accepted/u.exec(reply)?.[1];
  assert.ok(id !== undefined, reply);
  const has = ({ content }: SunkMessage) =>
    content.startsWith("Received: ") && content.includes(` id ${id};`);
  await until(`${id} arrives`, () => sink.messages.some(has));
  const message = sink.messages.find(has);
  assert.ok(message);
  const [head = "", body = ""] = message.content.split(/\r\n\r\n(.*)/su);
  return { id, to: [...message.to].sort(), fields: head.split(/\r\n(?![ \t])/u).slice(1), body };
}

const send = (client: SmtpTestClient, to: string, message = MESSAGE) =>
  client.send("sender@a.test", [`${to}@a.test`, "bob@a.test"], message);

async function envelopeAndContent(site: Site, client: SmtpTestClient): Promise<void> {
  const { decider } = site;
  const { id, fields, body } = await arrived(site, await send(client, "ann"));
  assert.deepEqual(fields, HEADER.split(/\r\n(?!\t)/u));
  assert.equal(body, BODY);
  const [message] = decider.decided;
  assert.equal(message?.content, MESSAGE);
  const envelope = message?.envelope;
  assert.equal(envelope?.queueId, id);
  assert.equal(envelope?.mta, "mx.a.test");
  assert.equal(envelope?.daemonName, "inbound");
  assert.equal(envelope?.direction, "inbound");
  assert.deepEqual(envelope?.client, {
    name: "localhost",
    address: "127.0.0.1",
    port: envelope?.client.port,
    helo: "client.test",
    ident: id,
  });
  assert.ok((envelope?.client.port ?? 0) > 0);
  assert.equal(envelope?.mailFrom.raw, "sender@a.test");
  assert.deepEqual(
    envelope?.recipients.map(({ address }) => address.raw),
    ["ann@a.test", "bob@a.test"],
  );
}

/** Every decision, all in one connection. */
async function decisions(site: Site): Promise<void> {
  const { decider, counted, sink, sendmail } = site;
  const client = await SmtpTestClient.open(sendmail.smtpPort);
  await envelopeAndContent(site, client);
  const trace = (await sendmail.trace()).join("\n");
  // It offers all there is, and takes our lists of macros.
  assert.match(trace, /milter_negotiate\(mairust\): send: version 6, fflags 0x1ff, pflags 0x1fffff/u);
  assert.match(trace, /milter_getsymlist\(mairust, macros\.envrcpt, "i \{rcpt_addr\}"\)=2/u);
  decider.id = "0190a000";
  assert.equal(await send(client, "refuse"), "550 5.7.1 not 100% wanted id=0190a000");
  assert.equal(await send(client, "defer"), "451-4.7.1 later\r\n451 4.7.1 please id=0190a000");
  const discarded = await send(client, "discard");
  assert.match(discarded, /^250 2\.0\.0 \w+ Message accepted/u);
  await edits(site, client);

  decider.edits = [{ kind: "quarantine", reason: "look at it" }];
  assert.match(await send(client, "edit"), /^250 /u);
  const [held, ...more] = await sendmail.queued("hf");
  assert.match(held ?? "", /^qlook at it$/mu);
  assert.deepEqual([more, await sendmail.queued("qf")], [[], []]);

  assert.deepEqual(counted.results, [
    ...["accepted", "refused", "deferred", "discarded", "accepted", "accepted", "accepted"],
  ]);
  await givenUp(site, client);
  assert.equal(counted.open, 1);
  client.close();
  await until("the connection is closed", () => counted.open === 0);
  // Nothing else reached the sink: neither what was refused nor what was dropped or held.
  const ids = new Set(decider.decided.map(({ envelope }) => envelope.queueId));
  assert.equal(ids.size, decider.decided.length, "each message has its own id");
  assert.equal(sink.messages.length, counted.results.filter(result => result === "accepted").length - 1);
}

async function edits(site: Site, client: SmtpTestClient): Promise<void> {
  const { decider } = site;
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
  const edited = await arrived(site, await send(client, "edit", `${forged}${MESSAGE}`));
  assert.deepEqual(edited.to, ["cid@a.test", "edit@a.test"]);
  // One blank behind a colon of ours, and none where the sender wrote none.
  assert.deepEqual(edited.fields, [
    ...["X-MaiRust-Trace: v1", "X-Kept: yes", "From: sender@a.test", "To: ann@a.test"],
    ...["Subject: changed", "X-Folded: one\r\n\ttwo", "X-Added: one\r\n\ttwo"],
  ]);
  assert.equal(edited.body, `new body\r\n${"x".repeat(70_000)}\r\n`);
  assert.equal(decider.decided.at(-1)?.reserved.length, 4);

  // Fields of one name: the numbers are those of the message as received, whichever go.
  decider.edits = [
    { kind: "change_header", index: 1, name: "X-Many", value: "" },
    { kind: "change_header", index: 3, name: "X-Many", value: "third" },
    { kind: "change_header", index: 2, name: "X-Many", value: "" },
  ];
  const many = "X-Many: 1\r\nX-Many: 2\r\nX-Many: 3\r\nX-Many: 4\r\n";
  const thinned = await arrived(site, await send(client, "edit", `${many}${MESSAGE}`));
  assert.deepEqual(
    thinned.fields.filter(field => field.startsWith("X-Many")),
    ["X-Many: third", "X-Many: 4"],
  );
  assert.equal(thinned.body, BODY);
}

/** RSET before and after recipients, a second EHLO, a client that goes away in DATA; none of it is a message. */
async function givenUp({ sendmail, counted, decider }: Site, client: SmtpTestClient): Promise<void> {
  const { length } = counted.results;
  await client.command("MAIL FROM:<sender@a.test>");
  assert.match(await client.command("RSET"), /^250/u);
  await client.command("MAIL FROM:<sender@a.test>");
  await client.command("RCPT TO:<ann@a.test>");
  assert.match(await client.command("RSET"), /^250/u);
  await client.command("MAIL FROM:<sender@a.test>");
  assert.match(await client.command("EHLO again.test"), /^250/u);
  const other = await SmtpTestClient.open(sendmail.smtpPort);
  await other.command("MAIL FROM:<sender@a.test>");
  await other.command("RCPT TO:<bob@a.test>");
  assert.match(await other.command("DATA"), /^354/u);
  other.cut();
  await until("its connection is closed", () => counted.open === 1);
  assert.equal(counted.results.slice(length).filter(result => result !== "aborted").length, 0);
  assert.match(await send(client, "ann"), /^250 /u);
  assert.deepEqual(
    decider.decided.at(-1)?.envelope.recipients.map(({ address }) => address.raw),
    ["ann@a.test", "bob@a.test"],
  );
  assert.equal(decider.decided.at(-1)?.envelope.client.helo, "again.test");
}

async function withoutBody(site: Site): Promise<void> {
  const { decider, sendmail } = site;
  decider.wanted = { ...ALL_NEEDS, body: false };
  const client = await SmtpTestClient.open(sendmail.smtpPort);
  const large = `${MESSAGE}${`${"x".repeat(70)}\r\n`.repeat(3_000)}`;
  const { body } = await arrived(site, await send(client, "ann", large));
  assert.equal(decider.decided.at(-1)?.content, `${HEADER}\r\n\r\n`);
  assert.equal(`${HEADER}\r\n\r\n${body}`, large);
  decider.wanted = ALL_NEEDS;
  client.close();
}

/** Enough is known after the first piece: SKIP on TCP, the rest is dropped on a UNIX socket. */
async function enough(site: Site): Promise<void> {
  const client = await SmtpTestClient.open(site.sendmail.smtpPort);
  const large = `${MESSAGE}${`${"y".repeat(70)}\r\n`.repeat(3_000)}`;
  const { body } = await arrived(site, await send(client, "enough", large));
  assert.equal(`${HEADER}\r\n\r\n${body}`, large);
  client.close();
}

for (const kind of ["unix", "tcp"] as const) {
  test(`the milter behind sendmail, socket: ${kind}`, options, async () => {
    await withSite(kind, async site => {
      await decisions(site);
      await withoutBody(site);
      await enough(site);
    });
  });
}

test("sendmail waits for a decision as long as there are signs of life", options, async () => {
  const timing = { readSeconds: 5, progressMs: 500 };
  const work = async (site: Site) => {
    site.decider.gate = sleep(7_000);
    const client = await SmtpTestClient.open(site.sendmail.smtpPort);
    assert.equal(await send(client, "refuse"), "550 5.7.1 not 100% wanted");
    client.close();
  };
  await withSite("unix", work, timing);
});

test(
  "sendmail defers mail whose milter dies at its end, and all mail while it is away",
  options,
  async () => {
    await withSite("tcp", async ({ sendmail, server, decider, sink }) => {
      const client = await SmtpTestClient.open(sendmail.smtpPort);
      let decide = () => {};
      decider.gate = new Promise<void>(resolve => {
        decide = resolve;
      });
      const reply = send(client, "ann");
      await until("the message has ended", () => decider.deadlines.length === 1);
      await server.close();
      decide();
      assert.match(await reply, /^451 4\.\d\.\d /u);
      client.close();
      const next = await SmtpTestClient.open(sendmail.smtpPort);
      assert.match(await send(next, "ann"), /^451 4\.\d\.\d /u);
      next.close();
      assert.deepEqual([sink.messages, await sendmail.queued("qf")], [[], []]);
    });
  },
);
