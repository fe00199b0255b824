/** Trusted keys and revocations in a real PostgreSQL: kept, limited, recorded before they change, told to other nodes. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { AuditEntry } from "../../../src/core/ports/audit.ts";
import { generateKey, readPrivateKey, readPublicKey } from "../../../src/plugins/package/keys.ts";
import { readPackage } from "../../../src/plugins/package/read.ts";
import { verifyPackage } from "../../../src/plugins/package/verify.ts";
import { signPackage } from "../../../src/plugins/package/write.ts";
import { forgetPluginKey, revoke, trustPluginKey, unrevoke } from "../../../src/services/plugin-keys.ts";
import type { ServicePorts } from "../../../src/services/ports.ts";
import { StoredPluginKeys } from "../../../src/store/plugin-keys.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { packed } from "../../lib/plugin-archive.ts";

let database: TestDatabase;
let keys: StoredPluginKeys;
let ports: ServicePorts;
const audited: AuditEntry[] = [];
const change = { actor: "local:root", dryRun: false };

before(async () => {
  database = await startTestDatabase();
  keys = new StoredPluginKeys(database.db, silentLog);
  // Of all that services work on, what these use.
  ports = {
    pluginKeys: keys,
    readPublicKey,
    audit: {
      record: async (entry: AuditEntry) => {
        audited.push(entry);
      },
    },
    // What these services use of the ports.
  } as unknown as ServicePorts;
});
after(() => database.stop());

const codeOf = (code: string) => (error: unknown) => error instanceof MairustError && error.code === code;

test("a key is trusted once, makes packages private, and is forgotten; each is in the audit log", async () => {
  const pair = generateKey();
  const made = await trustPluginKey(ports, { pem: pair.publicPem, role: "private", label: "ours" }, change);
  assert.deepEqual(
    [made.id, made.role, made.algorithm, made.addedBy],
    [pair.id, "private", "ed25519", "local:root"],
  );
  const plugin = (
    await signPackage(await readPackage(packed()), readPrivateKey(pair.privatePem), "developer")
  ).package;
  assert.equal(verifyPackage(plugin, await keys.trust()).state, "private");
  const again = trustPluginKey(ports, { pem: pair.publicPem, role: "private", label: "again" }, change);
  await assert.rejects(again, codeOf("already_exists"));
  await forgetPluginKey(ports, pair.id, change);
  assert.equal(verifyPackage(plugin, await keys.trust()).state, "unsigned");
  await assert.rejects(forgetPluginKey(ports, pair.id, change), codeOf("not_found"));
  assert.deepEqual(
    audited.splice(0).map(({ actor, action, object }) => [actor, action, object]),
    [
      ["local:root", "plugin_key.trust", pair.id],
      ["local:root", "plugin_key.forget", pair.id],
    ],
  );
});

test("a dry run changes nothing and records nothing", async () => {
  const pair = generateKey();
  const dry = { ...change, dryRun: true };
  await trustPluginKey(ports, { pem: pair.publicPem, role: "marketplace", label: "m" }, dry);
  await revoke(ports, { kind: "key", value: pair.id }, { severity: "malicious", reason: "x" }, dry);
  assert.deepEqual([await keys.keys(), await keys.revocations(), audited], [[], [], []]);
});

test("weak keys, private keys and RSA for a marketplace are refused", async () => {
  const rsa = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const trusting = (pem: string, role: "marketplace" | "private") =>
    trustPluginKey(ports, { pem, role, label: "x" }, change);
  await assert.rejects(trusting(rsa.publicKey, "marketplace"), /a marketplace signs with Ed25519/);
  await assert.rejects(trusting(rsa.privateKey, "private"), codeOf("plugin_validation"));
  await assert.rejects(trusting("x", "private"), codeOf("plugin_validation"));
  assert.deepEqual(audited, []);
  assert.equal((await trusting(rsa.publicKey, "private")).algorithm, "rsa-sha256");
  audited.length = 0;
});

test("a revocation holds until it is taken back; saying it again changes its reason", async () => {
  const what = { kind: "version", value: "com.example.filter@1.2.3" } as const;
  await revoke(ports, what, { severity: "vulnerable", reason: "CVE-2026-1" }, change);
  await revoke(ports, what, { severity: "malicious", reason: "worse" }, change);
  const plugin = await readPackage(packed());
  const verified = verifyPackage(plugin, await keys.trust());
  assert.deepEqual(
    [verified.state, verified.revocation?.severity, verified.revocation?.reason],
    ["revoked", "malicious", "worse"],
  );
  await unrevoke(ports, what, change);
  assert.equal(verifyPackage(plugin, await keys.trust()).state, "unsigned");
  await assert.rejects(unrevoke(ports, what, change), codeOf("not_found"));
  assert.deepEqual(
    audited.splice(0).map(({ action, object }) => `${action} ${object}`),
    [
      "plugin_revocation.add version:com.example.filter@1.2.3",
      "plugin_revocation.add version:com.example.filter@1.2.3",
      "plugin_revocation.remove version:com.example.filter@1.2.3",
    ],
  );
});

test("a key that was revoked is not trusted before that is taken back", async () => {
  const { id, publicPem } = generateKey();
  const trusting = () => trustPluginKey(ports, { pem: publicPem, role: "private", label: "x" }, change);
  await keys.revoke({ kind: "key", value: id, severity: "malicious", reason: "stolen", by: "local" });
  await assert.rejects(trusting(), /was revoked: stolen/);
  await keys.unrevoke("key", id);
  await trusting();
  await forgetPluginKey(ports, id, change);
  audited.length = 0;
});

test("what cannot be revoked is told, and not recorded", async () => {
  const wrong = [
    { kind: "key", value: "abc" },
    { kind: "package", value: "../x" },
    { kind: "plugin", value: "Filter" },
    { kind: "version", value: "com.example.filter" },
    { kind: "version", value: "com.example.filter@1.x" },
  ] as const;
  for (const what of wrong) {
    const refused = revoke(ports, what, { severity: "malicious", reason: "x" }, change);
    await assert.rejects(refused, codeOf("invalid_argument"), what.value);
  }
  assert.deepEqual(audited, []);
});

test("another node hears of a change", async () => {
  const other = new StoredPluginKeys(await database.open(), silentLog);
  await other.start();
  const heard = new Promise<void>(resolve => other.onChange(resolve));
  await keys.revoke({
    kind: "plugin",
    value: "com.example.bad",
    severity: "malicious",
    reason: "x",
    by: "local",
  });
  await heard;
  assert.deepEqual(
    (await other.trust()).revocations.map(({ value }) => value),
    ["com.example.bad"],
  );
  await other.stop();
});

test("no more keys than the limit, also when many are trusted at once", async () => {
  const add = (i: number) =>
    keys.addKey({
      id: i.toString(16).padStart(64, "0"),
      role: "private",
      algorithm: "ed25519",
      spki: Buffer.alloc(44),
      label: `key ${i}`,
      addedBy: "local",
    });
  const results = await Promise.allSettled(Array.from({ length: 102 }, (_, i) => add(i)));
  assert.equal((await keys.keys()).length, 100);
  const refused = results.filter(result => result.status === "rejected");
  assert.ok(refused.length === 3 && refused.every(({ reason }) => codeOf("too_many")(reason)));
});
