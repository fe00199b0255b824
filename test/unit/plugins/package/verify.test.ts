/** Signatures, keys, and what they are worth: who signed, who is trusted, what was revoked, what was changed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import nacl from "tweetnacl";
import type { PluginTrust, Revocation } from "../../../../src/core/ports/plugin-keys.ts";
import type { PluginPackage } from "../../../../src/core/ports/plugin-packages.ts";
import { generateKey, readPrivateKey, readPublicKey } from "../../../../src/plugins/package/keys.ts";
import { readPackage } from "../../../../src/plugins/package/read.ts";
import { verifySignature } from "../../../../src/plugins/package/signatures.ts";
import { downgradeProblem, signerProblem, verifyPackage } from "../../../../src/plugins/package/verify.ts";
import { signPackage } from "../../../../src/plugins/package/write.ts";
import type { SignatureRole } from "../../../../src/wire/plugin-package.ts";
import { skipUnless } from "../../../lib/not-here.ts";
import { packed, sha256Of } from "../../../lib/plugin-archive.ts";

const rsaPem = (bits: number, publicExponent = 65537) =>
  generateKeyPairSync("rsa", {
    modulusLength: bits,
    publicExponent,
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });

const market = generateKey();
const developer = generateKey();
const other = generateKey();
const rsa = rsaPem(2048);
const folder = mkdtempSync(join(tmpdir(), "mr-keys-"));
let plain: PluginPackage;
before(async () => {
  plain = await readPackage(packed());
});
after(() => rmSync(folder, { recursive: true, force: true }));

const NOBODY: PluginTrust = { keys: [], revocations: [] };

function trusting(
  role: "marketplace" | "private",
  publicPem: string,
  revocations: readonly Revocation[] = [],
): PluginTrust {
  return { keys: [{ ...readPublicKey(publicPem), role, label: `the ${role}` }], revocations };
}

async function signed(
  pem: string,
  role: SignatureRole = "developer",
  plugin = plain,
): Promise<PluginPackage> {
  return (await signPackage(plugin, readPrivateKey(pem), role)).package;
}

/** The package with other bytes in one file, as the reader would never give it. */
function withFile(plugin: PluginPackage, path: string, bytes: Uint8Array): PluginPackage {
  return { ...plugin, files: new Map([...plugin.files, [path, bytes]]) };
}

interface SignatureJson {
  role: string;
  key_id: string;
  algorithm: string;
  signature: string;
  public_key?: string;
}

/** The package with another `manifest.json.sig`. */
function resigned(plugin: PluginPackage, change: (list: SignatureJson[]) => void): PluginPackage {
  const list: SignatureJson[] = JSON.parse(
    Buffer.from(plugin.files.get("manifest.json.sig") ?? "[]").toString(),
  );
  change(list);
  return withFile(plugin, "manifest.json.sig", Buffer.from(`${JSON.stringify(list, null, 2)}\n`));
}

const revoked = (kind: Revocation["kind"], value: string): Revocation => ({
  kind,
  value,
  severity: "malicious",
  reason: "sends mail home",
  by: "local:root",
  at: new Date(0),
});

test("a package that nobody signed is unsigned", () => {
  const { state, detail, developerKey, signers } = verifyPackage(plain, NOBODY);
  assert.deepEqual([state, detail, developerKey, signers], ["unsigned", "nobody signed it", undefined, []]);
});

test("a marketplace that we trust makes it signed, one that we do not know leaves it unsigned", async () => {
  const plugin = await signed(market.privatePem, "marketplace");
  const known = verifyPackage(plugin, trusting("marketplace", market.publicPem));
  assert.deepEqual([known.state, known.signers], ["signed", [market.id]]);
  assert.match(known.detail, /^signed by marketplace key [0-9a-f]{16} \(the marketplace\)$/);
  const unknown = verifyPackage(plugin, NOBODY);
  assert.deepEqual([unknown.state, unknown.signers], ["unsigned", []]);
  assert.match(unknown.detail, /whom this service does not know/);
});

test("a private key that we trust makes it private, Ed25519 and RSA alike", async () => {
  for (const { privatePem, publicPem } of [
    developer,
    { privatePem: rsa.privateKey, publicPem: rsa.publicKey },
  ]) {
    const verified = verifyPackage(await signed(privatePem), trusting("private", publicPem));
    assert.equal(verified.state, "private");
    assert.equal(verified.developerKey, readPublicKey(publicPem).id);
  }
});

