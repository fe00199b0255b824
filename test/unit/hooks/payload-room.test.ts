import assert from "node:assert/strict";
import { test } from "node:test";
import { PayloadRoom } from "../../../src/hooks/payload-room.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";

const soon = () => deadlineAfter(30);
const later = () => deadlineAfter(60_000);

test("payloads wait in order until there is room", async () => {
  const room = new PayloadRoom(100);
  const first = await room.acquire(60, later());
  const order: string[] = [];
  const second = room.acquire(60, later()).then(release => {
    order.push("second");
    return release;
  });
  // It would fit, but it is not its turn.
  const third = room.acquire(10, later()).then(release => {
    order.push("third");
    return release;
  });
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(order, []);
  first();
  (await second)();
  (await third)();
  assert.deepEqual(order, ["second", "third"]);
});

test("who cannot get room in time fails with deadline and takes nothing with it", async () => {
  const room = new PayloadRoom(100);
  const release = await room.acquire(100, later());
  await awake(assert.rejects(room.acquire(50, soon()), { code: "deadline" }));
  release();
  (await room.acquire(100, soon()))();
});

test("who gives up lets the next one in", async () => {
  const room = new PayloadRoom(100);
  const release = await room.acquire(60, later());
  const big = assert.rejects(room.acquire(90, soon()), { code: "deadline" });
  const small = room.acquire(30, later());
  await awake(big);
  (await small)();
  release();
});

test("a payload larger than the room gets it alone", async () => {
  const room = new PayloadRoom(100);
  const release = await room.acquire(1000, soon());
  await awake(assert.rejects(room.acquire(1, soon()), { code: "deadline" }));
  release();
  (await room.acquire(1, soon()))();
});

test("a payload that turned out smaller gives the rest back at once, and no more than it had", async () => {
  const room = new PayloadRoom(100);
  const release = await room.acquire(90, later());
  const second = room.acquire(80, later());
  release(20);
  (await second)();
  // It keeps 20 of what it had, not 50.
  release(50);
  (await room.acquire(80, soon()))();
  await awake(assert.rejects(room.acquire(81, soon()), { code: "deadline" }));
  release();
  release();
  const all = await room.acquire(100, soon());
  await awake(assert.rejects(room.acquire(1, soon()), { code: "deadline" }));
  all();
});
