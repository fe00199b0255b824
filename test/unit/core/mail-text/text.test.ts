/** How the text of a message becomes comparable, whatever pieces it comes in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fold, StreamFolder } from "../../../../src/core/mail-text/fold.ts";
import { feedHeaderInSteps } from "../../../../src/core/mail-text/header-fields.ts";
import { StreamMatcher } from "../../../../src/core/mail-text/matcher.ts";
import { PartText } from "../../../../src/core/mail-text/part-text.ts";
import { transferDecoder } from "../../../../src/core/mail-text/transfer-decoder.ts";
import { atOnce } from "../../../../src/core/steps.ts";
import { countSteps } from "../../../lib/steps.ts";

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
        atOnce(matcher.look());
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
  atOnce(matcher.look());
  assert.equal(matcher.done, false);
});

test("StreamMatcher looks at a few thousand characters in a step, for one text at a time", () => {
  const needles = ["a", "b", "c"].map(middle => `${"x".repeat(2000)}${middle}${"x".repeat(2000)}`);
  const matcher = new StreamMatcher(needles);
  matcher.add("x".repeat(100_000));
  assert.ok(countSteps(matcher.look()) > (3 * 100_000) / 5000);
});

test("StreamMatcher looks for many texts in short ones in steps too", () => {
  const matcher = new StreamMatcher(Array.from({ length: 1000 }, (_, i) => `none ${i}`));
  for (let i = 0; i < 100; i += 1) {
    matcher.add("x");
    matcher.cut();
  }
  assert.ok(countSteps(matcher.look()) > (100 * 1000) / 200);
});

test("a header is given to who looks for texts field by field, and a long value in steps", () => {
  const lookIn = (header: string) => {
    const matcher = new StreamMatcher(["xb: y"]);
    const steps = countSteps(feedHeaderInSteps(Buffer.from(header), matcher));
    atOnce(matcher.look());
    return { steps, found: matcher.done };
  };
  assert.deepEqual(lookIn("A: x\r\nB: y\r\n"), { steps: 1, found: false });
  assert.equal(lookIn("A: xb:\r\n y\r\n").found, true);
  assert.ok(lookIn(`A: ${"x".repeat(1_000_000)}\r\n`).steps > 1_000_000 / 20_000);
});

test("the header of a message inside is given away in steps", () => {
  const part = { kind: "header", start: 0, end: 0, encoding: "", charset: "" } as const;
  const text = new PartText(part, new StreamMatcher(["none"]));
  assert.ok(countSteps(text.add(Buffer.from("a: b\r\n".repeat(20_000)))) > 65_536 / 5000);
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

test("transfer decoders give the same octets of broken input too, however it is cut", () => {
  const piece = fc.constantFrom(
    "QUJD",
    "QUI=",
    "=",
    "==",
    "\r\n",
    "=4",
    "=41",
    "= \t\r\n",
    `=${" ".repeat(90)}\n`,
    "Q",
    "\0",
    "é",
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      fc.constantFrom("base64", "quoted-printable", ""),
      (pieces, cuts, encoding) => {
        const octets = Buffer.from(pieces.join(""), "latin1");
        const decoder = transferDecoder(encoding);
        const decoded: Buffer[] = [];
        for (let at = 0, i = 0; at < octets.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          decoded.push(decoder.add(octets.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(Buffer.concat(decoded), transferDecoder(encoding).add(octets));
      },
    ),
  );
});

test("what follows a base64 padding is decoded as well", () => {
  assert.equal(transferDecoder("base64").add(Buffer.from("QUI=QUJD\r\n")).toString(), "ABABC");
});

test("text is folded the same however it comes, with marks, jamo, kana and sigmas at every cut", () => {
  const unit = fc.constantFrom(
    ..."aE eÅ=<\u0338\u0301\u0323\u0345ΑΣσς か\u3099ﾊﾟﾞ가\u1100\u1161\u11a8한Ａﬁİẞ\u0e33\u0653ا्क\u{1f600}𝐀\u{1d15f}\ud800".split(
      "",
    ),
    "\u0301".repeat(300),
    "😀".repeat(300),
    "क्".repeat(200),
  );
  const whole = (pieces: readonly string[]) => pieces.join("").toWellFormed();
  fc.assert(
    fc.property(
      fc.array(unit, { maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (pieces, cuts) => {
        const text = [...whole(pieces)];
        const folder = new StreamFolder();
        let folded = "";
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          folded += folder.add(text.slice(at, at + size).join(""));
          at += size;
        }
        assert.equal(folded + folder.end(), fold(text.join("")));
      },
    ),
    { numRuns: 500 },
  );
});

test("text is cut only before characters that nothing in front of them changes", () => {
  const before = [
    "a",
    "A",
    " ",
    "=",
    "e\u0323",
    "か",
    "ﾊ",
    "ᄀ",
    "가",
    "각",
    "Σ",
    "ΑΣ",
    "\u0e4d",
    "ا",
    "क",
    "\u0301",
    "ſ",
    "\u0f71",
  ];
  for (let code = 0; code < 0x10000; code += 1) {
    const char = String.fromCharCode(code);
    const folder = new StreamFolder();
    // What it gives back at once is cut in front of `char`.
    if (folder.add(`x${char}`) === "") continue;
    for (const front of before) {
      const plain = (text: string) => text.normalize("NFKC").toLowerCase().replaceAll("ς", "σ");
      assert.equal(plain(front + char), plain(front) + plain(char), `U+${code.toString(16)} behind ${front}`);
    }
  }
});

test("a long run of marks is folded in linear time", () => {
  const startedAt = process.cpuUsage().user;
  fold(`a${"\u0301\u0323".repeat(500_000)}`);
  assert.ok(process.cpuUsage().user - startedAt < 5_000_000);
});