test("a developer nobody told us of is known by the key in the package, and leaves it unsigned", async () => {
  for (const { privatePem, id } of [
    developer,
    { privatePem: rsa.privateKey, id: readPublicKey(rsa.publicKey).id },
  ]) {
    const verified = verifyPackage(await signed(privatePem), NOBODY);
    assert.deepEqual([verified.state, verified.developerKey, verified.signers], ["unsigned", id, [id]]);
    assert.match(verified.detail, /signed by developer key .* nobody whom this service trusts/);
  }
});

test("roles are not mixed up: a key signs as what we trust it for, whatever the file says", async () => {
  const asMarket = await signed(developer.privatePem, "marketplace");
  assert.equal(verifyPackage(asMarket, trusting("private", developer.publicPem)).state, "unsigned");
  const asDeveloper = await signed(market.privatePem, "developer");
  assert.equal(verifyPackage(asDeveloper, trusting("marketplace", market.publicPem)).state, "unsigned");
  const renamed = resigned(await signed(developer.privatePem), list => {
    for (const one of list) one.role = "marketplace";
  });
  assert.equal(verifyPackage(renamed, trusting("private", developer.publicPem)).state, "unsigned");
});

test("a signature counts for exactly the bytes of manifest.json that it was made for", async () => {
  const plugin = await signed(market.privatePem, "marketplace");
  const trust = trusting("marketplace", market.publicPem);
  const contents = Buffer.from(plugin.files.get("manifest.json") ?? "");
  for (let at = 0; at < contents.length; at += 13) {
    const changed = Buffer.from(contents);
    changed.writeUInt8((changed[at] ?? 0) ^ 1, at);
    assert.equal(
      verifyPackage(withFile(plugin, "manifest.json", changed), trust).state,
      "modified",
      `byte ${at}`,
    );
  }
});

test("every changed bit of a signature makes the package modified", async () => {
  for (const { pem, role, publicPem } of [
    { pem: market.privatePem, role: "marketplace" as const, publicPem: market.publicPem },
    { pem: rsa.privateKey, role: "developer" as const, publicPem: rsa.publicKey },
  ]) {
    const plugin = await signed(pem, role);
    const trust = trusting(role === "marketplace" ? "marketplace" : "private", publicPem);
    for (let at = 0; at < 64; at += 3) {
      const changed = resigned(plugin, list => {
        for (const one of list) {
          const bytes = Buffer.from(one.signature, "base64");
          bytes.writeUInt8((bytes[at] ?? 0) ^ 0x10, at);
          one.signature = bytes.toString("base64");
        }
      });
      const { state, detail } = verifyPackage(changed, trust);
      assert.equal(state, "modified", `byte ${at}`);
      assert.match(detail, /does not fit its files/);
    }
  }
});

test("a signature that was made for another plugin or for something else does not count", async () => {
  const plugin = await signed(market.privatePem, "marketplace");
  const contents = Buffer.from(plugin.files.get("manifest.json") ?? "");
  const seed = Buffer.from(
    readPrivateKey(market.privatePem).object.export({ format: "jwk" }).d ?? "",
    "base64url",
  );
  const bare = nacl.sign.detached(contents, nacl.sign.keyPair.fromSeed(seed).secretKey);
  const withoutPrefix = resigned(plugin, list => {
    for (const one of list) one.signature = Buffer.from(bare).toString("base64");
  });
  assert.equal(verifyPackage(withoutPrefix, trusting("marketplace", market.publicPem)).state, "modified");
});

test("the key says how a signature is checked: another algorithm in the file is a change", async () => {
  const plugin = resigned(await signed(developer.privatePem), list => {
    for (const one of list) one.algorithm = "rsa-sha256";
  });
  assert.equal(verifyPackage(plugin, trusting("private", developer.publicPem)).state, "modified");
  assert.equal(verifyPackage(plugin, NOBODY).state, "modified");
});

test("a key in the package is the one that is named, or the package is modified", async () => {
  const plugin = await signed(other.privatePem);
  const stolenName = resigned(plugin, list => {
    for (const one of list) one.key_id = developer.id;
  });
  assert.equal(verifyPackage(stolenName, NOBODY).state, "modified");
  assert.equal(verifyPackage(stolenName, trusting("private", developer.publicPem)).state, "modified");
  const noKey = resigned(plugin, list => {
    for (const one of list) one.public_key = "AAAA";
  });
  assert.equal(verifyPackage(noKey, NOBODY).state, "modified");
  const withoutKey = resigned(plugin, list => {
    for (const one of list) delete one.public_key;
  });
  assert.deepEqual(verifyPackage(withoutKey, NOBODY).state, "unsigned");
});

