/** Cursors and limits of lists. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCursor, pageGiven, pageRequest } from "../../../src/services/paging.ts";

test("a cursor comes back as the key it was made from", () => {
  const { nextCursor } = pageGiven({ items: [1], next: "josé@例え.test" });
  assert.deepEqual(pageRequest({ limit: 7, ...(nextCursor === undefined ? {} : { cursor: nextCursor }) }), {
    limit: 7,
    after: "josé@例え.test",
  });
});

test("the last page has no cursor, and a request without one begins at the start with 50", () => {
  assert.equal(pageGiven({ items: [], next: undefined }).nextCursor, undefined);
  assert.deepEqual(pageRequest({}), { limit: 50 });
});

test("limits out of 1..200 are refused", () => {
  for (const limit of [0, 201, 1.5, -1, Number.NaN])
    assert.throws(() => pageRequest({ limit }), /allowed are 1 to 200/u);
});

test("cursors that no list gave out are refused", () => {
  for (const cursor of ["", "=", "ä", "AA", encodeCursor("a\0b"), encodeCursor("x".repeat(5000))]) {
    assert.throws(() => pageRequest({ cursor }), /not one of ours/u, cursor);
  }
});
