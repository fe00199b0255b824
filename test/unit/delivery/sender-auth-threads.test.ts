/** The threads that check senders: what a hostile message costs, and whom. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CachedDns } from "../../../src/delivery/sender-auth-dns.ts";
import type { CheckedSubject } from "../../../src/delivery/sender-auth-findings.ts";
import { CheckThreads } from "../../../src/delivery/sender-auth-threads.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";

const dns = new CachedDns(async () => ({ kind: "none", code: "ENOTFOUND" }));
const threads = new CheckThreads(dns, 1);
after(() => threads.stop());

const SUBJECT: CheckedSubject = { checks: ["dkim", "dmarc", "arc"], mailFrom: "", mta: "mx.test" };
const SIGNED =
  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=x; h=from; bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\n";

async function* content(...parts: readonly (string | Buffer)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part as string);
}

async function check(bytes: AsyncIterable<Uint8Array>, ms = 20_000) {
  const deadline = deadlineAfter(ms);
  // Deadlines do not keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  try {
    return await threads.check(SUBJECT, bytes, deadline);
  } finally {
    clearInterval(alive);
    deadline.dispose();
  }
}

test("a message that does not end is given up at the deadline, and the next one gets a new thread", async () => {
  const endless = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }),
  };
  await assert.rejects(check(endless, 200), { code: "deadline" });
  const { dkim, dmarc } = await check(content(SIGNED, "x\r\n"));
  assert.deepEqual([dkim?.[0]?.result, dkim?.[0]?.why], ["fail", "body hash did not verify"]);
  assert.equal(dmarc?.result, "none");
});

test("bytes that cannot be read fail, and the next message is not touched by what was left", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(SIGNED);
    throw new Error("the disk is gone");
  }
  await assert.rejects(check(broken()), /the disk is gone/u);
  assert.deepEqual((await check(content("From: a@a.test\r\n\r\n"))).dkim, []);
});

test("what would cost too much is not checked, and not waited for", async () => {
  const why = async (...parts: readonly (string | Buffer)[]) => {
    const { dkim, arc, dmarc } = await check(content(...parts));
    assert.deepEqual(
      [dkim?.[0]?.result, arc?.result, dmarc?.result],
      ["permerror", "permerror", "permerror"],
    );
    return dkim?.[0]?.why;
  };
  assert.match((await why(SIGNED, Buffer.alloc(1_100_000, "x"))) ?? "", /^a line has more than/u);
  assert.match((await why(SIGNED, Buffer.from(" \r\n".repeat(100_002)))) ?? "", /empty lines/u);
  assert.match((await why(Buffer.alloc(600_000, "x"))) ?? "", /^the header has more than .* octets/u);
  assert.match((await why("X:\r\n x\r\n".repeat(6000), "\r\n")) ?? "", /^the header has more than .* lines/u);
  assert.match(
    (await why(SIGNED.split("From")[0]?.repeat(11) ?? "", "From: a@a.test\r\n\r\n")) ?? "",
    /signatures/u,
  );
});

test("many wait for one thread, each until its own deadline", async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => check(content(SIGNED, "x\r\n"))));
  assert.deepEqual(new Set(all.map(({ dkim }) => dkim?.[0]?.result)), new Set(["fail"]));
});
