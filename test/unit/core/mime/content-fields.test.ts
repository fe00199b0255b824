import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseDisposition,
  parseEncoding,
  parseLanguages,
  parseMediaType,
} from "../../../../src/core/mime/content-fields.ts";
import { PARAMETERS_MAX } from "../../../../src/core/mime/limits.ts";

function show(value: string): string | undefined {
  const media = parseMediaType(value);
  return (
    media &&
    [`${media.type}/${media.subtype}`, ...media.params.map(p => `${p.name}=${p.value}`)]
      .join(" | ")
      .replace(" | ", " ")
      .replaceAll(" | ", "|")
  );
}

test("parseMediaType() reads types, comments, quotes and parameters", () => {
  assert.equal(show("Text/PLAIN; Charset=us-ascii (Plain (nested) text)"), "text/plain charset=us-ascii");
  assert.equal(show('multipart/mixed; boundary="a;b\\"c" ; x=y'), 'multipart/mixed boundary=a;b"c|x=y');
  assert.equal(show("(c) text (d) / (e) html (f) ; charset = utf-8"), "text/html charset=utf-8");
  assert.equal(show('text/plain;; charset="utf-8";'), "text/plain charset=utf-8");
});

test("parseMediaType() makes the best of broken values", () => {
  assert.equal(show('multipart/mixed; boundary="open'), "multipart/mixed boundary=open");
  assert.equal(show("multipart/mixed boundary=x"), "multipart/mixed boundary=x");
  assert.equal(show("text/plain; charset=utf-8 name=x"), "text/plain charset=utf-8|name=x");
  assert.equal(show("image/gif; name=a b c.gif; x=1"), "image/gif name=a b c.gif|x=1");
  assert.equal(show("text; charset=x"), "text/plain charset=x");
  assert.equal(show("text/plain; a=1; a=2; b"), "text/plain a=1");
  assert.equal(show('text/plain; name="voil\xc3\xa0"'), "text/plain name=voil\xc3\xa0");
  for (const value of ["", "text html", "/plain", "application-x-gzip", "te\xe9xt/plain", "x".repeat(200)]) {
    const read = show(value);
    assert.ok(read === undefined || read === "text/plain", value);
  }
});

test("parseMediaType() keeps no more parameters than its limit and reads hostile values in one pass", () => {
  const many = Array.from({ length: 500 }, (_, i) => `; p${i}=v`).join("");
  assert.equal(parseMediaType(`a/b${many}`)?.params.length, PARAMETERS_MAX);
  for (const piece of ["(", '"', ";", "=", "a ", "name=a ", ";name=x", ';a="', "\\", "*0=", ";n*0=a"]) {
    parseMediaType(`a/b;${piece.repeat(100_000)}`);
  }
});

test("parseDisposition() reads types and takes a lone file name as an attachment", () => {
  assert.deepEqual(parseDisposition("INLINE"), { type: "inline", params: [] });
  assert.deepEqual(parseDisposition("filename=a.txt")?.type, "attachment");
  assert.equal(parseDisposition(""), undefined);
});

test("parseEncoding() and parseLanguages() read their tokens", () => {
  assert.equal(parseEncoding(" (x) Base64 ;"), "Base64");
  assert.equal(parseEncoding(""), undefined);
  assert.deepEqual(parseLanguages("en (x), ja ,, \xe9"), ["en", "ja"]);
});
