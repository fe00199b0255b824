import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type EnvelopeRecipient, parseMailAddress } from "../../../../src/core/envelope.ts";
import type { MairustError } from "../../../../src/core/errors.ts";
import type { RelayMessage } from "../../../../src/core/ports/relay.ts";
import { createNextHops, type HopLimits } from "../../../../src/delivery/relay/next-hops.ts";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";
import { LmtpHop, PIPELINED } from "../../../lib/lmtp-hop.ts";

const BODY = "Subject: x\r\n\r\n.dot\r\nbare\nlf\n.\nand\rcr\x00\xff\r\n.\r\nend without a line end";
const LIMITS: HopLimits = { connections: 2, idleMs: 60_000, waiting: 4 };

const to = (...raws: readonly string[]): readonly EnvelopeRecipient[] =>
  raws.map(raw => ({ address: parseMailAddress(raw) }));

function message(change: Partial<RelayMessage> = {}, body = BODY): RelayMessage {
  const bytes = Buffer.from(body, "latin1");
  return {
    mailFrom: parseMailAddress("s@example.org"),
    recipients: to("a@example.test"),
    dsn: {},
    client: {},
    body8bit: true,
    smtpUtf8: false,
    top: Buffer.from("X-Top: 1\r\n"),
    sizeBytes: bytes.length,
    async *content() {
      for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
    },
    ...change,
  };
}

async function rig(t: TestContext, limits: HopLimits = LIMITS) {
  const hop = await LmtpHop.start();
  const hops = createNextHops({ hostname: "mail.example.test", limits });
  t.after(async () => {
    hops.close();
    await hop.stop();
  });
  const deliver = async (one: RelayMessage = message(), ms = 20_000, server = hop.server) => {
    const deadline = deadlineAfter(ms);
    // Deadlines do not keep the process alive.
    const alive = setInterval(() => undefined, 1_000);
    try {
      return await hops.deliver(server, one, deadline);
    } finally {
      clearInterval(alive);
      deadline.dispose();
    }
  };
  return { hop, hops, deliver };
}

const codes = (replies: readonly ({ readonly code: number } | undefined)[]) =>
  replies.map(reply => reply?.code);
const bodyOf = ({ bytes }: { readonly bytes: Buffer }) => bytes.toString("latin1");

test("by BDAT each octet reaches the next hop as it was received, with the fields on top", async t => {
  const { hop, deliver } = await rig(t);
  const replies = await deliver();
  assert.deepEqual(replies, [{ code: 250, enhanced: "2.0.0", text: "saved" }]);
  assert.equal(hop.messages.map(bodyOf)[0], `X-Top: 1\r\n${BODY}`);
  assert.deepEqual(hop.messages[0]?.commands, [
    "MAIL FROM:<s@example.org> BODY=8BITMIME",
    "RCPT TO:<a@example.test>",
  ]);
});

test("without CHUNKING dots at line starts are doubled, after a bare LF too, and the dot ends the message", async t => {
  const { hop, deliver } = await rig(t);
  hop.behaviour.extensions = [];
  await deliver(message({}, "a: b\r\n\r\n.one\r\n.\r\nx\n.\nRCPT TO:<evil@x>\r\n"));
  // This server reads strictly: the dot that protects the bare LF stays.
  assert.equal(
    hop.messages.map(bodyOf)[0],
    "X-Top: 1\r\na: b\r\n\r\n.one\r\n.\r\nx\n..\nRCPT TO:<evil@x>\r\n",
  );
  assert.deepEqual(hop.lines, [
    "LHLO mail.example.test",
    "MAIL FROM:<s@example.org>",
    "RCPT TO:<a@example.test>",
    "DATA",
  ]);
});

test("each RCPT has its reply, in order: those refused at RCPT, doubles, and those refused after the content", async t => {
  const { hop, deliver } = await rig(t);
  hop.behaviour.onCommand = line =>
    line.includes("no@") ? "550 5.1.1 <no@example.test> unknown" : undefined;
  hop.behaviour.onMessage = () => [
    "250 2.0.0 one",
    "452-4.2.2 mailbox\r\n452 4.2.2 is full",
    "250 2.0.0 three",
  ];
  const recipients = to("a@example.test", "no@example.test", "b@example.test", "a@example.test");
  assert.deepEqual(await deliver(message({ recipients })), [
    { code: 250, enhanced: "2.0.0", text: "one" },
    { code: 550, enhanced: "5.1.1", text: "<no@example.test> unknown" },
    { code: 452, enhanced: "4.2.2", text: "mailbox is full" },
    { code: 250, enhanced: "2.0.0", text: "three" },
  ]);
});

