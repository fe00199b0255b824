/**
 * What we say of senders against dkimpy, pyspf and authheaders, with a DNS server of our own: they sign and we verify, we sign and they
 * verify, over the corpus. Where both differ on purpose is a list, and each of its lines must still happen.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { after, before, test } from "node:test";
import { dkimRecord } from "../../../src/core/ports/dkim.ts";
import { dmarcFinding } from "../../../src/delivery/sender-auth-dmarc.ts";
import { askServers, CachedDns } from "../../../src/delivery/sender-auth-dns.ts";
import { evaluate } from "../../../src/delivery/sender-auth-evaluate.ts";
import type { CheckName, Findings, Resolve } from "../../../src/delivery/sender-auth-findings.ts";
import { makeDkimKey } from "../../../src/delivery/sender-auth-keys.ts";
import { KeySigner } from "../../../src/delivery/sender-auth-signer.ts";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { DnsServer, type Zone } from "../../lib/dns-server.ts";
import { PythonSenderAuth, type PythonSigning } from "../../lib/python-sender-auth.ts";
import { SPF_CASES, SPF_ZONE } from "./spf-cases.ts";

const DOMAIN = "signer.example";
/** Short: Python's own arithmetic signs. */
const RSA = generateKeyPairSync("rsa", { modulusLength: 1024 });
const ED25519 = generateKeyPairSync("ed25519");
const SHORT = generateKeyPairSync("rsa", { modulusLength: 768 });

const rsaPem = (key: KeyObject) => key.export({ type: "pkcs1", format: "pem" }).toString();
const p = (key: KeyObject) => key.export({ type: "spki", format: "der" }).toString("base64");
const ed25519P = ED25519.publicKey.export({ type: "spki", format: "der" }).subarray(12).toString("base64");
const ed25519Seed = ED25519.privateKey
  .export({ type: "pkcs8", format: "der" })
  .subarray(-32)
  .toString("base64");

/** Records of one key, by selector: what they allow differs. */
const KEYS: Readonly<Record<string, string>> = {
  good: `v=DKIM1; k=rsa; p=${p(RSA.publicKey)}`,
  bare: `p=${p(RSA.publicKey)}`,
  testing: `v=DKIM1; t=y; p=${p(RSA.publicKey)}`,
  revoked: "v=DKIM1; k=rsa; p=",
  broken: "v=DKIM1; k=rsa; p=AAAA",
  version: `v=DKIM2; p=${p(RSA.publicKey)}`,
  type: `v=DKIM1; k=dsa; p=${p(RSA.publicKey)}`,
  sha1: `v=DKIM1; h=sha1; p=${p(RSA.publicKey)}`,
  service: `v=DKIM1; s=tlsrpt; p=${p(RSA.publicKey)}`,
  short: `v=DKIM1; p=${p(SHORT.publicKey)}`,
  ed: `v=DKIM1; k=ed25519; p=${ed25519P}`,
};

const ZONE: Zone = {
  ...Object.fromEntries(
    Object.entries(KEYS).map(([selector, text]) => [`${selector}._domainkey.${DOMAIN}`, { TXT: [text] }]),
  ),
  [`away._domainkey.${DOMAIN}`]: { fails: "silent" },
  ...SPF_ZONE,
};

let dns: DnsServer;
let python: PythonSenderAuth | undefined;
let resolve: Resolve;

before(async () => {
  dns = await DnsServer.start(ZONE);
  python = await PythonSenderAuth.start(dns.port);
  const cached = new CachedDns(askServers([dns.address]), Date.now);
  resolve = async (name, type) => {
    const answer = await cached.find(name, type as "TXT");
    if (answer.kind === "rows") return answer.rows;
    throw Object.assign(new Error(name), { code: answer.kind === "none" ? answer.code : "ETIMEOUT" });
  };
});
after(async () => {
  await python?.stop();
  await dns?.stop();
});

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 4096) yield bytes.subarray(at, at + 4096);
}

function check(message: Buffer, checks: readonly CheckName[] = ["dkim", "arc"]): Promise<Findings> {
  return evaluate({ checks, mailFrom: "", mta: "mx.test" }, pieces(message), resolve);
}

/** pass, temperror, or anything else that is no pass. */
const outcome = (text: string) => (text === "pass" || text === "temperror" ? text : "no pass");

/** Where we differ from dkimpy, by what was done to the message. */
const DIFFERS: Readonly<
  Record<string, { readonly ours: string; readonly theirs: string; readonly why: string }>
> = {
  "key of another hash": {
    ours: "no pass",
    theirs: "pass",
    why: "RFC 6376 §3.6.1: h= of the record lists the hashes that may be used; dkimpy does not look at it",
  },
};

