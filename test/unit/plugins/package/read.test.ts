/** The strict reader: one test per attack on packages, and what is accepted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { PackageError } from "../../../../src/plugins/package/problems.ts";
import { readPackage } from "../../../../src/plugins/package/read.ts";
import { ManifestError } from "../../../../src/plugins/problem.ts";
import {
  contentsJson,
  END_MARK,
  FILES,
  listed,
  PLUGIN_TOML,
  packageEntries,
  packed,
  sha256Of,
  type TarEntry,
  tar,
  tarEntry,
} from "../../../lib/plugin-archive.ts";

async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await readPackage(bytes);
  } catch (error) {
    assert.ok(error instanceof PackageError, String(error));
    assert.equal(error.code, "plugin_security");
    assert.ok(error.publicText.length > 0);
    return error.message;
  }
  throw new assert.AssertionError({ message: "the package was accepted" });
}

/** A package with one more entry, which its manifest.json lists where it is a file. */
function withEntry(entry: TarEntry): Buffer {
  return packed([...packageEntries(), entry]);
}

/** A package whose files all are listed. */
function withFiles(more: Readonly<Record<string, string | Uint8Array>>): Buffer {
  return packed(packageEntries({ ...FILES, ...more }));
}

test("a good package is read, in any order, with folders and with a long name", async () => {
  const long = `${"a".repeat(60)}/${"b".repeat(60)}/c.txt`;
  const files = { ...FILES, "lib/__init__.py": "", [long]: "x" };
  const entries = packageEntries(files).map(entry =>
    entry.name === long ? { ...entry, prefix: "a".repeat(60), name: `${"b".repeat(60)}/c.txt` } : entry,
  );
  const bytes = packed([{ name: "server/", type: "5", mode: "0000755" }, ...[...entries].reverse()]);
  const read = await readPackage(bytes);
  assert.equal(read.manifest.id, "com.example.filter");
  assert.equal(read.digest, sha256Of(bytes));
  assert.deepEqual([...read.files.keys()].sort(), [...Object.keys(files), "manifest.json"].sort());
  assert.equal(Buffer.from(read.files.get("server/main.sh") ?? "").toString(), FILES["server/main.sh"]);
});

const BAD_NAMES: readonly (readonly [name: string, why: RegExp])[] = [
  ["../evil", /"\.\." is no plain name/],
  ["server/../../evil", /"\.\." is no plain name/],
  ["./x", /"\." is no plain name/],
  ["/etc/passwd", /absolute/],
  ["server\\main.sh", /is no plain name/],
  ["C:evil", /is no plain name/],
  [".profile", /"\.profile" is no plain name/],
  ["server/.hidden", /is no plain name/],
  ["-rf", /is no plain name/],
  ["a b", /is no plain name/],
  ["caf\xc3\xa9", /is no plain name/],
  ["a\u0007b", /is no plain name/],
  ["server//x", /a part of the name is empty/],
  ["x/", /a part of the name is empty/],
  ["a/b/c/d/e/f/g/h/i", /9 levels deep, at most 8/],
];

test("names that leave the folder, hide, or mean something to a shell are refused", async () => {
  for (const [name, why] of BAD_NAMES) assert.match(await refusal(withEntry({ name, data: "x" })), why, name);
  const long = { name: "n".repeat(100), prefix: "p".repeat(155) };
  assert.match(await refusal(withEntry(long)), /256 characters, at most 200/);
});

test("a name with something behind its NUL is refused", async () => {
  const name = "good.txt\0/../../evil";
  assert.match(await refusal(withEntry({ name, data: "x" })), /something is hidden behind its name/);
});

