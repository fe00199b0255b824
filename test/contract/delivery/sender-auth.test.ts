/** Senders at the milter and behind it: real checks over a DNS server of the test, edits, the way of the facts to LMTP and the store. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { DELIVER } from "../../../src/core/merge.ts";
import { dkimRecord } from "../../../src/core/ports/dkim.ts";
import type { MilterDecision, MilterEdit } from "../../../src/core/ports/milter.ts";
import { LibrarySenderAuth } from "../../../src/delivery/sender-auth.ts";
import type { CheckName } from "../../../src/delivery/sender-auth-findings.ts";
import { makeDkimKey } from "../../../src/delivery/sender-auth-keys.ts";
import { KeySigner } from "../../../src/delivery/sender-auth-signer.ts";
import { getMessage, timeline } from "../../../src/store/admin-messages.ts";
import { silentLog } from "../../lib/database.ts";
import { DnsServer } from "../../lib/dns-server.ts";
import { kinds, milterEnvelope, NO_CHECKS, Rig, TEXT, traceOf } from "./rig.ts";

const ALL: readonly CheckName[] = ["spf", "dkim", "dmarc", "arc"];
const PLAIN = "From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n";

let rig: Rig;
let dns: DnsServer;
let auth: LibrarySenderAuth;
let signed: string;
const make = (checks: readonly CheckName[]) =>
  new LibrarySenderAuth({ checks, resolver: [dns.address], authservId: "mx.example.test", log: silentLog });

before(async () => {
  rig = await Rig.start();
  const now = new Date();
  const asked = {
    domain: "example.org",
    selector: "s",
    algorithm: "ed25519-sha256",
    privateKey: undefined,
  } as const;
  const key = await makeDkimKey(asked, now);
  dns = await DnsServer.start({
    "example.org": { TXT: ["v=spf1 ip4:192.0.2.1 -all"] },
    "_dmarc.example.org": { TXT: ["v=DMARC1; p=reject"] },
    "s._domainkey.example.org": { TXT: [dkimRecord(key)] },
    "away.test": { fails: "servfail" },
    "_dmarc.away.test": { fails: "servfail" },
  });
  const bytes = Buffer.from(PLAIN);
  const field = await new KeySigner({ privateKeys: async () => [key] }, () => now).sign("example.org", {
    sizeBytes: bytes.length,
    async *read() {
      yield bytes;
    },
  });
  signed = `${field}${PLAIN}`;
  auth = make(ALL);
});
after(async () => {
  await auth?.stop();
  await dns?.stop();
  await rig?.stop();
});
beforeEach(() => {
  rig.hooks.decisions = {};
  rig.hooks.calls.length = 0;
  rig.hooks.wanted = { headers: true, body: true, hold: true };
  rig.holds.held.length = 0;
  rig.senderAuth = auth;
  rig.signedMail = "refuse";
});

function edits(decision: MilterDecision): readonly MilterEdit[] {
  assert.equal(decision.kind, "accept");
  return decision.kind === "accept" ? decision.edits : [];
}

function ours(decision: MilterDecision): string | undefined {
  const edit = edits(decision).find(
    one => one.kind === "insert_header" && one.name === "Authentication-Results",
  );
  return edit?.kind === "insert_header" ? edit.value : undefined;
}

/** As the MTA has it after the milter. */
function edited(decision: MilterDecision, text: string): string {
  return `${edits(decision)
    .flatMap(one => (one.kind === "insert_header" ? [`${one.name}: ${one.value}\r\n`] : []))
    .join("")}${text}`;
}

