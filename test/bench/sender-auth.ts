/**
 * Checks of senders where DNS is slow: SPF with an include, DKIM, DMARC, each message of a domain of its own, so that nothing is
 * remembered. And what fifty messages of 25 MB at once take of memory, in the same process.
 */
import { dkimRecord } from "../../src/core/ports/dkim.ts";
import type { AuthSubject } from "../../src/core/ports/sender-auth.ts";
import { LibrarySenderAuth } from "../../src/delivery/sender-auth.ts";
import { makeDkimKey } from "../../src/delivery/sender-auth-keys.ts";
import { KeySigner } from "../../src/delivery/sender-auth-signer.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { silentLog } from "../lib/database.ts";
import { DnsServer, type Zone } from "../lib/dns-server.ts";
import { peakOf, resetPeak } from "./lib/process-memory.ts";
import { report } from "./lib/rounds.ts";

const DNS_MS = 300;
const MESSAGES = 2000;
/** What the milter's connections could ask at a time. */
const AT_ONCE = [50, 200, 500];
const CHAIN_MS = 15_000;
const SIZE_BYTES = 4096;
const CLIENT = { address: "192.0.2.1", helo: "mail.example" };
const LARGE_BYTES = 25 * 1024 * 1024;
const LARGE_AT_ONCE = 50;
/** What the checks take of it is measured. */
const LARGE_MS = 600_000;
const LINE = Buffer.from(`${"x".repeat(76)}\r\n`);

export async function benchSenderAuth(): Promise<void> {
  const now = new Date();
  const asked = {
    domain: "any.example",
    selector: "s",
    algorithm: "ed25519-sha256",
    privateKey: undefined,
  } as const;
  const key = await makeDkimKey(asked, now);
  const signer = new KeySigner({ privateKeys: async () => [key] }, () => now);
  const domains = Array.from({ length: MESSAGES }, (_, i) => `d${i}.example`);
  const dns = await DnsServer.start(zoneOf([...domains, "any.example"], dkimRecord(key)));
  try {
    const mails = await Promise.all(domains.map(domain => signed(domain, signer)));
    for (const atOnce of AT_ONCE) await measure(dns, mails, atOnce);
  } finally {
    await dns.stop();
  }
}

function zoneOf(domains: readonly string[], key: string): Zone {
  return Object.fromEntries(
    domains.flatMap(domain => [
      [domain, { TXT: [`v=spf1 include:_spf.${domain} -all`] }],
      [`_spf.${domain}`, { TXT: ["v=spf1 ip4:192.0.2.0/24 -all"] }],
      [`s._domainkey.${domain}`, { TXT: [key] }],
      [`_dmarc.${domain}`, { TXT: ["v=DMARC1; p=reject"] }],
    ]),
  );
}

async function signed(domain: string, signer: KeySigner): Promise<AuthSubject> {
  const head = `From: a@${domain}\r\nSubject: x\r\n\r\n`;
  const plain = Buffer.concat([Buffer.from(head), ...lines(SIZE_BYTES)]);
  const content = (bytes: Buffer) => ({
    sizeBytes: bytes.length,
    async *read() {
      yield bytes;
    },
  });
  const field = await signer.sign(domain, content(plain));
  const bytes = Buffer.concat([Buffer.from(field), plain]);
  return { client: CLIENT, mailFrom: `a@${domain}`, content: content(bytes) };
}

function lines(bytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes / LINE.length) }, () => LINE);
}

/** In a service of its own: the threads start within the figure, and nothing is remembered. */
async function measure(dns: DnsServer, mails: readonly AuthSubject[], atOnce: number): Promise<void> {
  const auth = open(dns);
  const times: number[] = [];
  const results = { pass: 0, temperror: 0, other: 0 };
  const startedAt = performance.now();
  let next = 0;
  const client = async () => {
    for (let mail = mails[next++]; mail !== undefined; mail = mails[next++]) {
      const deadline = deadlineAfter(CHAIN_MS);
      const began = performance.now();
      const { facts } = await auth.check(mail, deadline);
      deadline.dispose();
      times.push(performance.now() - began);
      const all = [facts.spf.result, facts.dkim.result, facts.dmarc.result];
      const isPass = all.every(result => result === "pass");
      results[isPass ? "pass" : all.includes("temperror") ? "temperror" : "other"]++;
    }
  };
  dns.delayMs = DNS_MS;
  await Promise.all(Array.from({ length: atOnce }, client));
  const seconds = (performance.now() - startedAt) / 1000;
  dns.delayMs = 0;
  await auth.stop();
  times.sort((a, b) => a - b);
  report("sender-auth", {
    unit: "messages/s",
    dns_ms: DNS_MS,
    messages: mails.length,
    at_once: atOnce,
    per_second: mails.length / seconds,
    ...results,
    p50_ms: times[Math.floor(times.length * 0.5)],
    p99_ms: times[Math.floor(times.length * 0.99)],
  });
}

/** What is not checked within its time is `temperror`; the memory is what counts. */
export async function benchLargeSenders(): Promise<void> {
  const dns = await DnsServer.start({});
  const auth = open(dns);
  const piece = Buffer.concat(lines(256 * 1024));
  const head = Buffer.from(
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=any.example; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: a@any.example\r\n\r\n",
  );
  const subject: AuthSubject = {
    ...{ client: CLIENT, mailFrom: "a@any.example" },
    content: {
      sizeBytes: LARGE_BYTES,
      async *read() {
        yield head;
        // A file's bytes are in new memory each time.
        for (let at = 0; at < LARGE_BYTES; at += piece.length) yield Buffer.from(piece);
      },
    },
  };
  resetPeak(process.pid);
  const before = peakOf(process.pid);
  const startedAt = performance.now();
  const deadline = deadlineAfter(LARGE_MS);
  const all = await Promise.all(Array.from({ length: LARGE_AT_ONCE }, () => auth.check(subject, deadline)));
  deadline.dispose();
  const seconds = (performance.now() - startedAt) / 1000;
  const peak = peakOf(process.pid);
  await auth.stop();
  await dns.stop();
  report("sender-auth 50 × 25 MB", {
    unit: "MiB",
    rss_before: before,
    peak_rss: peak,
    grown: peak - before,
    seconds,
    checked: all.filter(({ facts }) => facts.dkim.result === "fail").length,
    temperror: all.filter(({ facts }) => facts.dkim.result === "temperror").length,
  });
}

function open(dns: DnsServer): LibrarySenderAuth {
  return new LibrarySenderAuth({
    checks: ["spf", "dkim", "dmarc", "arc"],
    resolver: [dns.address],
    authservId: "mx.example",
    log: silentLog,
  });
}
