import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Command, decodeCommand } from "../../../../src/protocols/milter/codec.ts";
import { PacketReader } from "../../../../src/protocols/milter/framing.ts";
import { type MilterFault, MilterProtocolError } from "../../../../src/protocols/milter/protocol-error.ts";
import { encodeResponse, type Response } from "../../../../src/protocols/milter/responses.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const decode = (text: string) => decodeCommand(bytes(text));

function faults(fault: MilterFault, text: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof MilterProtocolError);
    assert.equal(error.fault, fault);
    assert.match(error.message, text);
    return true;
  };
}

const COMMANDS: ReadonlyArray<readonly [packet: string, command: Command]> = [
  ["O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff", { kind: "optneg", version: 6, actions: 0x1ff, steps: 0x1fffff }],
  ["O\0\0\0\x02\0\0\0\x3f\0\0\0\x7f", { kind: "optneg", version: 2, actions: 0x3f, steps: 0x7f }],
  [
    "DCj\0mx.example\0{daemon_name}\0smtpd\0",
    {
      kind: "macro",
      stage: 0x43,
      macros: [
        ["j", "mx.example"],
        ["daemon_name", "smtpd"],
      ],
    },
  ],
  ["DT", { kind: "macro", stage: 0x54, macros: [] }],
  [
    "Cclient.example\x004\x10\xe1192.0.2.1\0",
    { kind: "connect", host: "client.example", family: "inet", port: 4321, address: "192.0.2.1" },
  ],
  [
    "C[2001:db8::1]\x006\0\x19IPv6:2001:db8::1\0",
    { kind: "connect", host: "[2001:db8::1]", family: "inet6", port: 25, address: "IPv6:2001:db8::1" },
  ],
  [
    "Clocalhost\0L\0\0/run/x\0",
    { kind: "connect", host: "localhost", family: "unix", port: 0, address: "/run/x" },
  ],
  ["Cunknown\0U", { kind: "connect", host: "unknown", family: "unknown", port: 0, address: "" }],
  ["Hclient\0", { kind: "helo", name: "client" }],
  ["M<a@b>\0SIZE=10\0BODY=8BITMIME\0", { kind: "mail", args: ["<a@b>", "SIZE=10", "BODY=8BITMIME"] }],
  ["M<>\0", { kind: "mail", args: ["<>"] }],
  ["R<\xc3\xa9@b>\0", { kind: "rcpt", args: ["<é@b>"] }],
  ["R<\xe9@b>\0", { kind: "rcpt", args: ["<é@b>"] }],
  ["T", { kind: "data" }],
  ["LSubject\0 a\n\tb\0", { kind: "header", name: bytes("Subject"), value: bytes(" a\n\tb") }],
  ["LX\0\0", { kind: "header", name: bytes("X"), value: bytes("") }],
  ["N", { kind: "eoh" }],
  ["Ba\0\r\n", { kind: "body", bytes: bytes("a\0\r\n") }],
  ["E", { kind: "eom", bytes: bytes("") }],
  ["Eend", { kind: "eom", bytes: bytes("end") }],
  ["A", { kind: "abort" }],
  ["Q", { kind: "quit" }],
  ["K", { kind: "quit_nc" }],
  ["UFOO\0", { kind: "unknown", text: "FOO" }],
];

test("decodeCommand() reads every command", () => {
  for (const [packet, command] of COMMANDS) assert.deepEqual(decode(packet), command, JSON.stringify(packet));
});

const MALFORMED: ReadonlyArray<readonly [packet: string, text: RegExp]> = [
  ["", /command 0 is unknown/u],
  ["Z", /command 90 is unknown/u],
  ["O\0\0\0\x06\0\0\x01", /ends in the field at octet 5/u],
  ["D", /ends in the field at octet 1/u],
  ["DCj", /no end/u],
  ["DCj\0", /^Cannot read packet: the text at octet 4 has no end$/u],
  ["Chost", /no end/u],
  ["Chost\0X\0\x19a\0", /family is unknown/u],
  ["Chost\x004\0", /ends in the field/u],
  ["Chost\x004\0\x19", /no end/u],
  ["Chost\x004\0\x19a\0b", /1 octets are left over/u],
  ["Hname", /no end/u],
  ["Hname\0\0", /left over/u],
  ["M", /no end/u],
  ["M<a>\0SIZE=1", /no end/u],
  ["Lname\0value", /no end/u],
  ["Lname\0a\0b\0", /left over/u],
  ["Tx", /left over/u],
  ["Nx", /left over/u],
  ["Ax", /left over/u],
  ["Qx", /left over/u],
];

test("decodeCommand() refuses what is cut, unknown or too much", () => {
  for (const [packet, text] of MALFORMED) {
    assert.throws(() => decode(packet), faults("syntax", text), JSON.stringify(packet));
  }
});

