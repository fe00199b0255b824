/**
 * Checks of senders where DNS is slow: SPF with an include, DKIM, DMARC, each message of a domain of its own, so that nothing is
 * remembered. And what fifty messages of 25 MB at once take of memory.
 */
import { once } from "node:events";
import { join } from "node:path";
import { dkimRecord } from "../../src/core/ports/dkim.ts";
import type { AuthSubject } from "../../src/core/ports/sender-auth.ts";
import { LibrarySenderAuth } from "../../src/delivery/sender-auth.ts";
import { makeDkimKey } from "../../src/delivery/sender-auth-keys.ts";
import { KeySigner } from "../../src/delivery/sender-auth-signer.ts";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { silentLog } from "../lib/database.ts";
import { DnsServer, type Zone } from "../lib/dns-server.ts";
import { MilterClient } from "../lib/milter-client.ts";
import * as p from "../lib/milter-packets.ts";
import { startSidecar } from "../lib/sidecar.ts";
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
/** As many whole lines as Postfix sends at a time. */
const MILTER_CHUNK = Math.floor(65_535 / 78) * 78;
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

/** All of them through the milter of the service. What is not checked within its time is `temperror`; the memory is what counts. */
export async function benchLargeSenders(): Promise<void> {
  const scratch = await makeScratch();
  const dns = await DnsServer.start({});
  const port = await freePort();
  const sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    logLevel: "warn",
    milterListen: `inet:127.0.0.1:${port}`,
    toml: `[sender_auth]\nresolver = ["${dns.address}"]\n`,
  });
  try {
    resetPeak(sidecar.pid);
    const before = peakOf(sidecar.pid);
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: LARGE_AT_ONCE }, () => sendLarge(port)));
    const seconds = (performance.now() - startedAt) / 1000;
    const checked = answers.filter(answer => answer.includes("dkim=fail")).length;
    report("sender-auth 50 × 25 MB", {
      ...{ unit: "MiB", idle: before, peak_rss: peakOf(sidecar.pid), must: 300 },
      ...{ seconds, checked, temperror: LARGE_AT_ONCE - checked },
    });
  } finally {
    await sidecar.stop();
    await dns.stop();
    await scratch.remove();
  }
}

/** @returns all that was answered to its end */
async function sendLarge(port: number): Promise<string> {
  const client = await MilterClient.open({ host: "127.0.0.1", port });
  const mail = "<a@any.example>";
  await client.event("M", p.macros("M", {}), p.mail(mail));
  const to = "user@example.test";
  await client.event("R", p.macros("R", { "{rcpt_addr}": to }), p.rcpt(`<${to}>`));
  await client.event("T", p.macros("T", { i: "QID" }), p.data());
  const tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=any.example; s=s; h=from; bh=AAAA; b=AAAA";
  await client.event("L", p.header("DKIM-Signature", ` ${tags}`));
  await client.event("L", p.header("From", " a@any.example"));
  await client.event("N", p.eoh());
  const piece = Buffer.concat(lines(MILTER_CHUNK)).subarray(0, MILTER_CHUNK).toString();
  for (let sent = 0; sent < LARGE_BYTES; sent += piece.length) {
    await client.event("B", p.body(piece));
    if (client.socket.writableNeedDrain) await once(client.socket, "drain");
  }
  client.write(p.macros("E", { i: "QID" }), p.eom());
  const answers = await client.end();
  client.quit();
  return answers.join("\n");
}

function open(dns: DnsServer): LibrarySenderAuth {
  return new LibrarySenderAuth({
    checks: ["spf", "dkim", "dmarc", "arc"],
    resolver: [dns.address],
    authservId: "mx.example",
    log: silentLog,
  });
}
