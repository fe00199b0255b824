import assert from "node:assert/strict";
import { test } from "node:test";
import {
  brokenOnTop,
  brokenSignatures,
  MAX_SIGNATURES,
  signaturesOf,
} from "../../../src/core/signed-edits.ts";

const header = (...fields: readonly string[]) => Buffer.from(`${fields.join("\r\n")}\r\n\r\n`);
const DKIM =
  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x;\r\n\th=From : to:Subject:\r\n\t X-Spam-Score:From; bh=AAA=; b=BBB=";
const broken = (fields: Uint8Array, edit: { fields?: readonly string[]; kept?: number }) =>
  brokenSignatures(signaturesOf(fields), { fields: edit.fields ?? [], bodyKeptBytes: edit.kept }).map(
    ({ field, domain }) => `${field} ${domain}`,
  );

test("a changed body breaks every signature that covers it, an ARC-Seal not", () => {
  const mail = header(
    "ARC-Seal: i=1; a=rsa-sha256; d=seal.test; s=x; cv=none; b=AAA=",
    "arc-message-signature: i=1; c=relaxed/relaxed; d=arc.test; h=from:to; bh=AAA=; b=BBB=",
    DKIM,
    "From: a@example.org",
  );
  assert.deepEqual(broken(mail, { kept: 0 }), [
    "ARC-Message-Signature arc.test",
    "DKIM-Signature example.org",
  ]);
  assert.deepEqual(broken(mail, {}), []);
  assert.deepEqual(broken(header("From: DKIM-Signature: d=x; bh=A"), { kept: 0 }), []);
});

test("a field below all others breaks the signatures that name it, once or once too often, and no other", () => {
  const mail = header(DKIM, "X-Spam-Score: 1");
  assert.deepEqual(broken(mail, { fields: ["x-SPAM-score"] }), ["DKIM-Signature example.org"]);
  assert.deepEqual(broken(header(DKIM), { fields: ["X-Spam-Score"] }), ["DKIM-Signature example.org"]);
  assert.deepEqual(broken(mail, { fields: ["X-Spam", "X-Other"] }), []);
  assert.deepEqual(broken(header("ARC-Seal: d=a.test; h=X-Spam"), { fields: ["X-Spam"] }), []);
});

test("a field above all others breaks what names it more often than it stands there, and nothing else", () => {
  const signed = signaturesOf(header("DKIM-Signature: d=a.test; h=from:x-a:X-A; bh=A; b=B", "X-A: 1"));
  assert.equal(brokenOnTop(signed, "x-a", 1).length, 1);
  assert.equal(brokenOnTop(signed, "X-A", 2).length, 0);
  assert.equal(brokenOnTop(signed, "x-b", 0).length, 0);
});

test("l= covers octets that stand there when the body is taken as it is; else it counts as all", () => {
  const signed = (c: string) => header(`DKIM-Signature: d=a.test; c=${c}; l=100; h=from; bh=A; b=B`);
  assert.deepEqual(broken(signed("relaxed/simple"), { kept: 100 }), []);
  assert.deepEqual(broken(signed("relaxed"), { kept: 100 }), []);
  assert.equal(broken(signed("relaxed/simple"), { kept: 99 }).length, 1);
  assert.equal(broken(signed("simple/relaxed"), { kept: 1000 }).length, 1);
  assert.equal(broken(header("DKIM-Signature: d=a.test; l=x; h=from; bh=A; b=B"), { kept: 9 }).length, 1);
});

test("broken signatures and too many of them count as signatures", () => {
  assert.deepEqual(broken(header("DKIM-Signature: nonsense"), { kept: 0 }), ["DKIM-Signature "]);
  assert.deepEqual(broken(header("DKIM-Signature: d=a\0\u00e9; h=from"), { kept: 0 }), [
    "DKIM-Signature a???",
  ]);
  const many = header(
    ...Array.from({ length: MAX_SIGNATURES + 1 }, () => "DKIM-Signature: d=a.test; h=from"),
  );
  assert.ok(broken(many, { fields: ["X-A"] }).length > MAX_SIGNATURES);
  assert.deepEqual(broken(many, {}), []);
});
