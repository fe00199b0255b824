/** DNS for the checks of senders: a real server on loopback, and the cache in front of it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { askServers, CachedDns, DNS_LIMITS, type DnsAnswer } from "../../../src/delivery/sender-auth-dns.ts";
import { DnsServer } from "../../lib/dns-server.ts";

const LONG = "v=DKIM1; p=".padEnd(3000, "A");
let server: DnsServer;
before(async () => {
  server = await DnsServer.start({
    "example.test": { TXT: ["v=spf1 -all"], MX: [[10, "mx.example.test"]], AAAA: ["2001:db8::25"] },
    "long.example.test": { TXT: [LONG] },
    "alias.example.test": { CNAME: ["example.test"] },
    "7.2.0.192.in-addr.arpa": { PTR: ["mx.example.test"] },
    "broken.test": { fails: "servfail" },
  });
});
after(() => server?.stop());

test("askServers() asks the named server: rows, no such name, no such record, and a failure", async () => {
  const ask = askServers([server.address]);
  assert.deepEqual(await ask("example.test", "TXT"), { kind: "rows", rows: [["v=spf1 -all"]] });
  const mx = await ask("example.test", "MX");
  assert.ok(mx.kind === "rows");
  // Newer versions of Node add the type.
  const [{ exchange, priority }] = mx.rows as [{ exchange: string; priority: number }];
  assert.deepEqual([exchange, priority], ["mx.example.test", 10]);
  assert.deepEqual(await ask("example.test", "AAAA"), { kind: "rows", rows: ["2001:db8::25"] });
  assert.deepEqual(await ask("alias.example.test", "TXT"), { kind: "rows", rows: [["v=spf1 -all"]] });
  assert.deepEqual(await ask("7.2.0.192.in-addr.arpa", "PTR"), { kind: "rows", rows: ["mx.example.test"] });
  assert.deepEqual(await ask("example.test", "A"), { kind: "none", code: "ENODATA" });
  assert.deepEqual(await ask("absent.test", "TXT"), { kind: "none", code: "ENOTFOUND" });
  assert.deepEqual(await ask("broken.test", "TXT"), { kind: "failed", why: "ESERVFAIL" });
});

test("an answer that fits no datagram comes whole, by TCP", async () => {
  const answer = await askServers([server.address])("long.example.test", "TXT");
  assert.equal(answer.kind, "rows");
  const [pieces] = (answer as { rows: readonly (readonly string[])[] }).rows;
  assert.equal(pieces?.join(""), LONG);
});

const ROWS: DnsAnswer = { kind: "rows", rows: [["x"]] };

test("CachedDns asks once for what it knows, each kind of answer for its own time", async () => {
  const asked: string[] = [];
  const clock = { ms: 0 };
  const answers: Record<string, DnsAnswer> = {
    good: ROWS,
    none: { kind: "none", code: "ENOTFOUND" },
    bad: { kind: "failed", why: "ESERVFAIL" },
  };
  const dns = new CachedDns(
    async name => {
      asked.push(name);
      return answers[name] ?? ROWS;
    },
    () => clock.ms,
  );
  const all = () => Promise.all(["good", "none", "bad"].map(name => dns.find(name, "TXT")));
  await all();
  await all();
  assert.deepEqual(asked, ["good", "none", "bad"]);
  clock.ms = DNS_LIMITS.failedMs;
  await all();
  assert.deepEqual(asked.slice(3), ["bad"]);
  clock.ms = DNS_LIMITS.negativeMs;
  await all();
  assert.deepEqual(asked.slice(4).sort(), ["bad", "none"]);
  clock.ms = DNS_LIMITS.positiveMs;
  await all();
  assert.equal(asked.filter(name => name === "good").length, 2);
});

test("CachedDns knows names in any case and with a last dot; types are apart; a question is asked once at a time", async () => {
  let asked = 0;
  const dns = new CachedDns(async () => {
    asked++;
    return ROWS;
  });
  await Promise.all([dns.find("A.Test", "TXT"), dns.find("a.test.", "TXT"), dns.find("a.test", "TXT")]);
  assert.equal(asked, 1);
  await dns.find("a.test", "A");
  assert.equal(asked, 2);
});

test("CachedDns remembers no more than its limit, the last used first, and no large answer", async () => {
  const dns = new CachedDns(
    async name => (name === "large" ? { kind: "rows", rows: [["y".repeat(DNS_LIMITS.answerChars)]] } : ROWS),
    Date.now,
    { ...DNS_LIMITS, entries: 2 },
  );
  for (const name of ["a", "b", "a", "c", "large"]) await dns.find(name, "TXT");
  assert.equal(dns.size, 2);
});

test("CachedDns takes no answer that is larger than its limit", async () => {
  const rows = (chars: number): DnsAnswer => ({ kind: "rows", rows: [["y".repeat(chars)]] });
  const dns = new CachedDns(async name => rows(name === "large" ? DNS_LIMITS.takenChars : 8_000));
  assert.equal((await dns.find("large", "TXT")).kind, "failed");
  assert.equal((await dns.find("small", "TXT")).kind, "rows");
});

test("CachedDns remembers no more characters than its limit, also of names that do not exist", async () => {
  const limits = { ...DNS_LIMITS, chars: 2000 };
  const dns = new CachedDns(
    async name => (name.startsWith("a") ? { kind: "none", code: "ENOTFOUND" } : ROWS),
    Date.now,
    limits,
  );
  for (let i = 0; i < 100; i++) {
    await dns.find(`a${i}.${"a".repeat(200)}`, "TXT");
    await dns.find(`b${i}.test`, "TXT");
    await dns.find("b0.test", "TXT");
    assert.ok(dns.chars <= limits.chars, `${dns.chars}`);
  }
  assert.ok(dns.chars > limits.chars / 2);
});

test("CachedDns asks no more at a time than its limit; what is asked already is waited for", async () => {
  const waiting: ((answer: DnsAnswer) => void)[] = [];
  const ask = () => new Promise<DnsAnswer>(resolve => waiting.push(resolve));
  const dns = new CachedDns(ask, Date.now, { ...DNS_LIMITS, asked: 2 });
  const asked = ["a.test", "b.test", "a.test"].map(name => dns.find(name, "TXT"));
  const over = { kind: "failed", why: "too many questions at a time" };
  assert.deepEqual(await dns.find("c.test", "TXT"), over);
  for (const answer of waiting) answer(ROWS);
  assert.deepEqual(await Promise.all(asked), [ROWS, ROWS, ROWS]);
  assert.equal(waiting.length, 2);
  const later = dns.find("c.test", "TXT");
  waiting[2]?.(ROWS);
  assert.deepEqual(await later, ROWS);
});

test("CachedDns remembers for a moment that nobody answered", async () => {
  const clock = { ms: 0 };
  let asked = 0;
  const ask = () => {
    asked++;
    return new Promise<DnsAnswer>(() => undefined);
  };
  const dns = new CachedDns(ask, () => clock.ms, { ...DNS_LIMITS, queryMs: 5 });
  await dns.find("a.test", "TXT");
  await dns.find("a.test", "TXT");
  assert.equal(asked, 1);
  clock.ms = DNS_LIMITS.failedMs;
  await dns.find("a.test", "TXT");
  assert.equal(asked, 2);
});

test("CachedDns gives up in time, and asks nobody about what is no name", async () => {
  const dns = new CachedDns(() => new Promise(() => undefined), Date.now, { ...DNS_LIMITS, queryMs: 5 });
  assert.deepEqual(await dns.find("a.test", "TXT"), { kind: "failed", why: "no answer in time" });
  for (const name of ["", ".", "a b.test", "a".repeat(300), "ü.test"])
    assert.deepEqual(await dns.find(name, "TXT"), { kind: "none", code: "ENOTFOUND" }, name);
});