test("a key, a plugin, a version and a package can be revoked, and that goes before everything", async () => {
  const plugin = await signed(
    developer.privatePem,
    "developer",
    await signed(market.privatePem, "marketplace"),
  );
  const cases: readonly (readonly [Revocation, RegExp])[] = [
    [revoked("key", market.id), /^the key that signed it was revoked as malicious: sends mail home$/],
    [revoked("key", developer.id), /^the key that signed it/],
    [revoked("plugin", "com.example.filter"), /^the plugin was revoked/],
    [revoked("version", "com.example.filter@1.2.3"), /^this version was revoked/],
    [revoked("package", plugin.digest), /^this package was revoked/],
  ];
  for (const [revocation, detail] of cases) {
    const verified = verifyPackage(plugin, trusting("marketplace", market.publicPem, [revocation]));
    assert.equal(verified.state, "revoked");
    assert.match(verified.detail, detail);
    assert.equal(verified.revocation, revocation);
  }
  const others = [
    revoked("key", other.id),
    revoked("plugin", "com.example.filter2"),
    revoked("version", "com.example.filter@1.2.4"),
    revoked("package", sha256Of("x")),
  ];
  assert.equal(verifyPackage(plugin, trusting("marketplace", market.publicPem, others)).state, "signed");
});

test("of several revocations the worst counts; as vulnerable it still says what the signature was worth", async () => {
  const plugin = await signed(market.privatePem, "marketplace");
  const bad = revoked("plugin", "com.example.filter");
  const weak: Revocation = { ...revoked("version", "com.example.filter@1.2.3"), severity: "vulnerable" };
  const both = verifyPackage(plugin, trusting("marketplace", market.publicPem, [weak, bad]));
  assert.equal(both.revocation, bad);
  const one = verifyPackage(plugin, trusting("marketplace", market.publicPem, [weak]));
  assert.deepEqual([one.state, one.isVouchedFor], ["revoked", true]);
  const unknown = verifyPackage(plugin, { keys: [], revocations: [weak] });
  assert.deepEqual([unknown.state, unknown.isVouchedFor], ["revoked", false]);
});

test("several sign one package; who signs first does not change it, who signs again replaces", async () => {
  const one = await signed(developer.privatePem, "developer", await signed(market.privatePem, "marketplace"));
  const two = await signed(market.privatePem, "marketplace", await signed(developer.privatePem, "developer"));
  assert.equal(one.digest, two.digest);
  assert.equal((await signed(developer.privatePem, "developer", one)).digest, one.digest);
  const verified = verifyPackage(one, trusting("marketplace", market.publicPem));
  assert.deepEqual(
    [verified.state, verified.developerKey, verified.signers.length],
    ["signed", developer.id, 2],
  );
});

test("of two developers the pinned one is the developer", async () => {
  const both = await signed(other.privatePem, "developer", await signed(developer.privatePem));
  for (const pinned of [developer.id, other.id]) {
    const verified = verifyPackage(both, NOBODY, pinned);
    assert.equal(verified.developerKey, pinned);
    assert.match(verified.detail, /as its first package was/);
  }
});

test("a new developer key needs somebody's word, or a marketplace's or our own signature", async () => {
  const same = verifyPackage(await signed(developer.privatePem), NOBODY);
  const changed = verifyPackage(await signed(other.privatePem), NOBODY);
  const nobody = verifyPackage(plain, NOBODY);
  const vouched = verifyPackage(
    await signed(other.privatePem, "developer", await signed(market.privatePem, "marketplace")),
    trusting("marketplace", market.publicPem),
  );
  const own = verifyPackage(await signed(other.privatePem), trusting("private", other.publicPem));
  for (const verification of [same, vouched, own])
    assert.equal(signerProblem(verification, developer.id), undefined);
  for (const verification of [same, changed, nobody])
    assert.equal(signerProblem(verification, undefined), undefined);
  assert.match(signerProblem(changed, developer.id) ?? "", /this one is signed by key [0-9a-f]{16}$/);
  assert.match(signerProblem(nobody, developer.id) ?? "", /nobody signed this one$/);
});

test("an older version than the highest one needs somebody's word", () => {
  assert.equal(downgradeProblem("1.2.3", undefined), undefined);
  assert.equal(downgradeProblem("1.2.3", "1.2.3"), undefined);
  assert.equal(downgradeProblem("1.10.0", "1.9.0"), undefined);
  assert.match(downgradeProblem("1.2.3-rc.1", "1.2.3") ?? "", /older than 1\.2\.3/);
  assert.match(downgradeProblem("1.9.0", "1.10.0") ?? "", /version 1\.9\.0 is older/);
});

