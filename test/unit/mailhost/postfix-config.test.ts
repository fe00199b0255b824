import assert from "node:assert/strict";
import { test } from "node:test";
import { lookupTable, mainCf, masterCf, postfixPaths } from "../../../src/mailhost/postfix-config.ts";
import { parseQueue } from "../../../src/mailhost/postfix-queue.ts";

test("mainCf() keeps the instance to its own folder, to loopback, and its mail inside", () => {
  const text = mainCf(postfixPaths("/tmp/mr1"), ["a.test", "b.test"]);
  assert.match(text, /^queue_directory = \/tmp\/mr1\/queue$/m);
  assert.match(text, /^data_directory = \/tmp\/mr1\/data$/m);
  assert.match(text, /^inet_interfaces = 127\.0\.0\.1$/m);
  assert.match(text, /^virtual_mailbox_domains = a\.test b\.test$/m);
  assert.match(text, /^default_transport = error:/m);
  assert.match(text, /^mydestination =$/m);
  assert.throws(() => mainCf(postfixPaths("/tmp/mr1"), ["a.test\ninet_interfaces = all"]), /line break/);
});

test("masterCf() opens its only port on loopback and chroots nothing", () => {
  const rows = masterCf(2525)
    .trim()
    .split("\n")
    .map(line => line.split(" "));
  assert.deepEqual(
    rows.filter(row => row[1] === "inet").map(row => row[0]),
    ["127.0.0.1:2525"],
  );
  for (const row of rows) {
    assert.equal(row.length, 8);
    assert.equal(row[4], "n");
  }
});

test("lookupTable() refuses what would become another entry", () => {
  assert.equal(lookupTable({ "a@b.test": "mairust:unix:x" }), "a@b.test mairust:unix:x\n");
  assert.throws(() => lookupTable({ "a b": "c" }), { code: "invalid_argument" });
  assert.throws(() => lookupTable({ a: "b\nc d" }), { code: "invalid_argument" });
});

test("parseQueue() reads postqueue -j and refuses anything else", () => {
  const entry = {
    queue_name: "deferred",
    queue_id: "4jWYws4dLczJk7C",
    arrival_time: 1,
    message_size: 2,
    forced_expire: false,
    sender: "s@a.test",
    recipients: [{ address: "r@a.test", delay_reason: "no answer" }, { address: "q@a.test" }],
  };
  assert.deepEqual(parseQueue(`${JSON.stringify(entry)}\n`), [
    {
      queueName: "deferred",
      queueId: "4jWYws4dLczJk7C",
      sender: "s@a.test",
      recipients: [
        { address: "r@a.test", delayReason: "no answer" },
        { address: "q@a.test", delayReason: undefined },
      ],
    },
  ]);
  assert.deepEqual(parseQueue(""), []);
  assert.throws(() => parseQueue("{}\n"), { code: "data_invalid" });
  assert.throws(() => parseQueue("Mail queue is empty\n"), { code: "data_invalid" });
});