test("a sender that the server refuses is refused for everybody, and the connection serves the next message", async t => {
  const { hop, deliver } = await rig(t);
  hop.behaviour.onCommand = line => (line.startsWith("MAIL") ? "452 4.3.1 no space" : undefined);
  assert.deepEqual(codes(await deliver(message({ recipients: to("a@x", "b@x") }))), [452, 452]);
  hop.behaviour.onCommand = () => undefined;
  assert.deepEqual(codes(await deliver()), [250]);
  assert.equal(hop.connections, 1);
});

test("a kept connection serves many messages, and never more connections are open than allowed", async t => {
  const { hop, deliver } = await rig(t);
  for (let i = 0; i < 3; i++) await deliver();
  assert.equal(hop.connections, 1);
  await Promise.all([deliver(), deliver(), deliver(), deliver()]);
  assert.equal(hop.connections, 2);
  assert.equal(hop.messages.length, 7);
});

test("who finds too many waiting is told so", async t => {
  const { hop, deliver } = await rig(t, { connections: 1, idleMs: 60_000, waiting: 1 });
  hop.behaviour.onMessage = () => ["silent"];
  const first = deliver();
  const second = deliver();
  await assert.rejects(deliver(), { code: "too_many" });
  while (hop.messages.length === 0) await sleep(5);
  hop.behaviour.onMessage = () => undefined;
  hop.hangUp();
  assert.deepEqual(codes(await first), [undefined]);
  assert.deepEqual(codes(await second), [250]);
});

test("a kept connection that the server closed is replaced, and the message is sent once", async t => {
  const { hop, deliver } = await rig(t);
  await deliver();
  hop.hangUp();
  assert.deepEqual(codes(await deliver()), [250]);
  assert.equal(hop.messages.length, 2);
  assert.equal(hop.connections, 2);
});

test("a kept connection that says 421, or closes at a command, is replaced; a new one that does so is a failure", async t => {
  const { hop, deliver } = await rig(t);
  for (const said of ["421 4.3.2 shutting down", "close", "reset"]) {
    await deliver();
    const before = hop.connections;
    hop.behaviour.onCommand = (line, n) => (line.startsWith("MAIL") && n <= before ? said : undefined);
    assert.deepEqual(codes(await deliver()), [250], said);
    hop.behaviour.onCommand = line => (line.startsWith("MAIL") ? said : undefined);
    hop.hangUp();
    await assert.rejects(deliver(), { code: "store_unavailable" }, said);
    hop.behaviour.onCommand = () => undefined;
  }
});

test("after the end was sent nothing is tried again: those without a reply are unknown", async t => {
  const { hop, deliver } = await rig(t);
  await deliver();
  // 421 is what Dovecot says of a message that it has saved, when it is reloaded meanwhile.
  for (const end of ["close", "reset", "421 4.3.2 mail.example.test Shutting down"]) {
    const before = hop.messages.length;
    hop.behaviour.onMessage = () => ["250 2.0.0 one", end];
    const steps: string[] = [];
    const recipients = to("a@x", "b@x", "c@x");
    const one = message({ recipients, onEnd: () => steps.push("end"), onSent: () => steps.push("sent") });
    const replies = await deliver(one);
    // A connection that is reset may lose the reply that was on its way.
    assert.deepEqual(codes(replies).slice(1), [undefined, undefined], end);
    assert.equal(hop.messages.length, before + 1, end);
    assert.deepEqual(steps, ["end", "sent"]);
    hop.behaviour.onMessage = () => undefined;
  }
});

test("a reply that is none, a reply without end, a greeting that refuses, LHLO refused: nobody has it", async t => {
  const { hop, deliver } = await rig(t);
  const refused = async (what: string) => {
    await assert.rejects(deliver(), (error: MairustError) => error.code === "store_unavailable", what);
    hop.behaviour.onCommand = () => undefined;
  };
  hop.behaviour.greeting = "554 no";
  await refused("greeting");
  hop.behaviour.greeting = "220 hop";
  hop.behaviour.onCommand = line => (line.startsWith("LHLO") ? "500 what" : undefined);
  await refused("LHLO");
  hop.behaviour.onCommand = line => (line.startsWith("RCPT") ? "354 what" : undefined);
  await refused("RCPT");
  hop.behaviour.onCommand = line => (line.startsWith("RCPT") ? `250-${"x".repeat(70_000)}` : undefined);
  await refused("without end");
  assert.equal(hop.messages.length, 0);
});