const KINDS: readonly (readonly [type: string, what: RegExp])[] = [
  ["1", /a hard link/],
  ["2", /a symbolic link/],
  ["3", /a device/],
  ["4", /a device/],
  ["6", /a FIFO/],
  ["7", /a contiguous file/],
  ["S", /a sparse file/],
  ["L", /a long name in GNU's format/],
  ["K", /a long link in GNU's format/],
  ["x", /a pax header/],
  ["g", /a pax header/],
  ["\0", /an old format/],
  ["V", /of type "V"/],
];

test("links, devices, FIFOs, sparse files and long-name entries are refused", async () => {
  for (const [type, what] of KINDS)
    assert.match(await refusal(withEntry({ name: "evil", type, linkname: "/etc/passwd" })), what, type);
  assert.match(
    await refusal(withEntry({ name: "evil", linkname: "/etc/passwd" })),
    /names the target of a link/,
  );
});

test("a symbolic link with a file below it is refused, all of it", async () => {
  const bytes = packed([
    ...packageEntries(),
    { name: "out", type: "2", linkname: "/tmp" },
    { name: "out/evil", data: "x" },
  ]);
  assert.match(
    await refusal(bytes),
    /"out": it is a symbolic link.*"out\/evil": "out" is a file as well as a folder/,
  );
});

test("setuid, setgid and sticky bits are refused", async () => {
  for (const mode of ["0004755", "0002755", "0001755", "-000001", "\x80\0\0\0\0\0\0"])
    assert.match(
      await refusal(withEntry({ name: "su", data: "x", mode })),
      /mode has more than permissions/,
      mode,
    );
});

test("entries that are there twice, differ only in case, or are file and folder are refused", async () => {
  const cases: readonly (readonly [readonly TarEntry[], RegExp])[] = [
    [[{ name: "plugin.toml", data: PLUGIN_TOML }], /"plugin\.toml": it is there twice/],
    [[{ name: "PLUGIN.toml", data: "x" }], /"PLUGIN\.toml": it differs from "plugin\.toml" only in case/],
    [[{ name: "Server/x", data: "x" }], /it differs from "server" only in case/],
    [[{ name: "server", data: "x" }], /"server": it is a file as well as a folder/],
    [[{ name: "README.md/x", data: "x" }], /"README\.md" is a file as well as a folder/],
    [
      [
        { name: "d/", type: "5" },
        { name: "d/", type: "5" },
      ],
      /"d": it is there twice/,
    ],
    [[{ name: "README.md/", type: "5" }], /it is a file as well as a folder/],
  ];
  for (const [more, why] of cases) assert.match(await refusal(packed([...packageEntries(), ...more])), why);
});

test("bytes behind the end are refused: in the archive, behind gzip, and as a second gzip member", async () => {
  const archive = tar(packageEntries());
  const second = tar(packageEntries({ ...FILES, "README.md": "other" }));
  assert.match(
    await refusal(gzipSync(Buffer.concat([archive, second]))),
    /bytes follow the end of its archive/,
  );
  assert.match(await refusal(gzipSync(Buffer.concat([archive, Buffer.alloc(512)]))), /512 bytes follow/);
  assert.match(
    await refusal(Buffer.concat([packed(), Buffer.from("x")])),
    /1 bytes follow the end of its gzip/,
  );
  assert.match(await refusal(Buffer.concat([packed(), packed()])), /bytes follow the end of its gzip/);
  // What makes two files of one: the first half of the archive in one member, the second in another.
  const halves = [gzipSync(archive.subarray(0, 1024)), gzipSync(archive.subarray(1024))];
  assert.match(await refusal(Buffer.concat(halves)), /bytes follow the end of its gzip/);
});

test("an archive without its end mark, or with half of one, is refused", async () => {
  const entries = packageEntries();
  assert.match(await refusal(gzipSync(tar(entries, Buffer.alloc(0)))), /without an end mark/);
  assert.match(await refusal(gzipSync(tar(entries, Buffer.alloc(512)))), /without an end mark/);
  const between = Buffer.concat([Buffer.alloc(512), tarEntry({ name: "late", data: "x" }), END_MARK]);
  assert.match(await refusal(gzipSync(tar(entries, between))), /without an end mark/);
  assert.match(await refusal(gzipSync(Buffer.alloc(0))), /without an end mark/);
});

test("a decompression bomb is stopped at the limit", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  assert.ok(bomb.length < 100_000);
  assert.match(await refusal(bomb), /unpacks to more than 33554432 bytes/);
});

test("a package over 8 MiB is refused before it is looked at", async () => {
  assert.match(await refusal(Buffer.alloc(8 * 1024 * 1024 + 1)), /it has 8388609 bytes, at most 8388608/);
});

test("more than 500 files are refused", async () => {
  const many = Object.fromEntries(Array.from({ length: 498 }, (_, i) => [`f/${i}`, ""]));
  assert.match(await refusal(withFiles(many)), /more than 500 files/);
  const folders = Array.from({ length: 1001 }, (_, i) => ({ name: `d${i}/`, type: "5" }));
  assert.match(await refusal(packed([...packageEntries(), ...folders])), /more than 1000 entries/);
});

test("500 files are accepted", async () => {
  const many = Object.fromEntries(Array.from({ length: 496 }, (_, i) => [`f/${i}`, ""]));
  assert.equal((await readPackage(withFiles(many))).files.size, 500);
});

test("sizes that lie, wrong checksums and other formats are refused", async () => {
  const cases: readonly (readonly [Omit<TarEntry, "name">, RegExp])[] = [
    [{ data: "x", size: "77777777777\0" }, /the archive ends within it/],
    [{ data: "x", size: "00000000000\0" }, /checksum of its header|not in ustar/],
    [{ data: "x", size: "-0000000001\0" }, /its size is no number/],
    [{ data: "x", size: "\x80\0\0\0\0\0\0\0\0\0\0\x01" }, /its size is no number/],
    [{ data: "x", size: "0000000000x\0" }, /its size is no number/],
    [{ data: "x", checksum: 1 }, /the checksum of its header does not fit/],
    [{ data: "x", magic: "ustar  \0" }, /not in ustar format/],
    [{ data: "x", magic: "" }, /not in ustar format/],
    [{ data: "x", padding: 0x41 }, /something is hidden behind its end/],
    [{ data: "x", before: header => header.write("evil", 505) }, /something is hidden in its header/],
    [{ data: "x", type: "5" }, /a folder has no size/],
  ];
  for (const [entry, why] of cases)
    assert.match(await refusal(withEntry({ name: "f", ...entry })), why, String(why));
});

test("a package that is cut off anywhere is refused", async () => {
  const whole = packed();
  for (let length = 0; length < whole.length; length += 7)
    assert.match(await refusal(whole.subarray(0, length)), /cut off|no gzip file/, `${length} bytes`);
});

test("gzip with optional fields, another method, a wrong checksum or size is refused", async () => {
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(packed());
    bytes.writeUInt8(value, at < 0 ? bytes.length + at : at);
    return bytes;
  };
  assert.match(await refusal(changed(2, 7)), /gzip method is 7/);
  for (const flags of [1, 2, 4, 8, 16, 0x80])
    assert.match(await refusal(changed(3, flags)), /optional fields/);
  assert.match(await refusal(changed(-8, packed().at(-8) === 0 ? 1 : 0)), /gzip checksum does not fit/);
  assert.match(await refusal(changed(-1, 0xff)), /gzip size does not fit/);
  assert.match(await refusal(Buffer.from("PK\x03\x04 and so on, for quite a while")), /no gzip file/);
});

