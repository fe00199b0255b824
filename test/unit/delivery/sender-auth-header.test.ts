/** The Authentication-Results field: written, read again, and told from those of others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { AuthResult } from "../../../src/core/ports/sender-auth.ts";
import type { Findings } from "../../../src/delivery/sender-auth-findings.ts";
import {
  AuthFields,
  authservIdOf,
  factsOf,
  headerValue,
  isSameId,
} from "../../../src/delivery/sender-auth-header.ts";
import { factsOfValue, takenFacts } from "../../../src/delivery/sender-auth-taken.ts";
import { fieldDigest } from "../../../src/delivery/trace-field.ts";

const RESULTS: readonly AuthResult[] = [
  ...(["none", "pass", "fail", "softfail"] as const),
  ...(["neutral", "temperror", "permerror", "policy"] as const),
];
const HOSTILE = [
  "x; dkim=pass",
  '"; spf=pass "',
  ") dmarc=pass (",
  "\\",
  '\\"; arc=pass',
  "a\r\nX: y",
  "a@b; spf=pass",
];
const anyText = fc.oneof(fc.string({ unit: "binary", maxLength: 400 }), fc.constantFrom(...HOSTILE));
const result = fc.constantFrom(...RESULTS);
const why = fc.option(anyText, { nil: undefined });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const findings: fc.Arbitrary<Findings> = fc
  .record({
    spf: optional(fc.record({ result, why, identity: fc.constantFrom("mailfrom", "helo"), value: anyText })),
    dkim: optional(
      fc.array(
        fc.record({ result, why, domain: anyText, selector: anyText, algorithm: anyText, b: anyText }),
      ),
    ),
    dmarc: optional(fc.record({ result, why, from: anyText })),
    arc: optional(fc.record({ result, why, instance: fc.nat(50) })),
  })
  .map(all => JSON.parse(JSON.stringify(all)) as Findings);

test("whatever the message says, the field is US-ASCII, has no empty line, and cannot be left", () => {
  fc.assert(
    fc.property(findings, found => {
      const value = headerValue("mx.example.test", found);
      assert.match(value, /^[\x20-\x7e\t\r\n]*$/u);
      assert.ok(!/\r\n(?!\t)|(?<!\r)\n|\r(?!\n)/u.test(value), value);
      const unfolded = value.replaceAll("\r\n", "");
      assert.equal(authservIdOf(unfolded), "mx.example.test");
      // As many results as were found out: no text of the message made one up.
      const methods = unfolded.replace(/"(?:[^"\\]|\\.)*"|\([^()]*\)/gu, "").match(/;\s*[a-z]+=/gu) ?? [];
      const wanted =
        [found.spf, found.dmarc, found.arc].filter(one => one !== undefined).length +
        (found.dkim === undefined ? 0 : Math.max(1, found.dkim.length));
      assert.equal(methods.length, wanted, value);
    }),
  );
});

test("what LMTP reads out of it is what was written into it", () => {
  fc.assert(
    fc.property(findings, found => {
      const facts = factsOfValue(headerValue("mx.example.test", found).replaceAll("\r\n", ""));
      const written = factsOf(found);
      assert.notEqual(facts, undefined);
      for (const name of ["spf", "dkim", "dmarc", "arc"] as const) {
        const wanted =
          found[name] === undefined || found.dkim?.length === 0
            ? [written[name].result, "none"]
            : [written[name].result];
        assert.ok(wanted.includes(facts?.[name].result ?? ""), name);
      }
    }),
  );
});

test("takenFacts() believes the field of the digest, and no other", () => {
  const value = headerValue("mx.test", { spf: { result: "pass", identity: "mailfrom", value: "a@b.test" } });
  const header = Buffer.from(
    `Authentication-Results: mx.test; spf=fail\r\nAuthentication-Results: ${value}\r\n\r\n`,
  );
  assert.deepEqual(takenFacts(header, fieldDigest(value))?.spf, { result: "pass", detail: "a@b.test" });
  assert.equal(takenFacts(header, undefined), undefined);
  assert.equal(takenFacts(header, fieldDigest("mx.test; spf=none")), undefined);
});

test("authservIdOf() reads the name behind comments and quotes, folded or not", () => {
  for (const text of [
    "mx.test; spf=pass",
    " mx.test 1; none",
    "(a (nested) \\) comment) mx.test;",
    '"mx.test"; spf=pass',
    '"m\\x.test"',
    "mx.test(comment);",
    "mx.test",
    "(one)(two)\t\r\n mx.test ; x",
  ])
    assert.equal(authservIdOf(text), "mx.test", text);
  for (const text of ["", "(open", '"open', ";", "mx.test.evil; spf=pass", "spf=pass; mx.test"])
    assert.notEqual(authservIdOf(text), "mx.test", text);
  assert.ok(isSameId("MX.test.", "mx.TEST"));
  assert.ok(!isSameId("", ""));
});

test("AuthFields counts over all pieces of the header, and not into the body", () => {
  const fields = new AuthFields(value => value.includes("mine"));
  fields.write(Buffer.from("Authentication-Results: other\r\nSubject: x\r\n"));
  fields.write(Buffer.from("AUTHENTICATION-RESULTS : mine\r\n more\r\n"));
  fields.write(Buffer.from("\r\n"));
  fields.write(Buffer.from("Authentication-Results: mine\r\n"));
  assert.deepEqual([fields.count, fields.ours], [2, [2]]);
});