interface Variant {
  readonly name: string;
  readonly signing: Partial<PythonSigning>;
  readonly change?: (signed: Buffer) => Buffer;
}

const text = (bytes: Buffer, change: (all: string) => string) =>
  Buffer.from(change(bytes.toString("latin1")), "latin1");
const end = (all: string) => all.indexOf("\r\n\r\n") + 4;

const VARIANTS: readonly Variant[] = [
  { name: "relaxed", signing: { header: "relaxed", body: "relaxed" } },
  { name: "simple", signing: { header: "simple", body: "simple" } },
  { name: "relaxed header, simple body", signing: { header: "relaxed", body: "simple" } },
  { name: "simple header, relaxed body", signing: { header: "simple", body: "relaxed" } },
  { name: "Ed25519", signing: { selector: "ed", ed25519: true, key: ed25519Seed } },
  { name: "key without v= and k=", signing: { selector: "bare" } },
  { name: "key in testing", signing: { selector: "testing" } },
  { name: "with l=", signing: { length: true } },
  {
    name: "with l=, and more text",
    signing: { length: true },
    change: signed => Buffer.concat([signed, Buffer.from("more\r\n")]),
  },
  {
    name: "more text",
    signing: {},
    change: signed => Buffer.concat([signed, Buffer.from("more\r\n")]),
  },
  {
    name: "empty lines at the end",
    signing: { body: "simple" },
    change: signed => Buffer.concat([signed, Buffer.from("\r\n\r\n")]),
  },
  {
    name: "blanks at the end of lines, relaxed",
    signing: { body: "relaxed" },
    change: signed =>
      text(signed, all => all.slice(0, end(all)) + all.slice(end(all)).replaceAll("\r\n", " \t\r\n")),
  },
  {
    name: "blanks at the end of lines, simple",
    signing: { body: "simple" },
    change: signed =>
      text(signed, all => all.slice(0, end(all)) + all.slice(end(all)).replaceAll("\r\n", " \r\n")),
  },
  {
    name: "From in another case and folded, relaxed",
    signing: { header: "relaxed" },
    change: signed => text(signed, all => all.replace(/^from:[ \t]*/imu, "FROM:\r\n  ")),
  },
  {
    name: "From in another case, simple",
    signing: { header: "simple" },
    change: signed => text(signed, all => all.replace(/^from:/imu, "fROM:")),
  },
  {
    name: "another From",
    signing: {},
    change: signed => text(signed, all => all.replace(/^from:.*$/imu, "From: other@attacker.example")),
  },
  {
    name: "a second From below",
    signing: {},
    change: signed =>
      text(signed, all => all.replace("\r\n\r\n", "\r\nFrom: other@attacker.example\r\n\r\n")),
  },
  {
    name: "a field that is not signed",
    signing: { names: ["from"] },
    change: signed => Buffer.concat([Buffer.from("X-Other: x\r\n"), signed]),
  },
  {
    name: "broken signature",
    signing: {},
    change: signed =>
      text(signed, all =>
        all.replace(/(\bb=\s*)([A-Za-z0-9+/])/u, (_, b, c) => `${b}${c === "A" ? "B" : "A"}`),
      ),
  },
  {
    name: "no bh=",
    signing: {},
    change: signed => text(signed, all => all.replace(/\bbh=[^;]*;/u, "")),
  },
  {
    name: "a tag twice",
    signing: {},
    change: signed => text(signed, all => all.replace(/\bv=1;/u, "v=1; v=1;")),
  },
  {
    name: "unknown version",
    signing: {},
    change: signed => text(signed, all => all.replace(/\bv=1;/u, "v=2;")),
  },
  {
    name: "unknown algorithm",
    signing: {},
    change: signed => text(signed, all => all.replace("a=rsa-sha256", "a=rsa-sha512")),
  },
  {
    name: "no such selector",
    signing: {},
    change: signed => text(signed, all => all.replace("s=good", "s=none")),
  },
  { name: "key revoked", signing: { selector: "revoked" } },
  { name: "key broken", signing: { selector: "broken" } },
  { name: "key of another version", signing: { selector: "version" } },
  { name: "key of another type", signing: { selector: "type" } },
  { name: "key of another hash", signing: { selector: "sha1" } },
  { name: "key of another service", signing: { selector: "service" } },
  { name: "key too short", signing: { selector: "short", key: rsaPem(SHORT.privateKey) } },
];

const PLAIN: PythonSigning = {
  domain: DOMAIN,
  selector: "good",
  key: rsaPem(RSA.privateKey),
  header: "relaxed",
  body: "relaxed",
};

