import assert from "node:assert/strict";
import { test } from "node:test";
import { mailboxId } from "../../../src/core/ids.ts";
import type { SortCriterion } from "../../../src/core/ports/message-order.ts";
import { OrderCache } from "../../../src/store/order-cache.ts";

const BY_DATE: readonly SortCriterion[] = [{ key: "DATE", reverse: false }];
const mailbox = (id: number, uidValidity = 1) => ({ mailboxId: mailboxId(id), uidValidity });
const order = (first: number, last: number) => ({
  first,
  last,
  uids: Uint32Array.from({ length: last - first + 1 }, (_, i) => last - i),
});

test("an order is found for the same mailbox, UIDVALIDITY and criteria, within its range", () => {
  const cache = new OrderCache();
  const known = order(5, 300);
  cache.add(mailbox(1), BY_DATE, known);
  assert.equal(cache.find(mailbox(1), BY_DATE, 5, 300), known);
  assert.equal(cache.find(mailbox(1), BY_DATE, 7, 9), known);
  assert.equal(cache.find(mailbox(1), BY_DATE, 4, 300), undefined);
  assert.equal(cache.find(mailbox(1), BY_DATE, 5, 301), undefined);
  assert.equal(cache.find(mailbox(2), BY_DATE, 5, 300), undefined);
  assert.equal(cache.find(mailbox(1, 2), BY_DATE, 5, 300), undefined);
  assert.equal(cache.find(mailbox(1), [{ key: "DATE", reverse: true }], 5, 300), undefined);
  assert.equal(cache.find(mailbox(1), [...BY_DATE, { key: "SIZE", reverse: false }], 5, 300), undefined);
});

test("orders take no more memory than their bound; the one not asked for longest goes first", () => {
  const cache = new OrderCache(3 * (400 + 200));
  for (const id of [1, 2, 3]) cache.add(mailbox(id), BY_DATE, order(1, 100));
  assert.ok(cache.find(mailbox(1), BY_DATE, 1, 100));
  cache.add(mailbox(4), BY_DATE, order(1, 100));
  const kept = [1, 2, 3, 4].filter(id => cache.find(mailbox(id), BY_DATE, 1, 100) !== undefined);
  assert.deepEqual(kept, [1, 3, 4]);
  cache.add(mailbox(5), BY_DATE, order(1, 10_000));
  assert.equal(cache.find(mailbox(5), BY_DATE, 1, 10_000), undefined);
});

test("a newer order takes the place of the older one", () => {
  const cache = new OrderCache(600);
  cache.add(mailbox(1), BY_DATE, order(1, 99));
  const newer = order(1, 100);
  cache.add(mailbox(1), BY_DATE, newer);
  assert.equal(cache.find(mailbox(1), BY_DATE, 1, 100), newer);
});
