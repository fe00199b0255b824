import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BoundarySet, DelimiterMatcher } from "../../../../src/core/mime/boundaries.ts";

/** What RFC 2046 §5.1.1 says, one boundary after the other: the longest that the line begins with, innermost first. */
function expected(open: readonly string[], line: string): string {
  if (!line.startsWith("--")) return "no";
  const rest = line.slice(2);
  const fitting = open
    .map((boundary, owner) => ({ boundary, owner }))
    .filter(b => rest.startsWith(b.boundary));
  const best = fitting.sort((a, b) => b.boundary.length - a.boundary.length || b.owner - a.owner)[0];
  if (best === undefined) return "no";
  return `${best.owner}${rest.slice(best.boundary.length).startsWith("--") ? " closes" : ""}`;
}

function matched(set: BoundarySet, line: string): string {
  const matcher = new DelimiterMatcher();
  matcher.reset(set);
  let verdict = "more";
  for (let i = 0; i < line.length && verdict === "more"; i++) verdict = matcher.feed(line.charCodeAt(i));
  if (verdict === "more") verdict = matcher.finish();
  return verdict === "delimiter" ? `${matcher.owner}${matcher.closes ? " closes" : ""}` : "no";
}

test("DelimiterMatcher decides like a plain comparison with every open boundary", () => {
  const boundary = fc.string({ unit: fc.constantFrom("a", "b", "-"), minLength: 1, maxLength: 5 });
  const rest = fc.string({ unit: fc.constantFrom("a", "b", "-", " ", "\n"), maxLength: 10 });
  fc.assert(
    fc.property(
      fc.array(boundary, { maxLength: 6 }),
      fc.nat(6),
      fc.constantFrom("--", "-", ""),
      rest,
      (open, pops, head, tail) => {
        const set = new BoundarySet();
        for (const [owner, text] of open.entries()) set.push(text, owner);
        const left = open.slice(0, Math.max(0, open.length - pops));
        for (let i = left.length; i < open.length; i++) set.pop();
        // The matcher never sees past a line break but the break itself.
        const line = (head + tail).split("\n", 1)[0] ?? "";
        assert.equal(matched(set, line), expected(left, line));
      },
    ),
    { numRuns: 1000 },
  );
});

test("BoundarySet keeps nothing of a boundary that was popped", () => {
  const set = new BoundarySet();
  for (const boundary of ["ab", "abc", "ax", "ab"]) set.push(boundary, 0);
  for (let i = 0; i < 4; i++) set.pop();
  assert.deepEqual(set.root, new BoundarySet().root);
});
