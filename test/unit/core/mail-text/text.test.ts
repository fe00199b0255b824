/** How the text of a message becomes comparable, whatever pieces it comes in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fold } from "../../../../src/core/mail-text/fold.ts";
import { StreamMatcher } from "../../../../src/core/mail-text/matcher.ts";
import { transferDecoder } from "../../../../src/core/mail-text/transfer-decoder.ts";

test("StreamMatcher finds a text however it is cut, in any case and form", () => {
  const text = "x".repeat(100) + "Ünïcode ＡＢＣ パーティー e\u0301t".repeat(3);
  for (const needle of ["ünïcode", "ABC", "abc パーティー", "é"]) {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), cuts => {
        const matcher = new StreamMatcher([fold(needle)]);
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          matcher.add(text.slice(at, at + size));
          at += size;
        }
        matcher.cut();
        assert.ok(matcher.has(fold(needle)), needle);
      }),
      { numRuns: 30 },
    );
  }
});

test("StreamMatcher finds nothing across a cut", () => {
  const matcher = new StreamMatcher(["ab"]);
  matcher.add("a");
  matcher.cut();
  matcher.add("b");
  matcher.cut();
  assert.equal(matcher.done, false);
});

test("transfer decoders give the same octets for every way of cutting the input", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (plain, cuts) => {
      const base64 = Buffer.from(plain).toString("base64").replace(/.{20}/gu, "$&\r\n");
      const printable = [...plain]
        .map(octet => `=${octet.toString(16).padStart(2, "0").toUpperCase()}`)
        .join("=\r\n");
      for (const [encoding, text] of [
        ["BASE64", base64],
        ["quoted-printable ", printable],
        ["8bit", Buffer.from(plain).toString("latin1")],
      ] as const) {
        const decoder = transferDecoder(encoding);
        const decoded: Buffer[] = [];
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          decoded.push(decoder.add(Buffer.from(text.slice(at, at + size), "latin1")));
          at += size;
        }
        const expected = encoding === "BASE64" ? base64.replace(/=+$/u, "") : undefined;
        const got = Buffer.concat(decoded);
        // An unpadded rest of base64 is decoded when its padding comes.
        if (expected === undefined || plain.length % 3 === 0 || text.endsWith("="))
          assert.deepEqual(got, Buffer.from(plain));
      }
    }),
  );
});
