import assert from "node:assert/strict";
import { test } from "node:test";
import * as p from "../../../lib/milter-packets.ts";
import { ALL_NEEDS, connected, START, Talk } from "./harness.ts";

const CONTENT = [p.header("Subject", " x"), p.eoh(), p.body("body\r\n")];

test("a message on TCP: each step is answered, the content arrives as it is, the connection stays", async () => {
  const talk = await connected();
  const answers = await talk.send(...START("ann"), ...CONTENT, p.eom());
  assert.deepEqual(answers, ["c", "c", "c", "c", "c", "c", "c"]);
  assert.deepEqual(
    talk.decider.decided.map(({ content }) => content),
    ["Subject: x\r\n\r\nbody\r\n"],
  );
  assert.equal(talk.decider.decided[0]?.envelope.queueId, "Q1");
  await talk.send(...START("bob", "Q2"), ...CONTENT, p.eom());
  assert.deepEqual(
    talk.decider.decided.map(({ envelope }) => [
      envelope.queueId,
      envelope.recipients.map(r => r.address.raw),
    ]),
    [
      ["Q1", ["ann@example.com"]],
      ["Q2", ["bob@example.com"]],
    ],
  );
  assert.deepEqual(talk.counted.results, ["accepted", "accepted"]);
  assert.equal(talk.closed, false);
});

test("a message on a UNIX socket: nothing is answered but negotiation and end of message", async () => {
  const talk = new Talk({ socket: "unix" });
  const [negotiated, ...more] = await talk.send(
    p.optneg(),
    p.connect(),
    p.helo(),
    ...START("ann"),
    ...CONTENT,
  );
  assert.equal(negotiated?.slice(0, 1), "O");
  assert.deepEqual(more, []);
  assert.deepEqual(await talk.send(p.eom()), ["c"]);
});

test("the answer to OPTNEG names the macros, byte for byte", async () => {
  const talk = new Talk({ socket: "tcp" });
  talk.decider.wanted = { ...ALL_NEEDS, recipients: false, replaceBody: false, quarantine: false };
  await talk.send(p.optneg());
  const expected = p.packet(
    "O",
    { u32: 6 },
    { u32: 0x111 },
    { u32: 0x100500 },
    { u32: 0 },
    "j {daemon_name} {client_addr} {client_name}",
    { u32: 1 },
    "{tls_version} {cert_subject}",
    { u32: 2 },
    "i {auth_type} {auth_authen} {mail_addr} {tls_version} {cert_subject}",
    { u32: 3 },
    "i {rcpt_addr}",
    { u32: 4 },
    "i",
    { u32: 6 },
    "i",
    { u32: 5 },
    "i",
  );
  assert.equal(talk.writes[0]?.toString("latin1"), expected.toString("latin1"));
});

const DECISIONS: ReadonlyArray<readonly [to: string, answer: string, result: string]> = [
  ["ann", "c", "accepted"],
  ["refuse", "y 550 5.7.1 not 100%% wanted|", "refused"],
  ["defer", "y 451-4.7.1 later\r\n451 4.7.1 please|", "deferred"],
  ["discard", "d", "discarded"],
  ["openfail", "y 451 4.3.0 storage is not available|", "failed"],
  ["writefail", "y 552 5.3.4 message too large|", "failed"],
  ["writethrow", "y 452 4.3.1 insufficient system storage|", "failed"],
  ["throw", "y 451 4.3.0 local error|", "failed"],
  ["hang", "y 451 4.3.0 not finished in time|", "failed"],
];

/** Short times only for the decision that never comes. */
const timesFor = (to: string) => (to === "hang" ? { chainTimeoutMs: 5, limits: { finishGraceMs: 5 } } : {});

test("each decision and each failure has its one answer, and the next message goes on", async () => {
  for (const [to, answer, result] of DECISIONS) {
    const talk = await connected({ socket: "tcp", ...timesFor(to) });
    const answers = await talk.send(...START(to), ...CONTENT, p.eom());
    assert.equal(answers.at(-1), answer);
    assert.deepEqual(talk.counted.results, [result], to);
    assert.equal((await talk.send(p.abort(), ...START("ann"), p.eoh(), p.eom())).at(-1), "c", to);
    assert.equal(talk.decider.decided.at(-1)?.content, "\r\n");
    assert.deepEqual(talk.counted.errors, []);
  }
});

test("a message that was not taken is given up exactly once", async () => {
  for (const to of ["writefail", "writethrow", "throw", "hang"]) {
    const talk = await connected(timesFor(to));
    await talk.send(...START(to), ...CONTENT, p.eom(), p.abort());
    assert.equal(talk.decider.aborted.length, 1, to);
  }
});

