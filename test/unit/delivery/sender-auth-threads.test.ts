/** The threads that check senders: what a hostile message costs, and whom; by the library, and by checks that break on purpose. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CachedDns } from "../../../src/delivery/sender-auth-dns.ts";
import type { CheckedSubject } from "../../../src/delivery/sender-auth-findings.ts";
import { bytesInFlight, type CheckLimits } from "../../../src/delivery/sender-auth-limits.ts";
import { CheckThreads } from "../../../src/delivery/sender-auth-threads.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { bench, CheckBench, PATIENT } from "../../lib/check-bench.ts";

const dns = new CachedDns(async () => ({ kind: "none", code: "ENOTFOUND" }));
const LIMITS: CheckLimits = PATIENT;
const WATCHED: CheckLimits = { ...LIMITS, lookMs: 20, stuckLooks: 40 };
const threads = new CheckThreads({ dns, limits: LIMITS });
after(() => threads.stop());

const SUBJECT: CheckedSubject = { checks: ["dkim", "dmarc", "arc"], mailFrom: "", mta: "mx.test" };
const SIGNED =
  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=x; h=from; bh=AAAA; b=AAAA\r\nFrom: a@a.test\r\n\r\n";

async function* content(...parts: readonly (string | Buffer)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part as string);
}

async function check(bytes: AsyncIterable<Uint8Array>, ms = 20_000) {
  const deadline = deadlineAfter(ms);
  try {
    return await threads.check({ subject: SUBJECT, sizeBytes: 1000, read: () => bytes }, deadline);
  } finally {
    deadline.dispose();
  }
}

const endless: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }),
};

test("a message that does not end is given up at the deadline, and the next one does not notice", async () => {
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
  assert.match((await why("X:\r\n".repeat(1001), SIGNED)) ?? "", /^the header has more than .* fields/u);
  const [signature = ""] = SIGNED.split("From");
  const wide = `X: ${"x".repeat(300_000)}\r\n${SIGNED}`;
  assert.match((await why(signature, wide)) ?? "", /^2 signatures of a header/u);
  const sealed = `ARC-Seal: i=1\r\n${wide}`;
  assert.match((await why(sealed)) ?? "", /^3 signatures of a header/u);
  // Each of them takes the library more than 20 s otherwise.
  const long = 500_000;
  assert.match((await why(`X: ${"\r".repeat(long)}a\r\n${SIGNED}`)) ?? "", /blanks/u);
  assert.match((await why(`X: ${" ".repeat(long)}a\r\n${SIGNED}`)) ?? "", /blanks/u);
  assert.match((await why(`From: ${"a@b.test, ".repeat(long / 10)}\r\n${SIGNED}`)) ?? "", /^From has/u);
  const tags = "a;;".repeat(long / 4);
  assert.match((await why(SIGNED.replace("v=1;", `v=1;${tags}`))) ?? "", /tags/u);
  assert.match((await why(`ARC-Authentication-Results: i=1;${tags}\r\n${SIGNED}`)) ?? "", /tags/u);
  // White space to the library, and not to others.
  const odd = Buffer.from(SIGNED.replace("v=1;", `v=1;\r\n\xa0${tags}`), "latin1");
  assert.match((await why(odd)) ?? "", /tags/u);
  const oddFrom = Buffer.from(`From\xa0: ${"a@b.test, ".repeat(long / 10)}\r\n${SIGNED}`, "latin1");
  assert.match((await why(oddFrom)) ?? "", /^From has/u);
  const names = `h=${"a:".repeat(long / 4)}from`;
  assert.match((await why("X:\r\n".repeat(9000), SIGNED.replace("h=from", names))) ?? "", /names more than/u);
});

test("many messages on one thread each have their own result", async () => {
  const all = await Promise.all(
    Array.from({ length: 100 }, (_, i) => check(content(SIGNED.replaceAll("a.test", `a${i}.test`), "x\r\n"))),
  );
  assert.deepEqual(
    all.map(({ dkim, dmarc }) => `${dkim?.[0]?.result} ${dkim?.[0]?.domain} ${dmarc?.from}`),
    all.map((_, i) => `fail a${i}.test a${i}.test`),
  );
});

test("what a message is made of changes nothing for the next one on its thread", async () => {
  const set = (tag: string) =>
    [
      "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=x; b=AAAA",
      "ARC-Message-Signature: i=1; a=rsa-sha256; d=a.test; s=x; h=from; bh=AAAA; b=AAAA",
      `ARC-Authentication-Results: i=1; mx.test; dkim=pass ${tag}`,
      "",
    ].join("\r\n");
  // The library takes the dots of a name for a path. With this in every object it leaves all signatures out.
  for (const name of ["__proto__", '__pro""to__']) await check(content(set(`${name}.skip=1`), SIGNED));
  const { dkim } = await check(content(SIGNED, "x\r\n"));
  assert.deepEqual([dkim?.[0]?.result, dkim?.[0]?.why], ["fail", "body hash did not verify"]);
});

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`);

test("waiting for DNS costs no thread: as many messages as are allowed wait on one", () =>
  bench(
    async on => {
      const names = numbered(20);
      const found = names.map(name => on.check(name));
      const next = on.check("next");
      await on.waiting(...names);
      on.answer("m0");
      await found[0];
      // Were it on the thread before, its question would have come before this result.
      assert.ok(!on.isAsked("next"));
      on.answer(...names);
      assert.deepEqual(new Set(await Promise.all(found)), new Set(["10 octets"]));
      await on.waiting("next");
      on.answer("next");
      assert.equal(await next, "10 octets");
      assert.deepEqual(on.lost, []);
    },
    { ...LIMITS, messagesPerThread: 20 },
  ));

test("who finds no room waits within its own deadline, and who finds none to wait has no result at once", () =>
  bench(
    async on => {
      const first = on.check("first");
      await on.waiting("first");
      const deadline = deadlineAfter(20_000);
      const late = on.check("late", { deadline });
      await assert.rejects(on.check("third"), { code: "too_many" });
      await assert.rejects(late, { code: "deadline" });
      // It waits for a part of its time alone.
      assert.ok(deadline.remainingMs() > 0);
      const patient = on.check("patient", { ms: 1_000_000 });
      on.answer("first");
      await first;
      await on.waiting("patient");
      on.answer("patient");
      assert.equal(await patient, "10 octets");
    },
    { ...LIMITS, messagesPerThread: 1, waiting: 1, waitShare: 0.01 },
  ));

test("large messages have a bounded share of a thread's room for headers, and one alone always fits", () =>
  bench(
    async on => {
      const found = [on.check("a", { size: 1000 }), on.check("b", { size: 500 })];
      await on.waiting("a");
      on.answer("a");
      await found[0];
      assert.ok(!on.isAsked("b"));
      await on.waiting("b");
      on.answer("b");
      assert.deepEqual(await Promise.all(found), ["1000 octets", "500 octets"]);
    },
    { ...LIMITS, headerBytesPerThread: 900 },
  ));

for (const [helo, code, why] of [
  ["hang", "deadline", "the thread does not go on"],
  ["exit", "internal", "the thread ended"],
] as const)
  test(`a thread that breaks (${helo}) fails the message that it was at; the others are tried once more`, () =>
    bench(async on => {
      const names = numbered(3);
      const others = names.map(name => on.check(name));
      const bad = on.check("bad", { helo });
      await on.waiting(...names, "bad");
      on.answer("bad");
      await assert.rejects(bad, { code });
      // DNS remembers what was asked: they go on at once.
      on.answer(...names);
      assert.deepEqual(
        await Promise.all(others),
        names.map(() => "10 octets"),
      );
      assert.deepEqual(on.lost, [`${why}: 4`]);
    }, WATCHED));

test("a thread without memory is replaced too", () =>
  bench(
    async on => {
      const other = on.check("other");
      const bad = on.check("bad", { helo: "grow" });
      await on.waiting("other", "bad");
      on.answer("bad");
      await assert.rejects(bad, { code: "internal" });
      on.answer("other");
      assert.equal(await other, "10 octets");
    },
    { ...LIMITS, heapMb: 16 },
  ));

test("checks that break fail their message alone", () =>
  bench(async on => {
    const other = on.check("other");
    const bad = on.check("bad", { helo: "throw" });
    await on.waiting("other", "bad");
    on.answer("bad", "other");
    await assert.rejects(bad, { code: "internal", message: "Cannot check sender: broken on purpose" });
    assert.equal(await other, "10 octets");
    assert.deepEqual(on.lost, []);
  }));

test("who was near two threads that broke has no result", () =>
  bench(async on => {
    const other = on.check("other");
    for (const name of ["one", "two"]) {
      const bad = on.check(name, { helo: "exit" });
      await on.waiting("other", name);
      on.answer(name);
      await assert.rejects(bad, { code: "internal" });
    }
    await assert.rejects(other, { code: "internal" });
    assert.deepEqual(on.lost, ["the thread ended: 2", "the thread ended: 2"]);
  }));

test("a message over its deadline is taken off its thread, and the others stay where they are", () =>
  bench(
    async on => {
      const other = on.check("other");
      await on.waiting("other");
      const late = on.check("late", { helo: "reader", ms: 100, read: () => endless });
      await assert.rejects(late, { code: "deadline" });
      // Its place is free again.
      const next = on.check("next");
      await on.waiting("next");
      on.answer("other", "next");
      assert.deepEqual(await Promise.all([other, next]), ["10 octets", "10 octets"]);
      assert.deepEqual(on.lost, []);
    },
    { ...LIMITS, messagesPerThread: 2 },
  ));

test("a thread that does not let go of a message is replaced", () =>
  bench(async on => {
    const other = on.check("other");
    await on.waiting("other");
    const deaf = on.check("deaf", { helo: "deaf", ms: 100 });
    await assert.rejects(deaf, { code: "deadline" });
    while (on.lost.length === 0) await new Promise(resolve => setTimeout(resolve, 10));
    on.answer("other");
    assert.equal(await other, "10 octets");
    assert.deepEqual(on.lost, ["the thread does not let go of a message: 2"]);
  }, WATCHED));

test("that a thread took long to start says nothing of how it goes on", () =>
  bench(
    async on => {
      const next = on.check("next");
      await assert.rejects(on.check("late", { ms: 50 }), { code: "deadline" });
      assert.equal(await next, "");
      assert.deepEqual(on.lost, []);
    },
    { ...LIMITS, lookMs: 5, stuckLooks: 100, startLooks: 100_000 },
    "slow-checks",
  ));

test("who gives up waiting lets the next one have the room", () =>
  bench(
    async on => {
      const first = on.check("first", { size: 500 });
      await on.waiting("first");
      const large = on.check("large", { size: 1000, ms: 20_000 });
      const small = on.check("small", { size: 10, ms: 2_000_000 });
      await assert.rejects(large, { code: "deadline" });
      await on.waiting("small");
      on.answer("first", "small");
      assert.deepEqual(await Promise.all([first, small]), ["500 octets", "10 octets"]);
    },
    { ...LIMITS, headerBytesPerThread: 900, waitShare: 0.01 },
  ));

test("few messages are read at a time, a few pieces ahead; small ones pass large ones", () =>
  bench(async on => {
    const reading = new Set<string>();
    let most = 0;
    let mostAhead = 0;
    const read = (name: string, bytes: number) =>
      async function* () {
        reading.add(name);
        most = Math.max(most, reading.size);
        for (let left = bytes; left > 0; left -= 1000) {
          mostAhead = Math.max(mostAhead, on.threads.bytesAhead);
          yield Buffer.alloc(Math.min(1000, left));
        }
        reading.delete(name);
      };
    const names = numbered(6);
    const large = names.map(name => on.check(name, { size: 100_000, read: read(name, 100_000) }));
    await on.waiting(...names);
    const small = on.check("small", { size: 50, read: read("small", 50) });
    await on.waiting("small");
    on.answer("small");
    // The thread takes nothing of the large ones before they have their answers.
    assert.equal(await small, "50 octets");
    on.answer(...names);
    assert.deepEqual(
      await Promise.all(large),
      names.map(() => "100000 octets"),
    );
    assert.equal(most, 2);
    assert.ok(mostAhead > 0 && mostAhead <= bytesInFlight(LEAN), `${mostAhead}`);
  }, LEAN));

const LEAN: CheckLimits = {
  ...LIMITS,
  readsPerThread: 1,
  largeReadsPerThread: 1,
  largeBytes: 1000,
  pieceBytes: 300,
  piecesAhead: 2,
};

test("at the end all that waits fails", async () => {
  const on = new CheckBench({ ...LIMITS, messagesPerThread: 1 });
  const all = [on.check("on"), on.check("waits")];
  await on.waiting("on");
  await on.threads.stop();
  for (const one of [...all, on.check("late")]) await assert.rejects(one, { code: "draining" });
});