test("a deflate stream that zlib would forgive is still one member", async () => {
  const archive = tar(packageEntries());
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(archive), 0);
  trailer.writeUInt32LE(archive.length, 4);
  const head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  const good = Buffer.concat([head, deflateRawSync(archive), trailer]);
  assert.equal((await readPackage(good)).manifest.version, "1.2.3");
  const twice = Buffer.concat([head, deflateRawSync(archive), deflateRawSync(archive), trailer]);
  assert.match(await refusal(twice), /bytes follow the end of its gzip/);
});

test("files and manifest.json must agree: none more, none less, same size, same bytes", async () => {
  assert.match(await refusal(withEntry({ name: "more.txt", data: "x" })), /"more\.txt" is not listed/);
  const without = packageEntries().filter(({ name }) => name !== "README.md");
  assert.match(await refusal(packed(without)), /"README\.md" is listed in manifest\.json and missing/);
  const other = (data: string) =>
    packed(packageEntries().map(entry => (entry.name === "README.md" ? { ...entry, data } : entry)));
  assert.match(await refusal(other("A filteR.\n")), /"README\.md" is not the file that manifest\.json lists/);
  assert.match(await refusal(other("longer than before")), /has 18 bytes, manifest\.json says 10/);
});

test("several problems are told at once", async () => {
  const text = await refusal(
    packed([...packageEntries(), { name: "../a", data: "" }, { name: "b", type: "2", linkname: "c" }]),
  );
  assert.match(text, /"\.\.\/a".*; "b": it is a symbolic link/);
  const many = Array.from({ length: 60 }, (_, i) => ({ name: `.${i}`, data: "" }));
  assert.match(await refusal(packed([...packageEntries(), ...many])), /and 40 more$/);
});