test("weak, unknown, encrypted and private keys are refused with the reason", () => {
  const ec = generateKeyPairSync("ec", {
    namedCurve: "prime256v1",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const small = rsaPem(1024);
  const exponent3 = rsaPem(2048, 3);
  assert.throws(() => readPublicKey(small.publicKey), /1024 bits; of RSA 2048 to 8192/);
  assert.throws(() => readPrivateKey(small.privateKey), /1024 bits/);
  assert.throws(() => readPublicKey(exponent3.publicKey), /its exponent is 3/);
  assert.throws(() => readPublicKey(ec.publicKey), /its type is ec/);
  assert.throws(() => readPublicKey(rsa.privateKey), /it holds a private key/);
  assert.throws(() => readPublicKey("hello"), /no PEM file with "BEGIN PUBLIC KEY"/);
  assert.throws(
    () => readPublicKey("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
    /damaged/,
  );
  assert.throws(() => readPrivateKey(rsa.publicKey), /no PEM file with "BEGIN PRIVATE KEY"/);
  const { privateKey } = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" },
  });
  assert.throws(() => readPrivateKey(privateKey), /it is encrypted/);
});

test("an RSA signature of another padding or digest does not count", async () => {
  const plugin = await signed(rsa.privateKey);
  const contents = plugin.files.get("manifest.json") ?? new Uint8Array(0);
  const key = readPublicKey(rsa.publicKey);
  const { sign, constants } = await import("node:crypto");
  const message = Buffer.concat([Buffer.from("mairust-plugin-v1\0"), contents]);
  const make = (digest: string, padding: number) => sign(digest, message, { key: rsa.privateKey, padding });
  assert.ok(verifySignature(key, contents, make("sha256", constants.RSA_PKCS1_PADDING)));
  assert.ok(!verifySignature(key, contents, make("sha1", constants.RSA_PKCS1_PADDING)));
  assert.ok(!verifySignature(key, contents, make("sha256", constants.RSA_PKCS1_PSS_PADDING)));
  assert.ok(!verifySignature(key, contents, new Uint8Array(0)));
});

test("a marketplace does not sign with RSA", async () => {
  await assert.rejects(signed(rsa.privateKey, "marketplace"), /a marketplace signs with Ed25519/);
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

test("keys and signatures are those of openssl, both ways", {
  skip: skipUnless(hasOpenssl, "no openssl here"),
}, async () => {
  const openssl = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync("openssl", args, { cwd: folder });
    assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  openssl("genpkey", "-algorithm", "ed25519", "-out", "ed.pem");
  openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem");
  writeFileSync(join(folder, "ours.pem"), developer.privatePem);
  const message = Buffer.concat([
    Buffer.from("mairust-plugin-v1\0"),
    plain.files.get("manifest.json") ?? new Uint8Array(0),
  ]);
  writeFileSync(join(folder, "message"), message);
  for (const [name, how] of [
    ["ed", ["-rawin"]],
    ["ours", ["-rawin"]],
    ["rsa", ["-rawin", "-digest", "sha256"]],
  ] as const) {
    openssl("pkey", "-in", `${name}.pem`, "-pubout", "-out", `${name}.pub`);
    const publicPem = readFileSync(join(folder, `${name}.pub`), "utf8");
    const plugin = await signed(readFileSync(join(folder, `${name}.pem`), "utf8"));
    assert.equal(verifyPackage(plugin, trusting("private", publicPem)).state, "private", name);
    // Its name is what openssl and sha256sum say.
    const der = openssl("pkey", "-pubin", "-in", `${name}.pub`, "-outform", "DER");
    assert.equal(readPublicKey(publicPem).id, sha256Of(der), name);
    // We made it, openssl checks it; openssl makes the same.
    const [entry] = JSON.parse(Buffer.from(plugin.files.get("manifest.json.sig") ?? "").toString());
    writeFileSync(join(folder, "signature"), Buffer.from(entry.signature, "base64"));
    openssl(
      "pkeyutl",
      "-verify",
      ...how,
      "-pubin",
      "-inkey",
      `${name}.pub`,
      "-in",
      "message",
      "-sigfile",
      "signature",
    );
    const made = openssl("pkeyutl", "-sign", ...how, "-inkey", `${name}.pem`, "-in", "message");
    assert.equal(made.toString("base64"), entry.signature, name);
  }
});