test("edits and the removal of X-MaiRust fields go out in one write, removals first and from the last", async () => {
  const talk = await connected();
  talk.decider.edits = [
    { kind: "add_header", name: "X-Tag", value: "a\r\n\tb" },
    { kind: "insert_header", index: 0, name: "X-MaiRust-Trace", value: "v1" },
    { kind: "add_recipient", address: "c@example.com" },
    { kind: "remove_recipient", address: "edit@example.com" },
    { kind: "quarantine", reason: "why" },
    { kind: "replace_body", body: [Buffer.from("one\r\n"), Buffer.from("two\r\n")] },
  ];
  const fields = [
    p.header("X-MaiRust-Trace", " forged"),
    p.header("Subject", " x"),
    p.header("x-mairust-TRACE", " again"),
    p.header("X-MaiRust-Other", " 1"),
  ];
  await talk.send(...START("edit"), ...fields, p.eoh(), p.body("b"));
  const before = talk.writes.length;
  assert.deepEqual(await talk.send(p.eom()), [
    "m \0\0\0\x02x-mairust-TRACE||".replaceAll("\0", "|"),
    "m \0\0\0\x01X-MaiRust-Trace||".replaceAll("\0", "|"),
    "m \0\0\0\x01X-MaiRust-Other||".replaceAll("\0", "|"),
    "h X-Tag| a\n\tb|",
    "i ||||X-MaiRust-Trace| v1|",
    "+ <c@example.com>|",
    "- <edit@example.com>|",
    "q why|",
    "b one\r\n",
    "b two\r\n",
    "c",
  ]);
  assert.equal(talk.writes.length, before + 1);
  const [message] = talk.decider.decided;
  assert.equal(message?.content, "Subject: x\r\n\r\nb");
  assert.deepEqual(message?.reserved, [
    ["X-MaiRust-Trace", " forged"],
    ["x-mairust-TRACE", " again"],
    ["X-MaiRust-Other", " 1"],
  ]);
});

test("an edit that was not negotiated voids all of them", async () => {
  const talk = new Talk();
  talk.decider.wanted = { ...ALL_NEEDS, replaceBody: false };
  talk.decider.edits = [
    { kind: "add_header", name: "X", value: "y" },
    { kind: "replace_body", body: [] },
  ];
  const answers = await talk.send(p.optneg(), p.connect(), ...START("edit"), ...CONTENT, p.eom());
  assert.equal(answers.at(-1), "y 451 4.3.0 local error|");
  assert.ok(!answers.some(answer => answer.startsWith("h")));
  assert.equal(talk.decider.aborted.length, 1);
});

test("without SMFIP_HDR_LEADSPC the blank behind the colon is put back, and left to the MTA in edits", async () => {
  const talk = new Talk();
  talk.decider.edits = [{ kind: "add_header", name: "X", value: "y" }];
  await talk.send(p.optneg(6, 0x1ff, 0xf_ffff), p.connect(), ...START("edit"));
  const answers = await talk.send(p.header("Subject", "a\n\tb"), p.eoh(), p.eom());
  assert.deepEqual(answers.slice(-2), ["h X|y|", "c"]);
  assert.equal(talk.decider.decided[0]?.content, "Subject: a\r\n\tb\r\n\r\n");
});

test("a body in the end of message (sendmail) is part of the message", async () => {
  const talk = await connected();
  await talk.send(...START("ann"), p.eoh(), p.body("one "), p.eom("two"));
  assert.equal(talk.decider.decided[0]?.content, "\r\none two");
});

test("nothing is transferred that was not asked for: no body, or no content at all", async () => {
  const talk = new Talk({ socket: "unix" });
  talk.decider.wanted = {
    ...ALL_NEEDS,
    body: false,
    recipients: false,
    replaceBody: false,
    quarantine: false,
  };
  await talk.send(p.optneg(), p.connect(), ...START("ann"), p.header("Subject", " x"), p.eoh(), p.eom());
  assert.equal(talk.decider.decided[0]?.content, "Subject: x\r\n\r\n");
  assert.equal(talk.decider.decided[0]?.envelope.content, "headers");
  const none = new Talk({ socket: "unix" });
  none.decider.wanted = { ...talk.decider.wanted, headers: false };
  assert.deepEqual((await none.send(p.optneg(), p.connect(), ...START("ann"), p.eom())).slice(1), ["c"]);
  assert.equal(none.decider.decided[0]?.content, "");
  assert.equal(none.decider.decided[0]?.envelope.content, "nothing");
});

test("a message that needs no more body is answered with SKIP on TCP", async () => {
  const talk = await connected();
  const answers = await talk.send(...START("enough"), ...CONTENT, p.body("more"), p.eom());
  assert.deepEqual(answers.slice(-5), ["c", "c", "s", "s", "c"]);
  assert.equal(talk.decider.decided[0]?.content, "Subject: x\r\n\r\n");
});

test("ABORT, MAIL, HELO and CONNECT give an open message up; nothing of it reaches the next", async () => {
  for (const between of [[p.abort()], [], [p.helo("other")], [p.connect("other.example", "192.0.2.9")]]) {
    const talk = await connected();
    await talk.send(p.macros("M", { i: "OLD", "{auth_authen}": "user" }), p.mail("<old@example.com>"));
    await talk.send(
      p.rcpt("<old@example.com>"),
      p.macros("T", { i: "OLD" }),
      p.data(),
      ...CONTENT,
      ...between,
    );
    assert.deepEqual(talk.counted.results, between.length === 0 ? [] : ["aborted"]);
    await talk.send(p.mail("<new@example.com>"), p.rcpt("<new@example.com>"), p.eoh(), p.eom());
    const [message] = talk.decider.decided;
    assert.equal(message?.envelope.queueId, "");
    assert.equal(message?.envelope.auth, undefined);
    assert.equal(message?.envelope.direction, "inbound");
    assert.deepEqual(
      message?.envelope.recipients.map(({ address }) => address.raw),
      ["new@example.com"],
    );
    assert.equal(talk.decider.aborted.length, 1);
    assert.deepEqual(talk.counted.results, ["aborted", "accepted"]);
  }
});

