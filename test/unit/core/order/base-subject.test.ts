import assert from "node:assert/strict";
import { test } from "node:test";
import { baseSubject, SUBJECT_CHARS_MAX } from "../../../../src/core/order/base-subject.ts";

const base = (text: string) => baseSubject(Buffer.from(text, "latin1"));

const CASES: ReadonlyArray<readonly [subject: string, base: string, isReply: boolean]> = [
  ["", "", false],
  ["hello", "hello", false],
  ["Re: hello", "hello", true],
  ["re:hello", "hello", true],
  ["RE : hello", "hello", true],
  ["Fw: hello", "hello", true],
  ["FWD: hello", "hello", true],
  ["Re: Fwd: re: hello", "hello", true],
  ["hello (fwd)", "hello", true],
  ["hello (FWD) (fwd)  ", "hello", true],
  ["hello(fwd)", "hello", true],
  ["Re: hello (fwd)", "hello", true],
  ["[Fwd: hello]", "hello", true],
  ["[fwd: Re: hello (fwd)] ", "hello", true],
  ["[Fwd: [Fwd: hello]]", "hello", true],
  ["[Fwd: hello", "[Fwd: hello", false],
  ["[list] hello", "hello", false],
  ["[list] [other]  hello", "hello", false],
  ["[list] Re: hello", "hello", true],
  ["Re: [list] hello", "hello", true],
  ["Re[2]: hello", "hello", true],
  ["Re [2] : hello", "hello", true],
  ["Re[2]hello", "Re[2]hello", false],
  ["[only]", "[only]", false],
  ["Re: [only]", "[only]", true],
  ["[a] [b]", "[b]", false],
  ["[open hello", "[open hello", false],
  ["Re:", "", true],
  ["  two\t words  ", "two words", false],
  ["folded\r\n\t line", "folded line", false],
  ["Regarding: hello", "Regarding: hello", false],
  ["Re hello", "Re hello", false],
  ["Fwdx: hello", "Fwdx: hello", false],
  ["=?utf-8?q?Re=3A_caf=C3=A9?=", "café", true],
  ["=?utf-8?b?UmU6IFtsaXN0XSA=?= =?utf-8?q?hello?=", "hello", true],
];

for (const [subject, text, isReply] of CASES) {
  test(`baseSubject() of ${JSON.stringify(subject)} is ${JSON.stringify(text)}`, () => {
    assert.deepEqual(base(subject), { text, isReply });
  });
}

test("baseSubject() of hostile subjects takes no more than a moment", () => {
  for (const piece of ["[a]", "[", "re:", "(fwd)", "[fwd:", " ", "re[a]", "=?utf-8?q?[a]?= "]) {
    const startedAt = performance.now();
    base(piece.repeat(20_000));
    base(`x${piece.repeat(20_000)}x`);
    assert.ok(performance.now() - startedAt < 500, piece);
  }
  assert.ok(base("x".repeat(100_000)).text.length <= SUBJECT_CHARS_MAX);
});
