/** What makes, signs and checks packages of plugins, as `main.ts` hands it to the commands: it runs in the command's process. */
import type { PluginTrust } from "../core/ports/plugin-keys.ts";
import type { PluginPackage } from "../core/ports/plugin-packages.ts";
import { generateKey, readPrivateKey, readPublicKey } from "../plugins/package/keys.ts";
import { Problems } from "../plugins/package/problems.ts";
import { readPackage } from "../plugins/package/read.ts";
import { type Judged, judgeSignatures, signedOf } from "../plugins/package/verify.ts";
import { type BuiltPackage, packFolder, signPackage } from "../plugins/package/write.ts";
import { MAX_PACKED_BYTES } from "../wire/plugin-package.ts";
import type {
  CheckedSignature,
  MadePackage,
  PackageEngines,
  PackageFacts,
} from "../wire/plugin-package-calls.ts";

export const packageEngines: PackageEngines = {
  maxPackedBytes: MAX_PACKED_BYTES,
  async pack(folder) {
    return madeOf(await packFolder(folder));
  },
  async sign(bytes, keyPem, role) {
    const key = readPrivateKey(keyPem);
    const built = await signPackage(await readPackage(bytes), key, role);
    return { ...madeOf(built), keyId: key.publicKey.id, algorithm: key.publicKey.algorithm };
  },
  async check(bytes, keys) {
    const read = await readPackage(bytes);
    const judged = judgeSignatures(signedOf(read), trustOf(keys), new Problems("Cannot verify"));
    return { facts: factsOf(read, bytes.length), signatures: judged.map(checkedOf) };
  },
  makeKey: generateKey,
  keyId: pem => readPublicKey(pem).id,
};

/** Whoever gives a key says that it may sign as either. */
function trustOf(keys: readonly string[]): PluginTrust {
  const read = keys.map(readPublicKey);
  const roles = ["marketplace", "private"] as const;
  return {
    keys: read.flatMap(key => roles.map(role => ({ ...key, role, label: "given" }))),
    revocations: [],
  };
}

function checkedOf({ signature, verdict, label }: Judged): CheckedSignature {
  const { role, key_id, algorithm } = signature;
  const known = {
    bad: "bad",
    unknown: "unknown key",
    valid: label === "" ? "own key" : "given key",
  } as const;
  return { role, key_id, algorithm, verdict: known[verdict] };
}

function madeOf(built: BuiltPackage): MadePackage {
  const { bytes, leftOut, notes } = built;
  return { bytes, facts: factsOf(built.package, bytes.length), leftOut, notes };
}

function factsOf({ manifest, files, digest }: PluginPackage, packedBytes: number): PackageFacts {
  return {
    id: manifest.id,
    version: manifest.version,
    files: files.size,
    packed_bytes: packedBytes,
    unpacked_bytes: [...files.values()].reduce((sum, { length }) => sum + length, 0),
    sha256: digest,
  };
}
