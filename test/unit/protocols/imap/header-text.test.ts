import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../../../../src/core/steps.ts";
import { type HeaderKey, readHeader } from "../../../../src/protocols/imap/header-text.ts";
import { countSteps } from "../../../lib/steps.ts";

const key = (field: string, text: string): HeaderKey => ({ kind: "header", field, text });

function found(header: string, keys: readonly HeaderKey[]): string[] {
  const facts = atOnce(readHeader(Buffer.from(header), keys));
  return keys.filter(each => facts.found.has(each)).map(each => `${each.field}=${each.text}`);
}

test("readHeader() looks for each text in each field of the name, and in none across two", () => {
  const header = "Subject: ab\r\nTo: x\r\nSUBJECT : cd\r\n e\r\n\r\nCc: none\r\n";
  const texts = ["ab", "bc", "d e", "b", "x", ""];
  const keys = [...texts.map(text => key("subject", text)), key("cc", ""), key("cc", "none"), key("to", "x")];
  assert.deepEqual(found(header, keys), ["subject=ab", "subject=d e", "subject=b", "subject=", "to=x"]);
});

test("readHeader() passes a header of megabytes in steps: small fields and a long one", () => {
  const keys = [key("a", "none"), key("a", "nothing")];
  assert.ok(countSteps(readHeader(Buffer.from("a: b\r\n".repeat(100_000)), keys)) > 600_000 / 5000);
  assert.ok(countSteps(readHeader(Buffer.from("b: b\r\n".repeat(100_000)), keys)) > 600_000 / 5000);
  assert.ok(countSteps(readHeader(Buffer.from(`a: ${"x".repeat(1_000_000)}`), keys)) > 1_000_000 / 5000);
});