const RESPONSES: ReadonlyArray<readonly [response: Response, packet: string]> = [
  [
    { kind: "optneg", version: 6, actions: 0x11, steps: 0x100, symbols: [] },
    "\0\0\0\x0dO\0\0\0\x06\0\0\0\x11\0\0\x01\0",
  ],
  [
    {
      kind: "optneg",
      version: 6,
      actions: 0x100,
      steps: 0,
      symbols: [
        [5, ["i", "{auth_authen}"]],
        [0, []],
      ],
    },
    "\0\0\0\x26O\0\0\0\x06\0\0\x01\0\0\0\0\0\0\0\0\x05i {auth_authen}\0\0\0\0\0\0",
  ],
  [{ kind: "add_header", name: "X", value: " y" }, "\0\0\0\x06hX\0 y\0"],
  [{ kind: "insert_header", index: 1, name: "X", value: "y" }, "\0\0\0\x09i\0\0\0\x01X\0y\0"],
  [{ kind: "change_header", index: 258, name: "X", value: "" }, "\0\0\0\x08m\0\0\x01\x02X\0\0"],
  [{ kind: "add_recipient", address: "<a@b>" }, "\0\0\0\x07+<a@b>\0"],
  [{ kind: "add_recipient", address: "<a@b>", args: "NOTIFY=NEVER" }, "\0\0\0\x142<a@b>\0NOTIFY=NEVER\0"],
  [{ kind: "remove_recipient", address: "<a@b>" }, "\0\0\0\x07-<a@b>\0"],
  [{ kind: "change_sender", address: "<>" }, "\0\0\0\x04e<>\0"],
  [{ kind: "change_sender", address: "<>", args: "A=b" }, "\0\0\0\x08e<>\0A=b\0"],
  [{ kind: "replace_body", bytes: bytes("x\0y") }, "\0\0\0\x04bx\0y"],
  [{ kind: "quarantine", reason: "r" }, "\0\0\0\x03qr\0"],
  [{ kind: "reply_code", text: "550 5.7.1 100% no" }, "\0\0\0\x14y550 5.7.1 100%% no\0"],
  [{ kind: "accept" }, "\0\0\0\x01a"],
  [{ kind: "continue" }, "\0\0\0\x01c"],
  [{ kind: "discard" }, "\0\0\0\x01d"],
  [{ kind: "progress" }, "\0\0\0\x01p"],
  [{ kind: "reject" }, "\0\0\0\x01r"],
  [{ kind: "skip" }, "\0\0\0\x01s"],
  [{ kind: "tempfail" }, "\0\0\0\x01t"],
];

test("encodeResponse() writes every response", () => {
  for (const [response, packet] of RESPONSES) {
    assert.equal(encodeResponse(response).toString("latin1"), packet, response.kind);
  }
});

test("PacketReader finds the same packets in every chunking", () => {
  const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 });
  const property = fc.property(
    packets,
    fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
    (all, sizes) => {
      const wire = Buffer.concat(all.flatMap(one => [Buffer.from([0, 0, 0, one.length]), Buffer.from(one)]));
      const reader = new PacketReader(40);
      const found: string[] = [];
      for (let at = 0, i = 0; at < wire.length; i += 1) {
        const size = sizes[i % sizes.length] ?? 1;
        reader.push(wire.subarray(at, at + size));
        at += size;
        for (let one = reader.next(); one !== undefined; one = reader.next()) found.push(one.toString("hex"));
      }
      assert.deepEqual(
        found,
        all.map(one => Buffer.from(one).toString("hex")),
      );
    },
  );
  fc.assert(property);
});

test("PacketReader refuses a packet without command and one beyond the limit as soon as its length is there", () => {
  const read = (wire: string) => {
    const reader = new PacketReader(10);
    reader.push(bytes(wire));
    return reader.next();
  };
  assert.equal(read("\0\0\0\x0a0123456789")?.length, 10);
  assert.throws(() => read("\0\0\0\0"), faults("syntax", /no command/u));
  assert.throws(() => read("\0\0\0\x0b"), faults("too_long", /length is "11", allowed are "10"/u));
  assert.throws(() => read("\xff\xff\xff\xff"), faults("too_long", /4294967295/u));
});

test("PacketReader gathers a large packet from single octets", () => {
  const content = Buffer.alloc(100_000, "x");
  const reader = new PacketReader(content.length);
  reader.push(Buffer.from([0, 1, 0x86, 0xa0]));
  for (let at = 0; at < content.length - 1; at += 1) {
    reader.push(content.subarray(at, at + 1));
    assert.equal(reader.next(), undefined);
  }
  reader.push(content.subarray(-1));
  assert.ok(reader.next()?.equals(content));
});