const PASSES = [
  "mx.example.test",
  "\tspf=pass smtp.mailfrom=a@example.org",
  /^\tdkim=pass header\.d=example\.org header\.s=s header\.a=ed25519-sha256 header\.b=[A-Za-z0-9+/="]{8,10}$/u,
  "\tdmarc=pass (p=reject) header.from=example.org",
  "\tarc=none",
];

function matches(value: string | undefined, wanted: readonly (string | RegExp)[]): void {
  const lines = (value ?? "").split(";\r\n");
  assert.equal(lines.length, wanted.length, value);
  for (const [i, line] of lines.entries()) {
    const one = wanted[i] ?? "";
    if (typeof one === "string") assert.equal(line, one);
    else assert.match(line, one);
  }
}

test("mail from outside gets our field on top, and the trace field vouches for it; nothing is written", async () => {
  const decision = await rig.ask({ to: ["taro@example.test"], text: signed, queueId: "P1" });
  matches(ours(decision), PASSES);
  assert.match(traceOf(decision) ?? "", /\.n; q=P1; x=\d+; a=[A-Za-z0-9_-]{43}; h=/u);
  assert.deepEqual(await rig.database.db.query`select 1 from events where queue_id = 'P1'`, []);
});

test("a broken body and a client of somebody else are told, and nothing is refused for it", async () => {
  const decision = await rig.ask({
    to: ["taro@example.test"],
    text: `${signed}more\r\n`,
    from: "x@far.test",
  });
  matches(ours(decision), [
    "mx.example.test",
    "\tspf=none smtp.mailfrom=x@far.test",
    /^\tdkim=fail \(body hash did not verify\) header\.d=example\.org /u,
    "\tdmarc=fail (p=reject) header.from=example.org",
    "\tarc=none",
  ]);
});

test("fields that claim our name are gone, each by its number among all of the name; others stay", async () => {
  const forged = [
    "Authentication-Results: other.test; spf=fail",
    "authentication-results:\r\n (a comment) MX.example.TEST 1; dkim=pass header.d=bank.test",
    "Received: from x",
    'Authentication-results: "mx.example.test" ; spf=pass',
    "Authentication-Results: mx.example.test.evil; spf=pass",
    "Authentication-Results: mx.example.test",
  ].join("\r\n");
  const decision = await rig.ask({ to: ["taro@example.test"], text: `${forged}\r\n${TEXT}` });
  const removed = edits(decision).flatMap(one =>
    one.kind === "change_header" ? [[one.index, one.name, one.value]] : [],
  );
  assert.deepEqual(
    removed,
    [2, 3, 5].map(index => [index, "Authentication-Results", ""]),
  );
});

test("a domain in observe has the result in its timeline, and the message stays as it is", async () => {
  const text = `Authentication-Results: mx.example.test; spf=pass\r\n${signed}`;
  const decision = await rig.ask({ to: ["x@watched.test"], text, queueId: "W1" });
  assert.deepEqual(edits(decision), []);
  const events = await eventually(async () => (await timeline(rig.database.db, "W1")).events);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ["received", "authenticated"],
  );
  assert.deepEqual(events[1]?.data.dmarc, { result: "pass", detail: "example.org p=reject" });
});

/** It is written after the answer. */
async function eventually<T>(read: () => Promise<readonly T[]>): Promise<readonly T[]> {
  for (;;) {
    const found = await read().catch(() => []);
    if (found.length > 0) return found;
  }
}

test("mail that is sent, and mail to nobody of ours, is not checked", async () => {
  rig.senderAuth = { ...NO_CHECKS, isOff: false, readsBody: true };
  assert.deepEqual(edits(await rig.ask({ to: ["x@elsewhere.test"] })), []);
  const sent = await rig.ask({ to: ["x@elsewhere.test"], direction: "outbound", from: "taro@example.test" });
  assert.deepEqual(edits(sent), []);
});

test("DNS that fails is temperror, the message passes, and pass where something else passed", async () => {
  const decision = await rig.ask({
    to: ["taro@example.test"],
    from: "a@away.test",
    text: "From: a@away.test\r\n\r\nx\r\n",
  });
  matches(ours(decision), [
    "mx.example.test",
    /^\tspf=temperror \(.+\) smtp\.mailfrom=a@away\.test$/u,
    "\tdkim=none",
    "\tdmarc=temperror (DNS failed) header.from=away.test",
    "\tarc=none",
  ]);
});