/**
 * Messages of the corpus that dkimpy takes: a From, lines of fields only.
 * @param nth  of them each nth: Python takes its time, and all of them (1056) were the same too
 */
function signable(nth: number): readonly { readonly name: string; readonly bytes: Buffer }[] {
  return readCorpus()
    .map(({ name, bytes }) => ({ name, bytes: text(bytes, all => all.replace(/^From .*\r\n/u, "")) }))
    .filter(({ bytes }) => bytes.length < 200_000 && hasOneFrom(bytes))
    .filter((_, i) => i % nth === 0);
}

function hasOneFrom(bytes: Buffer): boolean {
  const all = bytes.toString("latin1");
  const head = all.slice(0, all.indexOf("\r\n\r\n") + 2);
  const isHeader = /^(?:[!-9;-~]+:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*)+$/u.test(head);
  return (
    isHeader && [...head.matchAll(/^from:/gimu)].length === 1 && !/[\r\0]/u.test(all.replaceAll("\r\n", ""))
  );
}

test("they sign, we verify: message by message the same as dkimpy, but for the list", async t => {
  if (python === undefined || !corpusThere()) return t.skip("no peer, or no corpus");
  const messages = signable(6);
  assert.ok(messages.length > 150, `${messages.length}`);
  const wrong: string[] = [];
  const seen = new Set<string>();
  let compared = 0;
  for (const [i, { name, bytes }] of messages.entries()) {
    const variant = VARIANTS[i % VARIANTS.length] as Variant;
    const { names = [], ...signing } = variant.signing;
    const field = await python.sign(bytes, { ...PLAIN, ...signing, names }).catch(() => undefined);
    if (field === undefined) continue;
    const signed = Buffer.concat([field, bytes]);
    const message = variant.change?.(signed) ?? signed;
    const theirs = (await python.verify(message)).dkim.map(outcome);
    const ours = ((await check(message)).dkim ?? []).map(({ result }) => outcome(result));
    compared++;
    const differs = DIFFERS[variant.name];
    const [known, knownTheirs] = [differs?.ours, differs?.theirs];
    if (differs !== undefined && ours[0] === known && theirs[0] === knownTheirs) seen.add(variant.name);
    else if (ours.join() !== theirs.join())
      wrong.push(`${name}, ${variant.name}: we ${ours}, they ${theirs}`);
  }
  t.diagnostic(`${compared} messages compared`);
  assert.deepEqual(wrong, []);
  assert.deepEqual([...seen].sort(), Object.keys(DIFFERS).sort(), "a difference that is no more");
});

test("we sign, they verify: every message of the corpus passes, and none after a change", async t => {
  if (python === undefined || !corpusThere()) return t.skip("no peer, or no corpus");
  const now = new Date();
  const asked = { domain: DOMAIN, privateKey: undefined };
  const rsa = await makeDkimKey({ ...asked, selector: "ours", algorithm: "rsa-sha256" }, now);
  const ed = await makeDkimKey({ ...asked, selector: "ours-ed", algorithm: "ed25519-sha256" }, now);
  dns.zone = {
    ...ZONE,
    [`ours._domainkey.${DOMAIN}`]: { TXT: [dkimRecord(rsa)] },
    [`ours-ed._domainkey.${DOMAIN}`]: { TXT: [dkimRecord(ed)] },
  };
  const signer = new KeySigner({ privateKeys: async () => [rsa, ed] }, () => now);
  const wrong: string[] = [];
  const messages = signable(24);
  for (const [i, { name, bytes }] of messages.entries()) {
    const fields = await signer.sign(DOMAIN, { sizeBytes: bytes.length, read: () => pieces(bytes) });
    const signed = Buffer.concat([Buffer.from(fields, "latin1"), bytes]);
    const isChanged = i % 2 === 1;
    const message = isChanged ? text(signed, all => all.replace(/^from:/imu, "From: x@y.example,")) : signed;
    const theirs = (await python.verify(message)).dkim.map(outcome);
    const ours = ((await check(message)).dkim ?? []).slice(0, 2).map(({ result }) => outcome(result));
    const wanted = isChanged ? ["no pass", "no pass"] : ["pass", "pass"];
    if (theirs.slice(0, 2).join() !== wanted.join()) wrong.push(`${name}: they ${theirs}`);
    if (ours.join() !== wanted.join()) wrong.push(`${name}: we ${ours}`);
  }
  t.diagnostic(`${messages.length} messages signed`);
  assert.deepEqual(wrong, []);
});