test("nobody listens there", async t => {
  const { hop, deliver } = await rig(t);
  const { server } = hop;
  await hop.stop();
  await assert.rejects(deliver(message(), 5_000, server), { code: "store_unavailable" });
  await hop.listen();
});

test("a server that is silent costs the deadline, and then nobody has it", async t => {
  const { hop, deliver } = await rig(t);
  hop.behaviour.onCommand = line => (line.startsWith("RCPT") ? "silent" : undefined);
  let ended = false;
  await assert.rejects(deliver(message({ onEnd: () => (ended = true) }), 200), { code: "deadline" });
  assert.equal(ended, false);
});

test("content that cannot be read, or is shorter than it was said to be, is never ended", async t => {
  const { hop, deliver } = await rig(t);
  let ended = 0;
  const onEnd = () => {
    ended += 1;
  };
  const broken = message({
    onEnd,
    async *content() {
      yield Buffer.from("Subject: x\r\n");
      throw new Error("the disk is gone");
    },
  });
  await assert.rejects(deliver(broken), /the disk is gone/u);
  await assert.rejects(deliver(message({ onEnd, sizeBytes: 10_000 })), /bytes less than announced/u);
  hop.behaviour.extensions = ["PIPELINING"];
  hop.hangUp();
  await assert.rejects(deliver(broken), /the disk is gone/u);
  assert.equal(ended, 0);
  assert.equal(hop.messages.length, 0);
});

test("XFORWARD, DSN, SIZE and SMTPUTF8 go where the server offers them", async t => {
  const { hop, deliver } = await rig(t);
  hop.behaviour.extensions = [...PIPELINED, "XFORWARD NAME ADDR IDENT", "DSN", "SIZE", "SMTPUTF8"];
  const recipients = [
    {
      address: parseMailAddress("a@example.test"),
      orcpt: "rfc822;al+i@example.test",
      notify: ["SUCCESS", "FAILURE"],
    },
  ];
  const client = { name: "mx.example.org", address: "192.0.2.1", ident: "4A B", helo: "not offered" };
  await deliver(message({ recipients, client, smtpUtf8: true, dsn: { ret: "HDRS", envid: "e+1" } }));
  const size = Buffer.byteLength(BODY, "latin1") + 10;
  assert.deepEqual(hop.lines.slice(1), [
    "XFORWARD NAME=mx.example.org ADDR=192.0.2.1 IDENT=4A+20B",
    `MAIL FROM:<s@example.org> SIZE=${size} BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+2B1`,
    "RCPT TO:<a@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;al+2Bi@example.test",
    `BDAT ${size} LAST`,
  ]);
});

test("an address with a line break is never sent", async t => {
  const { hop, deliver } = await rig(t);
  await assert.rejects(deliver(message({ recipients: to("a@x>\r\nRSET") })), { code: "address_syntax" });
  assert.equal(
    hop.lines.some(line => line.startsWith("RCPT")),
    false,
  );
});

test("a probe says what the server greets with", async t => {
  const { hop, hops } = await rig(t);
  const deadline = deadlineAfter(10_000);
  assert.equal(await hops.probe(hop.server, deadline), "220 hop ready");
  deadline.dispose();
});

test("a pause waits for what is under way, ends kept connections, and holds the rest until it is over", async t => {
  const { hop, hops, deliver } = await rig(t);
  const limit = deadlineAfter(20_000);
  t.after(() => limit.dispose());
  await deliver();
  hop.behaviour.onMessage = () => ["silent"];
  const running = deliver();
  while (hop.messages.length < 2) await sleep(5);
  const soon = deadlineAfter(20);
  assert.equal(await hops.pause(20_000, soon), false, "it is under way still");
  const quiet = hops.pause(20_000, limit);
  const held = deliver();
  hop.hangUp();
  assert.deepEqual(codes(await running), [undefined]);
  assert.equal(await quiet, true);
  hop.behaviour.onMessage = () => undefined;
  assert.equal(hop.messages.length, 2, "the other one is held");
  hops.resume();
  assert.deepEqual(codes(await held), [250]);
  const before = hop.connections;
  assert.equal(await hops.pause(1, limit), true);
  assert.deepEqual(codes(await deliver()), [250], "a pause that nobody ends");
  assert.equal(hop.connections, before + 1, "by a new connection");
});
