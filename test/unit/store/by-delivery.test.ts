import assert from "node:assert/strict";
import { test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import { ByDelivery, type DeliveryKey } from "../../../src/store/by-delivery.ts";

const digest = (n: number) => blobDigest(n.toString(16).padStart(64, "0"));
const delivery = (queueId: string, n = 1): DeliveryKey => ({ queueId, digest: digest(n) });

test("what is of one delivery is found without a look at the others, oldest first", () => {
  const looked: string[] = [];
  const all = new ByDelivery<DeliveryKey & { readonly n: number }>(one => {
    looked.push(one.queueId);
    return one;
  });
  for (let n = 0; n < 1000; n += 1) all.set(String(n), { ...delivery(n % 2 === 0 ? `Q${n}` : "Q"), n });
  looked.length = 0;
  assert.equal(all.of(delivery("Q")).length, 500);
  assert.deepEqual(
    all.of(delivery("Q")).map(([, { n }]) => n),
    Array.from({ length: 500 }, (_, i) => 2 * i + 1),
  );
  assert.deepEqual(all.of(delivery("Q", 2)), [], "other bytes");
  assert.deepEqual(all.of(delivery("none")), []);
  assert.deepEqual(looked, []);
});

test("what is gone or another's is not found, and the oldest goes first", () => {
  const all = new ByDelivery<DeliveryKey>(one => one);
  for (const id of ["a", "b", "c"]) all.set(id, delivery("Q"));
  all.deleteOldest();
  all.delete("c");
  all.delete("none");
  const names = () => all.of(delivery("Q")).map(([id]) => id);
  assert.deepEqual([names(), all.size, all.get("a")], [["b"], 1, undefined]);
  all.set("b", delivery("other"));
  assert.deepEqual([names(), all.of(delivery("other")).length, [...all].length], [[], 1, 1]);
  all.set("d", delivery("Q"));
  for (const [id] of all.of(delivery("Q"))) all.delete(id);
  assert.deepEqual(names(), []);
  all.deleteOldest();
  all.deleteOldest();
  assert.equal(all.size, 0);
});