test("hooks are told before they decide; LMTP takes the facts over, and the store keeps them", async () => {
  rig.hooks.decisions = { pre_receive: { "*": DELIVER }, pre_delivery: { "*": DELIVER } };
  const to = ["taro@example.test"];
  const decision = await rig.ask({ to, text: signed, queueId: "H1" });
  const text = edited(decision, signed);
  assert.deepEqual(kinds(await rig.deliver({ to, text, queueId: "H1" })), ["stored"]);
  const wanted = {
    spf: { result: "pass", detail: "a@example.org" },
    dkim: { result: "pass", detail: "example.org s=s" },
    dmarc: { result: "pass", detail: "example.org p=reject" },
    arc: { result: "none", detail: null },
  };
  assert.deepEqual(
    rig.hooks.calls.map(({ point, facts }) => [point, facts.senderAuth]),
    [
      ["pre_receive", wanted],
      ["pre_delivery", wanted],
    ],
  );
  assert.deepEqual((await getMessage(rig.database.db, "H1")).senderAuth, wanted);
});

test("LMTP believes no field but the milter's: not another one, not with a digest of its own, not without a trace", async () => {
  const to = ["taro@example.test"];
  const deliver = async (queueId: string, change: (text: string) => string) => {
    const decision = await rig.ask({ to, text: signed, queueId });
    const text = change(edited(decision, signed)).replace("Subject: x", `Subject: ${queueId}`);
    assert.deepEqual(kinds(await rig.deliver({ to, text, queueId })), ["stored"]);
    return (await getMessage(rig.database.db, queueId)).senderAuth;
  };
  assert.equal((await deliver("B1", text => text))?.spf.result, "pass");
  assert.equal(await deliver("B2", text => text.replace("spf=pass", "spf=none")), undefined);
  assert.equal(await deliver("B3", text => text.replace(/ a=[^;]*;/u, "")), undefined);
  assert.equal(await deliver("B4", text => text.replace(/X-MaiRust-Trace: .*\r\n/u, "")), undefined);
});

test("what cannot be kept costs nobody the message", async () => {
  const decider = rig.decider({ limits: () => ({ messageBytes: 10, mime: { depth: 300, parts: 3000 } }) });
  const decision = await rig.ask({ to: ["taro@example.test"], text: signed }, decider);
  matches(ours(decision), [
    "mx.example.test",
    "\tspf=temperror (not checked)",
    "\tdkim=temperror (not checked)",
    "\tdmarc=temperror (not checked)",
    "\tarc=temperror (not checked)",
  ]);
});

test("a signature that forbids further fields of the name keeps ours out, unless edits are allowed", async () => {
  const text = `DKIM-Signature: v=1; d=x.test; h=from:authentication-results; bh=A; b=B\r\n${TEXT}`;
  assert.equal(ours(await rig.ask({ to: ["taro@example.test"], text })), undefined);
  rig.signedMail = "allow";
  assert.notEqual(ours(await rig.ask({ to: ["taro@example.test"], text })), undefined);
});

test("only what the checks read is asked for; SPF and DMARC need no body", async () => {
  const needs = (checks: readonly CheckName[]) => {
    const one = make(checks);
    return rig.decider({ senderAuth: one }).needs();
  };
  assert.equal(needs(["spf", "dmarc"]).body, false);
  assert.equal(needs(["arc"]).body, true);
  assert.equal(rig.decider({ senderAuth: NO_CHECKS }).needs().body, false);
  rig.senderAuth = make(["spf", "dmarc"]);
  try {
    const decision = await rig.ask({ to: ["taro@example.test"], text: PLAIN, content: "headers" });
    matches(ours(decision), [
      "mx.example.test",
      "\tspf=pass smtp.mailfrom=a@example.org",
      "\tdmarc=pass (p=reject) header.from=example.org",
    ]);
  } finally {
    await (rig.senderAuth as LibrarySenderAuth).stop();
  }
});

test("a client of this host is none that SPF could be asked about", async () => {
  const message = rig
    .decider()
    .open({ ...milterEnvelope({ to: ["taro@example.test"] }), client: { address: "127.0.0.1" } });
  message.write(Buffer.from(PLAIN));
  const decision = await message.decide([], {
    remainingMs: () => 5000,
    signal: new AbortController().signal,
  });
  assert.match(ours(decision) ?? "", /\tspf=none \(client not known\) smtp\.mailfrom=a@example\.org;/u);
});
