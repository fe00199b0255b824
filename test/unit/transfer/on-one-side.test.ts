/** What verify judges of a mailbox that mail comes into while it looks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAnyLeft, type Look, withoutComing } from "../../../src/transfer/on-one-side.ts";

const box = (digests: string) => ({
  uidValidity: 1,
  messages: [...digests].map((digest, i) => ({ uid: i + 1, flags: "", date: 0, sizeBytes: 1, digest })),
});
/** Messages as letters; those on one side only stand in upper case. */
const look = (here: string, there: string): Look => ({
  here: box(here.toLowerCase()),
  there: box(there.toLowerCase()),
  oneSided: { here: upper(here), there: upper(there) },
});
const upper = (text: string) =>
  [...text].flatMap((letter, i) => (letter === letter.toUpperCase() ? [i + 1] : []));
const judged = (...looks: readonly Look[]) => {
  const sides = withoutComing(looks);
  const text = (side: "here" | "there") => sides?.[side].messages.map(one => one.digest).join("");
  return `${text("here")} ${text("there")}`;
};

test("one look is judged as it is", () => {
  assert.equal(judged(look("abC", "abD")), "abc abd");
  assert.ok(isAnyLeft([look("abC", "ab")]));
  assert.ok(!isAnyLeft([look("ab", "ab")]));
});

test("mail that came after one side was read is on both the next time, and what came since is not judged", () => {
  const looks = [look("ab", "abC"), look("abc", "abcD")];
  assert.ok(!isAnyLeft(looks));
  assert.equal(judged(...looks), "abc abc");
});

test("what is missing in each look stays a difference, on both sides", () => {
  const looks = [look("abX", "abYC"), look("abXc", "abYcD"), look("abXcd", "abYcd")];
  assert.ok(isAnyLeft(looks));
  assert.equal(judged(...looks), "abxcd abycd");
});

test("of equal messages as many stay as were too many each time", () => {
  assert.equal(judged(look("aA", "a"), look("aAA", "a")), "aa a");
  assert.equal(judged(look("aAA", "a"), look("aA", "a")), "aa a");
});

test("a message here only in one look and there only in the next is not the same difference", () => {
  const looks = [look("C", ""), look("", "C")];
  assert.ok(!isAnyLeft(looks));
  assert.equal(judged(...looks), " ");
});
