import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeModifiedUtf7, encodeModifiedUtf7 } from "../../../src/core/modified-utf7.ts";
import { CrlfConverter } from "../../../src/transfer/crlf.ts";
import {
  readKeywords,
  readSubscriptions,
  readUidList,
  writeKeywords,
  writeUidList,
} from "../../../src/transfer/dovecot-files.ts";
import { directoriesOf, exportBase, readExportName } from "../../../src/transfer/export-names.ts";
import { compareByTime, readLetters, readName, writeLetters } from "../../../src/transfer/maildir-name.ts";

test("modified UTF-7 comes back, and what no encoder wrote is left alone", () => {
  for (const name of ["INBOX", "送信済み", "A & B", "a&-b", "ÄÖ/x", "𝕏 emoji 😀", "&", "~peter"])
    assert.equal(decodeModifiedUtf7(encodeModifiedUtf7(name)), name);
  assert.equal(encodeModifiedUtf7("台北"), "&U,BTFw-");
  for (const text of ["a & b", "&U,BTFw", "&&", "&AGE-", "&A-", "送信"])
    assert.equal(decodeModifiedUtf7(text), undefined, text);
});

test("a file name says its key and flags; sizes and flags are no part of the key", () => {
  assert.deepEqual(readName("1.M2P3.host,S=12,W=13:2,FSa"), { key: "1.M2P3.host", letters: "FSa" });
  assert.deepEqual(readName("1.M2P3.host"), { key: "1.M2P3.host", letters: "" });
  assert.deepEqual(readName("1.x:1,S"), { key: "1.x", letters: "" });
  assert.deepEqual(readName("1.x:2,S,extra"), { key: "1.x", letters: "S" });
});

test("letters become flags and keywords by dovecot-keywords; those without a usable name are counted", () => {
  const names = readKeywords("0 work\n1 $Junk\n3 two words\nx\n26 no\n");
  assert.deepEqual(readLetters("DFPRSTabcdz", names), {
    flags: ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"],
    keywords: ["$Forwarded", "$Junk", "work"],
    dropped: 3,
  });
  const letterOf = (keyword: string) => ({ work: "a", $Junk: "b" })[keyword];
  assert.equal(writeLetters(["\\Seen", "\\Draft"], ["$Junk", "work", "none"], letterOf), "DSab");
  assert.deepEqual(readKeywords(writeKeywords(["work", "$Junk"])), ["work", "$Junk"]);
});

test("dovecot-uidlist: version 3 and 1, later lines win, broken lines are counted, nonsense is no list", () => {
  const list = readUidList(
    "3 V1275660208 N30 G3085f01b7f11094c501100008c4a11c1\n5 :1.a,S=3\n7 W12 S3 :2.b,S=1:2,S\n9 :3.c\n9 :4.d\n12 :1.a\nx\n0 :5.e\n40 :6.f\n",
  );
  assert.equal(list?.uidValidity, 1_275_660_208);
  assert.equal(list?.uidNext, 41);
  assert.equal(list?.broken, 2);
  assert.deepEqual([...(list?.uids ?? [])].sort(), [
    ["1.a", 12],
    ["2.b", 7],
    ["4.d", 9],
    ["6.f", 40],
  ]);
  assert.deepEqual([...(readUidList("1 99 4\n2 1.a:2,S\n")?.uids ?? [])], [["1.a", 2]]);
  for (const text of ["", "3 V0 N1", "3 Vx Ny Gz", "2 1 2", "hello"])
    assert.equal(readUidList(text), undefined, text);
  const written = writeUidList({ uidValidity: 7, uidNext: 9, guid: "0".repeat(32) }, [
    { uid: 3, base: "1.x,S=2" },
  ]);
  assert.deepEqual(readUidList(written), {
    uidValidity: 7,
    uidNext: 9,
    uids: new Map([["1.x", 3]]),
    broken: 0,
  });
});

test("subscriptions in both versions", () => {
  assert.deepEqual(readSubscriptions("V\t2\n\nINBOX\n&U,BTFw-\tsub\n", "."), ["INBOX", "台北/sub"]);
  assert.deepEqual(readSubscriptions("INBOX\nLists.dev\n", "."), ["INBOX", "Lists/dev"]);
});

test("each LF without a CR before it gets one, wherever the chunks are cut; nothing else changes", () => {
  const source = Buffer.from("\na\r\nb\rc\n\n\r\r\n\0\n end", "latin1");
  const expected = source.toString("latin1").replace(/(?<!\r)\n/gu, "\r\n");
  for (let size = 1; size <= source.length; size += 1) {
    const converter = new CrlfConverter();
    const parts: Buffer[] = [];
    for (let at = 0; at < source.length; at += size)
      parts.push(converter.convert(source.subarray(at, at + size)));
    assert.equal(Buffer.concat(parts).toString("latin1"), expected, `chunks of ${size}`);
  }
});

test("messages without a UID are numbered as Dovecot does: by time, then by name", () => {
  const names = ["20.b", "3.z", "20.a", "x"];
  assert.deepEqual(names.sort(compareByTime), ["x", "3.z", "20.a", "20.b"]);
});

test("directories of an export: all different, short enough, readable again", () => {
  const long = `長い/${"名".repeat(80)}`;
  const names = ["INBOX", "a.b", "a_b", "a/b", long, "INBOX/sub"];
  const directories = directoriesOf(names);
  assert.equal(new Set(directories.values()).size, names.length);
  assert.equal(directories.get("a_b"), ".a_b");
  assert.equal(directories.get("a.b"), ".a_b-2");
  assert.equal(directories.get("a/b"), ".a.b");
  assert.ok([...directories.values()].every(name => Buffer.byteLength(name) <= 255));
  const base = exportBase(7, 3, new Date(5000), 12);
  assert.deepEqual(readExportName(`${base}:2,S`), { uid: 3, uidValidity: 7, base, letters: "S" });
  assert.equal(readExportName("1.M2P3.host,S=12:2,S"), undefined);
});