test("ARC: chains of one to three sets, whole and broken, the same as dkimpy", async t => {
  if (python === undefined || !corpusThere()) return t.skip("no peer, or no corpus");
  const wrong: string[] = [];
  const results: string[] = [];
  for (const [i, { name, bytes }] of signable(60).entries()) {
    let message = bytes;
    for (let set = 0; set <= i % 3; set++) {
      const said = set === 0 ? "dkim=pass header.d=a.example" : "arc=pass";
      const fields = await python.seal(
        message,
        DOMAIN,
        "good",
        rsaPem(RSA.privateKey),
        `mx${set}.example; ${said}`,
      );
      message = Buffer.concat([fields, message]);
    }
    if (i % 4 === 1) message = Buffer.concat([message, Buffer.from("more\r\n")]);
    if (i % 4 === 3)
      message = text(message, all => all.replace(/^(ARC-Authentication-Results:.*)pass/imu, "$1fail"));
    const theirs = (await python.verify(message)).arc;
    const ours = (await check(message)).arc?.result;
    results.push(theirs);
    if (ours !== theirs) wrong.push(`${name} (${i}): we ${ours}, they ${theirs}`);
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual([...new Set(results)].sort(), ["fail", "pass"]);
});

test("a server that does not answer is temperror; dkimpy tells it from a wrong signature in its log alone", async t => {
  if (python === undefined) return t.skip("no peer");
  const bytes = Buffer.from("From: a@signer.example\r\nSubject: x\r\n\r\nbody\r\n");
  const field = await python.sign(bytes, { ...PLAIN, selector: "away" });
  const message = Buffer.concat([field, bytes]);
  assert.deepEqual((await python.verify(message)).dkim, ["fail"]);
  assert.deepEqual(
    (await check(message, ["dkim"])).dkim?.map(({ result }) => result),
    ["temperror"],
  );
});

const POLICIES: Readonly<Record<string, string>> = {
  "relaxedtest.com": "v=DMARC1; p=reject",
  "stricttest.co.jp": "v=DMARC1; p=quarantine; adkim=s; aspf=s",
  "mixedtest.org": "v=DMARC1; p=none; sp=reject; adkim=s; aspf=r",
};

test("DMARC: policies, who passed and who is aligned, the same as authheaders", async t => {
  if (python === undefined) return t.skip("no peer");
  dns.zone = {
    ...ZONE,
    ...Object.fromEntries(
      Object.entries(POLICIES).map(([name, record]) => [`_dmarc.${name}`, { TXT: [record] }]),
    ),
    "_dmarc.twicetest.com": { TXT: ["v=DMARC1; p=reject", "v=DMARC1; p=none"] },
  };
  const { dmarc } = await import("mailauth/lib/dmarc/index.js");
  // The library as it is, whatever its declarations ask for and promise.
  const library = (options: object) => dmarc(options as never) as never;
  const wrong: string[] = [];
  const results = new Set<string>();
  const organizations = [...Object.keys(POLICIES), "twicetest.com", "unknowntest.com"];
  for (const organization of organizations) {
    for (const from of [organization, `sub.${organization}`]) {
      for (const passed of [organization, `sub.${organization}`, `other.${organization}`, "fartest.com"]) {
        for (const method of ["spf", "dkim", "none"] as const) {
          const message = Buffer.from(`From: A <a@${from}>\r\n\r\n`);
          const of = (name: string) =>
            ({ result: name === method ? "pass" : "fail", domain: passed }) as const;
          const theirs = await python.dmarc(message, of("spf"), of("dkim"));
          const spf = { ...of("spf"), identity: "mailfrom", value: `x@${passed}` } as const;
          const dkim = [{ ...of("dkim"), selector: "s", algorithm: "rsa-sha256", b: "" }];
          const ours = await dmarcFinding([`a@${from}`], spf, dkim, library, resolve);
          results.add(ours.result);
          if (ours.result !== theirs)
            wrong.push(`${from} ${method} ${passed}: we ${ours.result}, they ${theirs}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual([...results].sort(), ["fail", "none", "pass"]);
});

test("SPF: each case as RFC 7208 has it, and the same as pyspf, but for the list", async t => {
  const wrong: string[] = [];
  for (const { name, ip, from, helo, wanted, ours: known } of SPF_CASES) {
    const subject = { checks: ["spf"], mailFrom: from, mta: "mx.test", ip, helo } as const;
    const ours = (await evaluate(subject, pieces(Buffer.alloc(0)), resolve)).spf;
    if (ours?.result !== (known?.result ?? wanted)) wrong.push(`${name}: we ${ours?.result} (${ours?.why})`);
    if (python === undefined) continue;
    const theirs = await python.spf(ip, from, helo);
    if (theirs !== wanted) wrong.push(`${name}: they ${theirs}`);
  }
  if (python === undefined) t.diagnostic("without pyspf");
  assert.deepEqual(wrong, []);
});
