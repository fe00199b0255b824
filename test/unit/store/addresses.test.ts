/** The form in which domains and addresses are looked up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { addressKey } from "../../../src/store/accounts.ts";
import { canonicalDomain, canonicalLocal, readAddress, readDomain } from "../../../src/store/addresses.ts";

test("canonicalDomain() gives lower-case A-labels without a trailing dot", () => {
  assert.equal(canonicalDomain("Example.COM."), "example.com");
  assert.equal(canonicalDomain("例え.JP"), "xn--r8jz45g.jp");
  assert.equal(canonicalDomain("bu\u0308cher.example"), canonicalDomain("Bücher.example"));
  assert.equal(canonicalDomain("XN--R8JZ45G.jp"), "xn--r8jz45g.jp");
});

test("canonicalDomain() takes nothing that a URL's host would be cut or turned into", () => {
  for (const name of [
    "",
    ".",
    "a/b.com",
    "a?b.com",
    "a#b",
    "a%41.com",
    "u@h.com",
    "h:25",
    "1",
    "1.2.3",
    "[::1]",
    "a b",
    "a..b",
    ".a",
    "a\u0000b",
    "a".repeat(300),
  ]) {
    assert.equal(canonicalDomain(name), undefined, name);
  }
});

test("canonicalLocal() folds case and form, and refuses controls and lone surrogates", () => {
  assert.equal(canonicalLocal("Jose\u0301"), "josé");
  for (const local of ["", "a\nb", "\ud800", "x".repeat(513)]) assert.equal(canonicalLocal(local), undefined);
});

test("addressKey() never throws, and matches no row for what is no address", () => {
  assert.deepEqual(addressKey(parseMailAddress("Taro@Example.TEST")), {
    domain: "example.test",
    localPart: "taro",
  });
  assert.deepEqual(addressKey(parseMailAddress("postmaster")), { domain: "", localPart: "postmaster" });
  assert.deepEqual(addressKey(parseMailAddress("")), { domain: "", localPart: "" });
  assert.deepEqual(addressKey(parseMailAddress('"a b"@x.test')), { domain: "x.test", localPart: "a b" });
});

test("readAddress() and readDomain() say what is wrong", () => {
  assert.throws(() => readAddress("nobody"), /"nobody" is no address/u);
  assert.throws(() => readDomain("a b"), /"a b" is no domain name/u);
});