test("QUIT_NC forgets the client; the next one may begin with CONNECT or OPTNEG", async () => {
  for (const next of [
    [p.connect("b.example", "192.0.2.2")],
    [p.optneg(), p.connect("b.example", "192.0.2.2")],
  ]) {
    const talk = new Talk();
    const j = p.macros("C", { j: "mx.example", "{daemon_name}": "ORIGINATING" });
    await talk.send(
      p.optneg(),
      j,
      p.connect(),
      p.helo("a"),
      p.quitNc(),
      ...next,
      ...START("ann"),
      p.eoh(),
      p.eom(),
    );
    const envelope = talk.decider.decided[0]?.envelope;
    assert.deepEqual(envelope?.client, { name: "b.example", address: "192.0.2.2", port: 4321, ident: "Q1" });
    assert.equal(envelope?.daemonName, "");
    assert.equal(envelope?.direction, "inbound");
  }
});

test("QUIT closes; an open message is given up", async () => {
  const talk = await connected();
  await talk.send(...START("ann"), ...CONTENT, p.quit());
  assert.equal(talk.closed, true);
  assert.deepEqual(talk.counted.results, ["aborted"]);
  assert.deepEqual(talk.counted.faults, []);
});

test("signs of life are sent while a decision is awaited", async () => {
  const talk = await connected({ limits: { progressMs: 5 } });
  let open = (): void => {};
  talk.decider.gate = new Promise(resolve => {
    open = resolve;
  });
  const startedAt = performance.now();
  const sent = talk.send(...START("ann"), p.eoh(), p.eom());
  const signsOf = (answers: readonly string[]) => answers.filter(answer => answer === "p").length;
  const before: string[] = [];
  for (const end = startedAt + 20_000; signsOf(before) < 3 && performance.now() < end; ) {
    await new Promise(resolve => setTimeout(resolve, 5));
    before.push(...talk.answers());
  }
  assert.ok(signsOf(before) >= 3, before.join(" "));
  open();
  const answers = [...before, ...(await sent)];
  const most = (performance.now() - startedAt) / 5 + 2;
  assert.ok(signsOf(answers) <= most, `${signsOf(answers)} signs of life, at most ${most} are due`);
  assert.equal(answers.at(-1), "c");
  await new Promise(resolve => setTimeout(resolve, 15));
  assert.deepEqual(talk.answers(), []);
});

test("an MTA that goes away while a decision is awaited ends the wait", async () => {
  const talk = await connected();
  const waiting = talk.send(...START("hang"), p.eoh(), p.eom());
  while (talk.decider.deadlines.length === 0) await new Promise(resolve => setImmediate(resolve));
  assert.equal(talk.session.busy, true);
  talk.session.gone();
  await waiting;
  assert.equal(talk.decider.deadlines[0]?.signal.aborted, true);
  assert.equal(talk.decider.aborted.length, 1);
  assert.deepEqual(talk.counted.results, ["aborted"]);
});

test("draining ends a connection without a message at once, one with a message after its answer", async () => {
  const idle = await connected();
  idle.session.drain();
  assert.equal(idle.closed, true);
  const given = await connected();
  await given.send(...START("ann"));
  given.session.drain();
  assert.equal(given.closed, false);
  assert.deepEqual(await given.send(p.eoh(), p.eom()), ["c", "c"]);
  assert.equal(given.closed, true);
  const aborted = await connected();
  await aborted.send(...START("ann"));
  aborted.session.drain();
  await aborted.send(p.abort());
  assert.equal(aborted.closed, true);
});

test("a write that is not done holds the next packet back", async () => {
  const talk = await connected();
  let open = (): void => {};
  talk.decider.writeGate = new Promise(resolve => {
    open = resolve;
  });
  const done = talk.send(...START("ann"), p.eoh(), p.body("x"), p.eom());
  for (let turn = 0; turn < 5; turn += 1) await new Promise(resolve => setImmediate(resolve));
  assert.equal(talk.answers().length, 3);
  open();
  assert.equal((await done).at(-1), "c");
});

test("many header fields are handed on in few writes", async () => {
  const talk = await connected({ socket: "unix" });
  const fields = Array.from({ length: 2000 }, (_, i) => p.header(`X-Field-${i}`, ` ${"v".repeat(20)}`));
  await talk.send(...START("ann"), ...fields, p.eoh(), p.eom());
  const content = talk.decider.decided[0]?.content ?? "";
  assert.equal(content.split("\r\n").length, 2002);
  assert.ok(content.endsWith(`X-Field-1999: ${"v".repeat(20)}\r\n\r\n`));
});
