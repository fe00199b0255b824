import assert from "node:assert/strict";
import { test } from "node:test";
import { InFlightDeliveries } from "../../../src/delivery/in-flight.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";

const FOREVER = { remainingMs: () => Number.POSITIVE_INFINITY, signal: new AbortController().signal };

test("InFlightDeliveries makes the same delivery wait for the first", async () => {
  const inFlight = new InFlightDeliveries();
  const order: string[] = [];
  const release = await inFlight.claim("Q1", ["a@x", "b@x"], FOREVER);
  const second = inFlight.claim("Q1", ["b@x"], FOREVER).then(r => {
    order.push("second");
    r();
  });
  await new Promise(resolve => setImmediate(resolve));
  order.push("first done");
  release();
  await second;
  assert.deepEqual(order, ["first done", "second"]);
  assert.equal(inFlight.size, 0);
});

test("InFlightDeliveries lets other recipients and messages without queue id pass", async () => {
  const inFlight = new InFlightDeliveries();
  const release = await inFlight.claim("Q1", ["a@x"], FOREVER);
  (await inFlight.claim("Q1", ["c@x"], FOREVER))();
  (await inFlight.claim("", ["a@x"], FOREVER))();
  release();
});

test("InFlightDeliveries claims nothing when the deadline passes first", async () => {
  const inFlight = new InFlightDeliveries();
  const release = await inFlight.claim("Q1", ["a@x"], FOREVER);
  const deadline = deadlineAfter(5);
  const claim = assert.rejects(inFlight.claim("Q1", ["a@x", "b@x"], deadline));
  // Deadlines do not keep the process alive; something has to.
  await sleep(20);
  await claim;
  release();
  assert.equal(inFlight.size, 0);
});