test("what an error says can be printed on any terminal, and is not endless", async () => {
  const key = `\u001b[31m\u202e${"x".repeat(5000)}`;
  const text = await refusal(
    packed(packageEntries(FILES, contentsJson(FILES, { [key]: 1, id: "\u009b1m" }))),
  );
  assert.match(text, /^[\x20-\x7e…]+$/);
  assert.match(text, /\\u001b\[31m\\u\{202e\}/);
  assert.ok(text.length < 2000);
});

test("a package without plugin.toml or manifest.json is refused", async () => {
  assert.match(await refusal(gzipSync(tar([]))), /it has no plugin\.toml; it has no manifest\.json/);
  assert.match(await refusal(packed(packageEntries({ "README.md": "x" }))), /it has no plugin\.toml/);
});

const MANIFESTS: readonly (readonly [contents: string, why: RegExp])[] = [
  ["{", /manifest\.json is no JSON/],
  ["\ufeff{}", /manifest\.json is no JSON/],
  ["[]", /manifest\.json: found an empty list, allowed: a table/],
  [contentsJson(FILES, { more: 1 }), /manifest\.json: more: found an unknown key/],
  [contentsJson(FILES, { id: "../x" }), /manifest\.json: id: found/],
  [contentsJson(FILES, { files: [] }), /manifest\.json: files/],
  [contentsJson(FILES, { files: [...listed(FILES)].reverse() }), /is not behind/],
  [contentsJson(FILES, { files: [...listed(FILES), ...listed(FILES).slice(-1)] }), /is not behind/],
  [contentsJson(FILES, { files: listed({ ...FILES, "manifest.json": "" }) }), /may not list itself/],
  [contentsJson(FILES, { files: listed({ ...FILES, "../x": "" }) }), /is no plain name/],
  [JSON.stringify(JSON.parse(contentsJson())), /is not written as/],
  [contentsJson().replace("{", '{\n  "id": "com.example.other",'), /is not written as/],
  [contentsJson().replace('"version"', '"__proto__": {},\n  "version"'), /an unknown key|is not written as/],
  [contentsJson().replace('"com.example.filter"', '"com.example.f\\u0069lter"'), /is not written as/],
  [`${contentsJson()} `, /is not written as/],
  [" ".repeat(300_000), /at most 262144 are allowed/],
];

test("a manifest.json that could be read in two ways is refused", async () => {
  for (const [contents, why] of MANIFESTS)
    assert.match(await refusal(packed(packageEntries(FILES, contents))), why, contents.slice(0, 80));
  const notUtf8 = packageEntries().map(e =>
    e.name === "manifest.json" ? { ...e, data: Buffer.from([0xff]) } : e,
  );
  assert.match(await refusal(packed(notUtf8)), /no JSON in UTF-8/);
});

test("id, version and api are the same in plugin.toml and manifest.json", async () => {
  const change = { id: "com.example.famous", version: "9.9.9", api: "2" };
  const text = await refusal(packed(packageEntries(FILES, contentsJson(FILES, change))));
  assert.match(
    text,
    /its id is "com\.example\.filter" in plugin\.toml and "com\.example\.famous" in manifest\.json/,
  );
  assert.match(text, /its version is .*; its api is "1" in plugin\.toml and "2"/);
});

test("plugin.toml is read by the parser that everybody else uses: its errors have lines", async () => {
  const toml = PLUGIN_TOML.replace('"script"', '"shell"');
  const read = readPackage(packed(packageEntries({ ...FILES, "plugin.toml": toml })));
  await assert.rejects(
    read,
    (error: unknown) => error instanceof ManifestError && /plugin\.toml:6/.test(error.message),
  );
  const reserved = PLUGIN_TOML.replace("com.example.filter", "mairust.filter");
  await assert.rejects(
    readPackage(packed(packageEntries({ ...FILES, "plugin.toml": reserved }))),
    /reserved/,
  );
  const latin1 = Buffer.from(PLUGIN_TOML.replace("Filter", "Fil\xfcter"), "latin1");
  assert.match(await refusal(withFiles({ "plugin.toml": latin1 })), /plugin\.toml is not UTF-8/);
});

const SIGNATURE = {
  role: "developer",
  key_id: "0".repeat(64),
  algorithm: "ed25519",
  signature: "AAAA",
};
const SIGNATURES: readonly (readonly [signatures: string, why: RegExp])[] = [
  ["{}", /manifest\.json\.sig: found a table, allowed: a list/],
  ["[]\n", /a list of 1 to 8/],
  [`${JSON.stringify([SIGNATURE])}\n`, /is not written as/],
  [`${JSON.stringify([{ ...SIGNATURE, algorithm: "none" }], null, 2)}\n`, /allowed: "ed25519", "rsa-sha256"/],
  [`${JSON.stringify([{ ...SIGNATURE, role: "admin" }], null, 2)}\n`, /allowed: "marketplace", "developer"/],
  [`${JSON.stringify([{ ...SIGNATURE, note: "x" }], null, 2)}\n`, /an unknown key/],
  [`${JSON.stringify([SIGNATURE, SIGNATURE], null, 2)}\n`, /two signatures of one key/],
];

test("signatures of another form are refused", async () => {
  for (const [data, why] of SIGNATURES)
    assert.match(await refusal(withEntry({ name: "manifest.json.sig", data })), why, data.slice(0, 60));
  const long = { name: "manifest.json.sig", data: " ".repeat(70_000) };
  assert.match(await refusal(withEntry(long)), /at most 65536 are allowed/);
});
