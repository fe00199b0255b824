/** The writer: the same bytes each time and everywhere, and nothing that the reader would refuse. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { gzip } from "../../../../src/plugins/package/gzip.ts";
import { PackageError } from "../../../../src/plugins/package/problems.ts";
import { readPackage } from "../../../../src/plugins/package/read.ts";
import { packFolder } from "../../../../src/plugins/package/write.ts";
import {
  contentsJson,
  FILES,
  PLUGIN_TOML,
  packageEntries,
  sha256Of,
  tar,
} from "../../../lib/plugin-archive.ts";

const root = mkdtempSync(join(tmpdir(), "mr-package-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = join(root, `p${folders++}`);
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), data);
  }
  return folder;
}

async function refusal(folder: string): Promise<string> {
  const error: unknown = await packFolder(folder).then(
    () => undefined,
    error => error,
  );
  assert.ok(error instanceof PackageError, String(error));
  assert.equal(error.code, "plugin_validation");
  return error.message;
}

test("a package is the same bytes on every machine and with every version of Node", async () => {
  const { bytes, package: made } = await packFolder(folderOf(FILES));
  // By hand, and not by our writer: gzip without compression around a plain archive.
  assert.deepEqual(
    gunzipSync(bytes),
    tar([...packageEntries()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(plain)),
  );
  assert.equal(made.digest, sha256Of(bytes));
  assert.equal(made.digest, "334aba5e43247ef052bac2c8b48da60352f518af65c9809908a6186195de9163");
});

/** Our writer fills the fields for devices too. */
const plain = (entry: { readonly name: string }) => ({
  ...entry,
  before: (header: Buffer) => {
    header.write("0000000\x000000000\0", 329);
  },
});

test("times, modes, order of creation and what was left out do not change a package", async () => {
  const one = await packFolder(folderOf(FILES));
  const other = folderOf(Object.fromEntries(Object.entries(FILES).reverse()));
  for (const path of Object.keys(FILES)) {
    utimesSync(join(other, path), 1, 1);
    chmodSync(join(other, path), 0o777);
  }
  writeFileSync(join(other, ".env"), "SECRET=1");
  mkdirSync(join(other, "empty"));
  assert.deepEqual((await packFolder(other)).bytes, one.bytes);
});

test("what tests the plugin, hidden files and what tools leave behind is left out, and named", async () => {
  const extra = {
    ".git/config": "",
    ".env": "",
    "test/a.eml": "",
    "tests/a.eml": "",
    "fixtures/a.eml": "",
    "node_modules/x/index.js": "",
    "server/__pycache__/main.cpython-311.pyc": "",
    "server/main.pyc": "",
    "server/fixtures/kept.txt": "kept",
    "main.sh~": "",
    "com.example.filter-1.2.2.mairust-plugin": "",
    "manifest.json": "old",
    "manifest.json.sig": "old",
  };
  const { package: made, leftOut, notes } = await packFolder(folderOf({ ...FILES, ...extra }));
  assert.deepEqual([...made.files.keys()].sort(), [
    "README.md",
    "manifest.json",
    "plugin.toml",
    "server/fixtures/kept.txt",
    "server/main.sh",
  ]);
  assert.deepEqual(leftOut, [
    ".env",
    ".git/",
    "com.example.filter-1.2.2.mairust-plugin",
    "fixtures/",
    "main.sh~",
    "manifest.json",
    "manifest.json.sig",
    "node_modules/",
    "server/__pycache__/",
    "server/main.pyc",
    "test/",
    "tests/",
  ]);
  assert.match(notes.join(), /node_modules is left out/);
});

test("a command that names no file of the package is noted", async () => {
  const toml = PLUGIN_TOML.replace("server/main.sh", "sever/main.sh");
  const { notes } = await packFolder(folderOf({ ...FILES, "plugin.toml": toml }));
  assert.match(notes.join(), /no word of entry\.command \(sh sever\/main\.sh\) is a file/);
});

test("links, special files and names that the reader refuses stop the writer, all at once", async () => {
  const folder = folderOf({ ...FILES, "a b.txt": "", "Server/x": "", "-rf": "" });
  symlinkSync("/etc/passwd", join(folder, "passwd"));
  symlinkSync("server", join(folder, "lib"));
  execFileSync("mkfifo", [join(folder, "pipe")]);
  const text = await refusal(folder);
  assert.match(text, /"passwd": it is a symbolic link/);
  assert.match(text, /"lib": it is a symbolic link/);
  assert.match(text, /"pipe": it is a special file/);
  assert.match(text, /"a b\.txt": .* is no plain name/);
  assert.match(text, /"-rf": .* is no plain name/);
  assert.match(text, /only in case/);
});

test("a private key in the folder stops the writer", async () => {
  const pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
  assert.match(await refusal(folderOf({ ...FILES, "dev.key": pem })), /"dev\.key": it holds a private key/);
});

test("files that plugin.toml names must be there", async () => {
  const toml = `${PLUGIN_TOML}[ui]\nbundle = "ui/index.html"\n`;
  assert.match(
    await refusal(folderOf({ ...FILES, "plugin.toml": toml })),
    /"ui\/index\.html" is named in plugin\.toml/,
  );
});

test("a folder without plugin.toml, with a broken one, or that is not there cannot become a package", async () => {
  assert.match(await refusal(folderOf({ "README.md": "" })), /it has no plugin\.toml/);
  assert.match(await refusal(join(root, "nothing")), /cannot be read/);
  const broken = folderOf({ ...FILES, "plugin.toml": "id = 1\n" });
  await assert.rejects(packFolder(broken), /plugin\.toml:1: id: found 1/);
});

test("what is too large for the reader is too large for the writer", async () => {
  assert.match(
    await refusal(folderOf({ ...FILES, "model.bin": Buffer.alloc(9_000_000) })),
    /at most 8388608/,
  );
  const many = Object.fromEntries(Array.from({ length: 498 }, (_, i) => [`f/${i}`, ""]));
  assert.match(await refusal(folderOf({ ...FILES, ...many })), /more than 500 files/);
});

test("long names are kept, and those that no archive can hold are refused", async () => {
  const long = `${"a".repeat(99)}/${"b".repeat(99)}`;
  const { bytes } = await packFolder(folderOf({ ...FILES, [long]: "x" }));
  assert.equal((await readPackage(bytes)).files.get(long)?.length, 1);
  assert.match(await refusal(folderOf({ ...FILES, ["n".repeat(101)]: "x" })), /does not fit into an archive/);
});

test("gzip() makes what every gunzip reads, of nothing, of one block and of many", () => {
  for (const size of [0, 1, 65_535, 65_536, 200_000]) {
    const bytes = Buffer.alloc(size, "mairust");
    assert.deepEqual(gunzipSync(gzip(bytes)), bytes, `${size} bytes`);
  }
});

test("manifest.json lists every other file, sorted", async () => {
  const { package: made } = await packFolder(folderOf(FILES));
  assert.equal(Buffer.from(made.files.get("manifest.json") ?? "").toString(), contentsJson());
});
