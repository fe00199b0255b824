/** What a session refuses: wrong order, malformed packets, more than the limits allow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as p from "../../../lib/milter-packets.ts";
import { connected, START, Talk } from "./harness.ts";

const DISORDER: ReadonlyArray<readonly [name: string, packets: readonly Buffer[]]> = [
  ["CONNECT first", [p.connect()]],
  ["macros first", [p.macros("C", {})]],
  ["OPTNEG twice", [p.optneg(), p.optneg()]],
  ["MAIL without CONNECT", [p.optneg(), p.mail("<>")]],
  ["HELO without CONNECT", [p.optneg(), p.helo()]],
  ["RCPT without MAIL", [p.optneg(), p.connect(), p.rcpt("<a>")]],
  ["DATA without RCPT", [p.optneg(), p.connect(), p.mail("<>"), p.data()]],
  ["content without RCPT", [p.optneg(), p.connect(), p.mail("<>"), p.header("a", "b")]],
  ["end without MAIL", [p.optneg(), p.connect(), p.eom()]],
  ["end without RCPT", [p.optneg(), p.connect(), p.mail("<>"), p.eom()]],
  ["RCPT after DATA", [p.optneg(), p.connect(), p.mail("<>"), p.rcpt("<a>"), p.data(), p.rcpt("<b>")]],
  [
    "header after the header",
    [p.optneg(), p.connect(), p.mail("<>"), p.rcpt("<a>"), p.eoh(), p.header("a", "b")],
  ],
  ["body after the end", [p.optneg(), p.connect(), p.mail("<>"), p.rcpt("<a>"), p.eom(), p.body("x")]],
  ["MAIL after QUIT_NC", [p.optneg(), p.connect(), p.quitNc(), p.mail("<>")]],
];

test("what comes in the wrong order closes the connection and is counted", async () => {
  for (const [name, packets] of DISORDER) {
    const talk = new Talk();
    await talk.send(...packets.slice(0, -1));
    assert.deepEqual([talk.closed, talk.counted.faults], [false, []], name);
    await talk.send(packets.at(-1) ?? Buffer.alloc(0), p.unknown("x"));
    assert.deepEqual([talk.closed, talk.counted.faults], [true, ["order"]], name);
    assert.deepEqual(talk.counted.logged, ["milter.protocol"]);
  }
});

test("a malformed packet and an MTA that cannot do what is needed close the connection", async () => {
  const malformed = await connected();
  await malformed.send(p.packet("M"));
  assert.deepEqual([malformed.closed, malformed.counted.faults], [true, ["syntax"]]);
  const old = new Talk();
  await old.send(p.optneg(1));
  assert.deepEqual([old.closed, old.counted.faults], [true, ["negotiation"]]);
});

test("too many recipients, or arguments too long, are answered at the end and not kept", async () => {
  const recipients = await connected({ limits: { recipients: 2 } });
  const three = ["a", "b", "c"].map(name => p.rcpt(`<${name}@example.com>`));
  assert.equal(
    (await recipients.send(p.mail("<>"), ...three, p.eoh(), p.eom())).at(-1),
    "y 452 4.5.3 too many recipients|",
  );
  assert.equal(recipients.decider.opened.length, 0);
  const long = await connected({ limits: { envelopeBytes: 100 } });
  const packets = [p.mail("<>", `X=${"x".repeat(200)}`), p.rcpt("<a@b>"), p.eoh(), p.eom()];
  assert.equal((await long.send(...packets)).at(-1), "y 452 4.5.3 too many recipients|");
});

test("arguments without a letter count too", async () => {
  const talk = await connected({ limits: { envelopeBytes: 1000 } });
  const empty = new Array<string>(2000).fill("");
  const answers = await talk.send(p.mail("<>"), p.rcpt("<a@b>", ...empty), p.rcpt("<c@d>"), p.eoh(), p.eom());
  assert.equal(answers.at(-1), "y 452 4.5.3 too many recipients|");
});

test("a refusal ends with the trace id, ours and the decider's", async () => {
  for (const [to, text] of [
    ["refuse", "y 550 5.7.1 not 100%% wanted id=T-1|"],
    ["throw", "y 451 4.3.0 local error id=T-1|"],
    ["ann", "c"],
  ] as const) {
    const talk = await connected();
    talk.decider.id = "T-1";
    assert.equal((await talk.send(...START(to), p.eoh(), p.eom())).at(-1), text);
  }
});

test("more X-MaiRust fields than can be removed refuse the message", async () => {
  const talk = await connected({ limits: { reservedFields: 2 } });
  const fields = [1, 2, 3].map(n => p.header(`X-MaiRust-${n}`, " x"));
  const answers = await talk.send(...START("ann"), ...fields, p.eoh(), p.eom());
  assert.equal(answers.at(-1), "y 554 5.6.0 too many X-MaiRust fields, or malformed ones|");
});
