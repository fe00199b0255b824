/** Direction, envelope, replies and edits, each by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MilterEdit } from "../../../../src/core/ports/milter.ts";
import { addressesIn } from "../../../../src/platform/networks.ts";
import { type CommandOf, decodeCommand } from "../../../../src/protocols/milter/codec.ts";
import { directionOf } from "../../../../src/protocols/milter/direction.ts";
import { encodeEdits, removalEdits } from "../../../../src/protocols/milter/edits.ts";
import { buildEnvelope, Macros, recipientOf } from "../../../../src/protocols/milter/envelope.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/milter/limits.ts";
import { renderReply } from "../../../../src/protocols/milter/reply.ts";
import { AnswerReader, connect, macros, show } from "../../../lib/milter-packets.ts";

const rules = { daemons: ["ORIGINATING"], isInNetwork: addressesIn(["198.51.100.0/24", "2001:db8::/32"]) };

test("directionOf(): a login, a daemon of the list or a network of ours means outbound", () => {
  const cases: ReadonlyArray<readonly [string | undefined, string, string | undefined, string]> = [
    [undefined, "smtpd", "192.0.2.1", "inbound"],
    ["", "", undefined, "inbound"],
    ["", "", "127.0.0.1", "inbound"],
    ["ann", "smtpd", "192.0.2.1", "outbound"],
    [undefined, "ORIGINATING", "192.0.2.1", "outbound"],
    [undefined, "originating", "192.0.2.1", "inbound"],
    [undefined, "smtpd", "198.51.100.7", "outbound"],
    [undefined, "smtpd", "2001:db8::1", "outbound"],
    [undefined, "smtpd", "not an address", "inbound"],
  ];
  for (const [authUser, daemonName, clientAddress, expected] of cases) {
    assert.equal(directionOf({ authUser, daemonName, clientAddress }, rules), expected);
  }
});

const agreed = { version: 6, actions: 0x11, steps: 0x10 };
const command = (packet: Buffer) => decodeCommand(packet.subarray(4));

function envelope(connectPacket: Buffer, sets: readonly Buffer[], mailArgs: readonly string[] = ["<>"]) {
  const known = new Macros();
  const mail = sets.map(set => command(set) as CommandOf<"macro">);
  for (const one of mail) known.set(one);
  known.beginMessage();
  const client = { connect: command(connectPacket) as CommandOf<"connect">, helo: "h" };
  return buildEnvelope({
    client,
    macros: known,
    mailArgs,
    recipients: [recipientOf(["<a@b>"])],
    rules,
    agreed,
  });
}

test("buildEnvelope() gathers what macros and commands tell", () => {
  const found = envelope(
    connect("client.example", "198.51.100.9", 25),
    [
      macros("C", { j: "mx.example", "{daemon_name}": "smtpd", v: "Postfix" }),
      macros("H", { "{tls_version}": "TLSv1.3", "{cert_subject}": "cn" }),
      macros("M", { i: "Q", "{auth_type}": "PLAIN", "{auth_authen}": "ann" }),
    ],
    ['<"a b"@example.com>', "SIZE=10", "body=8bitmime", "SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb"],
  );
  assert.deepEqual(found, {
    direction: "outbound",
    content: "headers",
    edits: new Set(["add_header", "insert_header", "change_header"]),
    queueId: "Q",
    mta: "mx.example",
    daemonName: "smtpd",
    client: { name: "client.example", address: "198.51.100.9", port: 25, helo: "h", ident: "Q" },
    tls: { version: "TLSv1.3", certSubject: "cn" },
    auth: { user: "ann", mechanism: "PLAIN" },
    mailFrom: { raw: '"a b"@example.com', local: "a b", domain: "example.com" },
    mailArgs: ["SIZE=10", "body=8bitmime", "SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb"],
    recipients: [{ address: { raw: "a@b", local: "a", domain: "b" }, args: [] }],
    dsn: { ret: "HDRS", envid: "a+b" },
    declaredSizeBytes: 10,
    body8bit: true,
    smtpUtf8: true,
  });
});

test("buildEnvelope() takes what is missing or unreadable as unknown", () => {
  const bare = envelope(connect("[192.0.2.1]", "192.0.2.1"), [], ["a@b", "SIZE=x", "RET=?", "ENVID=+zz"]);
  assert.deepEqual(bare.client, { address: "192.0.2.1", port: 4321, helo: "h" });
  assert.equal(bare.mailFrom.raw, "a@b");
  assert.deepEqual(bare.dsn, {});
  assert.equal(bare.declaredSizeBytes, undefined);
  assert.equal(bare.tls, undefined);
  const six = envelope(connect("unknown", "IPv6:2001:db8::5"), []);
  assert.deepEqual(
    [six.client.address, six.client.name, six.direction],
    ["2001:db8::5", undefined, "outbound"],
  );
  assert.equal(envelope(connect("h", "::ffff:192.0.2.1"), []).client.address, "192.0.2.1");
});

test("recipientOf() reads ORCPT and NOTIFY, and leaves out what hides control characters", () => {
  assert.deepEqual(recipientOf(["<a@b>", "NOTIFY=success,delay", "ORCPT=rfc822;x+2By@b"]), {
    address: { raw: "a@b", local: "a", domain: "b" },
    args: ["NOTIFY=success,delay", "ORCPT=rfc822;x+2By@b"],
    orcpt: "rfc822;x+y@b",
    notify: ["SUCCESS", "DELAY"],
  });
  assert.equal(recipientOf(["<a@b>", "ORCPT=rfc822;x+0D+0Ay"]).orcpt, undefined);
});

test("renderReply() keeps a reply one reply", () => {
  const cases: ReadonlyArray<readonly [number, string, readonly string[], string]> = [
    [550, "5.7.1", ["no"], "550 5.7.1 no"],
    [550, "4.7.1", ["wrong class"], "550 5.7.1 wrong class"],
    [550, "", ["none"], "550 5.7.1 none"],
    [421, "4.3.2", ["never 421"], "451 4.7.1 never 421"],
    [521, "5.3.2", ["never 521"], "451 4.7.1 never 521"],
    [250, "2.0.0", ["no success"], "451 4.7.1 no success"],
    [Number.NaN, "", [], "451 4.7.1 not accepted"],
    [550, "5.7.1", ["a\r\n250 b"], "550 5.7.1 a??250 b"],
    [550, "5.7.1", ["5.1.1 twice"], "550 5.7.1 twice"],
    [550, "5.7.1", ["é\0"], "550 5.7.1 ??"],
    [452, "4.2.2", ["a", "b", "c"], "452-4.2.2 a\r\n452-4.2.2 b\r\n452 4.2.2 c"],
    [550, "5.7.1", ["x".repeat(500)], `550 5.7.1 ${"x".repeat(200)}`],
  ];
  for (const [code, enhanced, lines, expected] of cases)
    assert.equal(renderReply({ code, enhanced, lines }), expected);
  assert.equal(
    renderReply({ code: 550, enhanced: "", lines: new Array(50).fill("x") }).split("\r\n").length,
    32,
  );
});

test("renderReply() puts the trace id at the end, and the text gives way", () => {
  const two = { code: 550, enhanced: "5.7.1", lines: ["a", "x".repeat(500)] };
  assert.equal(renderReply(two, "T1"), `550-5.7.1 a\r\n550 5.7.1 ${"x".repeat(194)} id=T1`);
});

const ALL = { version: 6, actions: 0x1ff, steps: 0x10_0000 };
const packets = (edits: readonly MilterEdit[], limits = DEFAULT_LIMITS) =>
  new AnswerReader().push(encodeEdits(edits, ALL, limits)).map(show);

test("encodeEdits() cuts a body into pieces that every MTA takes", () => {
  const sizes = packets([{ kind: "replace_body", body: [Buffer.alloc(140_000, "x")] }]).map(
    one => one.length - 2,
  );
  assert.deepEqual(sizes, [65_535, 65_535, 8_930]);
  assert.deepEqual(packets([{ kind: "replace_body", body: [] }]), ["b"]);
});

test("removalEdits() numbers fields of one name without regard to case", () => {
  const edits = removalEdits([
    ["X-MaiRust-A", "1"],
    ["x-mairust-a", "2"],
    ["X-MaiRust-B", "3"],
  ]);
  assert.deepEqual(
    edits.map(edit => (edit.kind === "change_header" ? `${edit.index} ${edit.name}${edit.value}` : "")),
    ["1 X-MaiRust-A", "2 x-mairust-a", "1 X-MaiRust-B"],
  );
});

const REFUSED: readonly MilterEdit[][] = [
  [{ kind: "add_header", name: "A B", value: "x" }],
  [{ kind: "add_header", name: "A:", value: "x" }],
  [{ kind: "add_header", name: "", value: "x" }],
  [{ kind: "add_header", name: "A", value: "x\r\nB: y" }],
  [{ kind: "add_header", name: "A", value: "x\nB: y" }],
  [{ kind: "add_header", name: "A", value: "x\r\n\r\nbody" }],
  [{ kind: "add_header", name: "A", value: "x\n \n y" }],
  [{ kind: "add_header", name: "A", value: "x\n\t" }],
  [{ kind: "add_header", name: "A", value: "x\ry" }],
  [{ kind: "add_header", name: "A", value: "x\0y" }],
  [{ kind: "add_header", name: "A", value: "x".repeat(70_000) }],
  [{ kind: "change_header", name: "A", index: 0, value: "x" }],
  [{ kind: "insert_header", name: "A", index: -1, value: "x" }],
  [{ kind: "insert_header", name: "A", index: 1.5, value: "x" }],
  [{ kind: "add_recipient", address: "a b@c" }],
  [{ kind: "add_recipient", address: "" }],
  [{ kind: "remove_recipient", address: "<a@b>" }],
  [{ kind: "quarantine", reason: "a\nb" }],
  [
    { kind: "replace_body", body: [] },
    { kind: "replace_body", body: [] },
  ],
];

test("encodeEdits() refuses all when one breaks out of its field or is malformed", () => {
  for (const edits of REFUSED) {
    assert.throws(
      () => packets([{ kind: "add_header", name: "X", value: "y" }, ...edits]),
      /Cannot edit message/u,
    );
  }
  const one: MilterEdit = { kind: "add_header", name: "X", value: "y" };
  assert.throws(() => packets([one, one], { ...DEFAULT_LIMITS, edits: 1 }), /too many/u);
  assert.throws(() => packets([one], { ...DEFAULT_LIMITS, editBytes: 5 }), /more than "5" octets/u);
});
