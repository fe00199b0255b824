/** The content of a message at the LMTP listener: its limits, an intake that fails, peers that break off. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecipientOutcome } from "../../../../src/core/ports/intake.ts";
import { gate, Harness, START, startData } from "./harness.ts";

test("a message over the limit is read to its end and answered 552 once per recipient", () =>
  Harness.with({ messageBytes: 10_000 }, async harness => {
    const peer = await harness.greet();
    await peer.ask("MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", 4);
    const replies = await peer.ask(`${"0123456789\r\n".repeat(20_000)}.\r\n`, 2);
    assert.deepEqual(replies, ["552 5.3.4 message too large", "552 5.3.4 message too large"]);
    assert.equal(harness.intake.taken.length, 0);
    assert.equal(harness.intake.aborted.length, 1);
    await startData(peer);
    assert.match((await peer.ask("small\r\n.\r\n"))[0] ?? "", /^250 /u);
    assert.deepEqual(harness.results, ["too_large", "too_large", "stored"]);
  }));

test("a size limit that changes while the server runs holds from the next transaction on", () => {
  let limit = 1000;
  const config = {
    get messageBytes() {
      return limit;
    },
  };
  return Harness.with(config, async harness => {
    const peer = await harness.greet();
    await startData(peer);
    limit = 10;
    assert.match((await peer.ask("more than ten bytes\r\n.\r\n"))[0] ?? "", /^250 /u);
    assert.deepEqual(await peer.ask("MAIL FROM:<> SIZE=11\r\n"), ["552 5.3.4 message too large"]);
    await startData(peer);
    assert.match((await peer.ask("more than ten bytes\r\n.\r\n"))[0] ?? "", /^552 /u);
  });
});

test("a message of exactly the limit is taken", () =>
  Harness.with({ messageBytes: 100 }, async harness => {
    const peer = await harness.greet();
    await startData(peer);
    assert.match((await peer.ask(`${"x".repeat(98)}\r\n.\r\n`))[0] ?? "", /^250 /u);
  }));

test("a write that fails is answered per recipient after the final dot", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    await peer.ask(
      "MAIL FROM:<>\r\nRCPT TO:<writefail@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
      4,
    );
    const replies = await peer.ask(`${"x\r\n".repeat(100_000)}.\r\n`, 2);
    assert.deepEqual(replies, [
      "452 4.3.1 insufficient system storage",
      "452 4.3.1 insufficient system storage",
    ]);
    assert.equal(harness.intake.aborted.length, 1);
  }));

test("an intake that rejects, or answers too few or too many, gives 451 for each recipient", () =>
  Harness.with({}, async harness => {
    const two = "MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n";
    const peer = await harness.greet();
    for (const broken of [
      () => [],
      (o: RecipientOutcome[]) => o.slice(1),
      (o: RecipientOutcome[]) => [...o, ...o],
    ]) {
      harness.intake.outcomes = broken;
      await peer.ask(two, 4);
      assert.deepEqual(await peer.ask("x\r\n.\r\n", 2), ["451 4.3.0 local error", "451 4.3.0 local error"]);
    }
    harness.intake.outcomes = () => Promise.reject(new TypeError("a bug"));
    await peer.ask(two, 4);
    assert.deepEqual(await peer.ask("x\r\n.\r\n", 2), ["451 4.3.0 local error", "451 4.3.0 local error"]);
    assert.deepEqual(await peer.ask("NOOP\r\n"), ["250 2.0.0 ok"]);
  }));

test("an intake that ignores its deadline is answered 451 after the grace", () =>
  Harness.with({ chainTimeoutMs: 20, limits: { finishGraceMs: 30 } }, async harness => {
    harness.intake.gate = new Promise(() => {});
    const peer = await harness.greet();
    await startData(peer);
    assert.deepEqual(await peer.ask("x\r\n.\r\n"), ["451 4.3.0 not finished in time"]);
    assert.equal(harness.intake.lastDeadline?.remainingMs(), 0);
  }));

test("a write that waits holds the socket back, so that memory stays bounded", () =>
  Harness.with({ messageBytes: 100_000_000 }, async harness => {
    const hold = gate();
    harness.intake.writeGate = hold.promise;
    const peer = await harness.greet();
    await startData(peer);
    const body = Buffer.alloc(40_000_000, "0123456789abcdef0123456789abcdef\r\n");
    peer.socket.write(body);
    peer.send("\r\n.\r\n");
    await new Promise(resolve => setTimeout(resolve, 150));
    // What is not in kernel buffers must still be on the client's side.
    assert.ok(
      peer.socket.writableLength > 20_000_000,
      `only ${peer.socket.writableLength} bytes are held back`,
    );
    hold.open();
    assert.match(await peer.line(), /^250 /u);
    assert.equal(harness.intake.taken[0]?.content.length, body.length + 2);
  }));

test("a peer that breaks off before the final dot leads to abort, nothing is stored", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    const other = await harness.greet();
    await startData(peer);
    await startData(other);
    peer.send("half of a mess");
    peer.socket.destroy();
    while (harness.intake.aborted.length === 0) await new Promise(resolve => setImmediate(resolve));
    assert.equal(harness.intake.taken.length, 0);
    assert.match((await other.ask("x\r\n.\r\n"))[0] ?? "", /^250 /u);
    assert.deepEqual(harness.results, ["aborted", "stored"]);
  }));

test("a peer that dies between the final dot and the reply harms nobody, and its message is finished", () =>
  Harness.with({}, async harness => {
    const hold = gate();
    harness.intake.gate = hold.promise;
    const peer = await harness.greet();
    await startData(peer);
    peer.send("x\r\n.\r\n");
    while (harness.intake.lastDeadline === undefined) await new Promise(resolve => setImmediate(resolve));
    peer.socket.resetAndDestroy();
    while (harness.lmtp.connections() > 0) await new Promise(resolve => setImmediate(resolve));
    hold.open();
    while (harness.intake.taken.length === 0) await new Promise(resolve => setImmediate(resolve));
    assert.equal(harness.intake.aborted.length, 0);
    harness.intake.gate = undefined;
    await startData(await harness.greet());
  }));

test("a peer that ends its side right behind the final dot still gets its replies", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    peer.socket.end(`${START}x\r\n.\r\nQUIT\r\n`, "latin1");
    const lines = await peer.read(5);
    assert.match(lines[3] ?? "", /^250 2\.0\.0 stored/u);
    assert.match(lines[4] ?? "", /^221 /u);
  }));
