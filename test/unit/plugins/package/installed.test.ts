/** Unpacking, and looking at what was unpacked again: nothing half, nothing over what is there, every change found. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MairustError } from "../../../../src/core/errors.ts";
import type { PluginTrust } from "../../../../src/core/ports/plugin-keys.ts";
import type { PluginPackage } from "../../../../src/core/ports/plugin-packages.ts";
import { installedOf, verifyFolder } from "../../../../src/plugins/package/installed.ts";
import { generateKey, readPrivateKey, readPublicKey } from "../../../../src/plugins/package/keys.ts";
import { readPackage } from "../../../../src/plugins/package/read.ts";
import { removeUnfinished, unpackPackage } from "../../../../src/plugins/package/unpack.ts";
import { signPackage } from "../../../../src/plugins/package/write.ts";
import { packed } from "../../../lib/plugin-archive.ts";

const root = mkdtempSync(join(tmpdir(), "mr-unpack-"));
const key = generateKey();
const trust: PluginTrust = {
  keys: [{ ...readPublicKey(key.publicPem), role: "private", label: "ours" }],
  revocations: [],
};
let plugin: PluginPackage;
let folders = 0;
before(async () => {
  plugin = (await signPackage(await readPackage(packed()), readPrivateKey(key.privatePem), "developer"))
    .package;
});
after(() => rmSync(root, { recursive: true, force: true }));

async function unpacked(): Promise<string> {
  const folder = join(root, `p${folders++}`, "1.2.3");
  await unpackPackage(plugin, folder);
  return folder;
}

const look = (folder: string) => verifyFolder(folder, installedOf(plugin), trust);
const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

test("a package is unpacked byte for byte; everybody may read it, only its owner may write it", async () => {
  // Whatever the service was started with.
  const umask = process.umask(0o077);
  try {
    const folder = await unpacked();
    for (const [path, bytes] of plugin.files)
      assert.deepEqual(readFileSync(join(folder, path)), Buffer.from(bytes), path);
    assert.deepEqual(
      ["", "server", "plugin.toml", "manifest.json.sig", "server/main.sh"].map(path =>
        modeOf(join(folder, path)),
      ),
      ["755", "755", "644", "644", "755"],
    );
    assert.deepEqual(readdirSync(join(folder, "..")), ["1.2.3"]);
  } finally {
    process.umask(umask);
  }
});

test("what is at the place already stays as it is: a folder, an empty one, a file, a link", async () => {
  const made: readonly ((path: string) => void)[] = [
    path => mkdirSync(path),
    path => writeFileSync(path, "mine"),
    path => symlinkSync(join(root, "elsewhere"), path),
  ];
  for (const make of made) {
    const parent = join(root, `p${folders++}`);
    mkdirSync(parent);
    make(join(parent, "1.2.3"));
    const refused = unpackPackage(plugin, join(parent, "1.2.3"));
    await assert.rejects(
      refused,
      (error: unknown) => error instanceof MairustError && error.code === "already_exists",
    );
    assert.deepEqual(readdirSync(parent), ["1.2.3"]);
  }
  assert.ok(!existsSync(join(root, "elsewhere")));
});

test("two that unpack to the same place at once: one of them does, whole", async () => {
  const folder = join(root, `p${folders++}`, "1.2.3");
  const results = await Promise.allSettled([unpackPackage(plugin, folder), unpackPackage(plugin, folder)]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.equal((await look(folder)).state, "private");
  assert.deepEqual(readdirSync(join(folder, "..")), ["1.2.3"]);
});

test("what cannot be written leaves nothing behind", async () => {
  const parent = join(root, `p${folders++}`);
  const bad = { ...plugin, files: new Map([...plugin.files, ["server/main.sh/x", Buffer.from("x")]]) };
  await assert.rejects(unpackPackage(bad, join(parent, "1.2.3")), /Cannot unpack/);
  assert.deepEqual(readdirSync(parent), []);
});

test("what a killed process left is removed, and nothing else", async () => {
  const folder = await unpacked();
  const parent = join(folder, "..");
  mkdirSync(join(parent, ".unpack-1.2.4-0011223344ff"));
  writeFileSync(join(parent, ".unpack-1.2.4-0011223344ff", "half"), "x");
  await removeUnfinished(parent);
  assert.deepEqual(readdirSync(parent), ["1.2.3"]);
  await removeUnfinished(join(root, "not-there"));
});

test("an installation is what was unpacked", async () => {
  const { state, detail } = await look(await unpacked());
  assert.equal(state, "private", detail);
});

const TAMPERINGS: readonly (readonly [what: string, change: (folder: string) => void, detail: RegExp])[] = [
  [
    "a byte more",
    f => appendFileSync(join(f, "plugin.toml"), "#"),
    /"plugin\.toml" has \d+ bytes instead of/,
  ],
  [
    "another byte",
    f => writeFileSync(join(f, "server/main.sh"), "#!/bin/sh\necho '!}'\n"),
    /"server\/main\.sh" was changed/,
  ],
  ["a file more", f => writeFileSync(join(f, "more.sh"), ""), /"more\.sh" is no file of the package/],
  [
    "a folder more",
    f => mkdirSync(join(f, "server/__pycache__")),
    /"server\/__pycache__" is no file of the package/,
  ],
  ["a file less", f => rmSync(join(f, "README.md")), /"README\.md" is missing/],
  ["no manifest.json", f => rmSync(join(f, "manifest.json")), /"manifest\.json" is missing/],
  ["another manifest.json", f => appendFileSync(join(f, "manifest.json"), "\n"), /"manifest\.json" has/],
  ["no signatures", f => rmSync(join(f, "manifest.json.sig")), /"manifest\.json\.sig" is missing/],
  [
    "a link to a copy",
    f => {
      renameSync(join(f, "README.md"), join(root, `copy${folders++}`));
      symlinkSync(join(root, `copy${folders - 1}`), join(f, "README.md"));
    },
    /"README\.md" is a symbolic link/,
  ],
  [
    "a link to a folder",
    f => {
      renameSync(join(f, "server"), join(root, `server${folders++}`));
      symlinkSync(join(root, `server${folders - 1}`), join(f, "server"));
    },
    /"server\/" is no folder.*"server\/main\.sh" is missing/,
  ],
  [
    "a FIFO",
    f => {
      rmSync(join(f, "README.md"));
      execFileSync("mkfifo", [join(f, "README.md")]);
    },
    /"README\.md" is no file/,
  ],
  [
    "writable by all",
    f => chmodSync(join(f, "server/main.sh"), 0o777),
    /"server\/main\.sh" may be written by others/,
  ],
  [
    "a folder writable by all",
    f => chmodSync(join(f, "server"), 0o777),
    /"server\/" may be written by others/,
  ],
  ["all of it gone", f => rmSync(f, { recursive: true }), /cannot be read.*is missing/],
];

for (const [what, change, detail] of TAMPERINGS) {
  test(`an installation with ${what} is modified`, async () => {
    const folder = await unpacked();
    change(folder);
    const verified = await look(folder);
    assert.equal(verified.state, "modified");
    assert.match(verified.detail, detail);
  });
}

test("a folder that was flooded with files is not read to its end", async () => {
  const folder = await unpacked();
  for (let i = 0; i < 2100; i++) writeFileSync(join(folder, `f${i}`), "");
  const { state, detail } = await look(folder);
  assert.equal(state, "modified");
  assert.ok(detail.length < 3000);
  const [, more = "0"] = /and (\d+) more/.exec(detail) ?? [];
  assert.ok(Number(more) > 1000 && Number(more) < 2000, `${more} more`);
});

test("a revocation as malicious goes before what is in the folder; one as vulnerable does not hide what was modified", async () => {
  const folder = await unpacked();
  rmSync(join(folder, "README.md"));
  const revocation = {
    kind: "plugin",
    value: "com.example.filter",
    reason: "",
    by: "local",
    at: new Date(0),
  } as const;
  const stateWith = async (severity: "vulnerable" | "malicious") => {
    const revocations = [{ ...revocation, severity }];
    const found = await verifyFolder(folder, installedOf(plugin), { ...trust, revocations });
    return [found.state, found.revocation?.severity];
  };
  assert.deepEqual(
    [await stateWith("malicious"), await stateWith("vulnerable")],
    [
      ["revoked", "malicious"],
      ["modified", undefined],
    ],
  );
});
