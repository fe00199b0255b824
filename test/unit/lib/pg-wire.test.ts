import assert from "node:assert/strict";
import { test } from "node:test";
import { isPostgresStartup, PostgresWire } from "../../lib/pg-wire.ts";

/** One message of either side. */
function message(type: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map(part => Buffer.from(part)));
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
const parse = (name: string, text: string) => message("P", `${name}\0`, `${text}\0`, Buffer.alloc(2));
const bind = (name: string) => message("B", "\0", `${name}\0`, Buffer.alloc(6));
const run = message("E", "\0", Buffer.alloc(4));
const sync = message("S");
const ready = message("Z", "T");
const row = (bytes: number) => message("D", Buffer.alloc(bytes, "Z"));

test("PostgresWire knows prepared statements by their names, when they are parsed and later", () => {
  const wire = new PostgresWire();
  assert.deepEqual(wire.sent(Buffer.concat([parse("s1", "commit"), bind("s1"), run, sync])), ["commit"]);
  assert.deepEqual(wire.sent(Buffer.concat([bind("s1"), run, sync])), ["commit"]);
  assert.deepEqual(wire.sent(message("Q", "begin\0")), ["begin"]);
});

test("PostgresWire tells a statement's answer when all of it is here, however it is cut", () => {
  const answers = Buffer.concat([row(30), message("C", "SELECT 1\0"), ready, row(9), ready]);
  for (let cut = 0; cut <= answers.length; cut++) {
    const wire = new PostgresWire();
    wire.sent(Buffer.concat([message("Q", "first\0"), message("Q", "second\0")]));
    const told = [...wire.received(answers.subarray(0, cut)), ...wire.received(answers.subarray(cut))];
    assert.deepEqual(told, ["first", "second"], `cut at ${cut}`);
  }
});

test("PostgresWire takes statements before one Sync as answered together", () => {
  const wire = new PostgresWire();
  wire.sent(Buffer.concat([parse("", "a"), bind(""), run, parse("", "b"), bind(""), run, sync]));
  assert.deepEqual(wire.received(ready), ["a", "b"]);
});

test("isPostgresStartup() knows the first bytes of a client", () => {
  const startup = Buffer.alloc(12);
  startup.writeInt32BE(12, 0);
  startup.writeInt32BE(196_608, 4);
  assert.ok(isPostgresStartup(startup));
  assert.ok(!isPostgresStartup(Buffer.from("220 mail.example.test LMTP")));
});
