import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidState } from "../../../src/core/errors.ts";
import { type Component, type ComponentParts, component } from "../../../src/platform/component.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";

const info = { name: "one", version: "1.0.0", description: "for a test", type: "service" } as const;
const soon = () => deadlineAfter(1000);

function make(parts: Omit<ComponentParts, "info"> = {}): Component {
  return component({ info, ...parts });
}

function fails(): never {
  throw new Error("broken");
}

test("a component goes from created over initialized and running to stopped", async () => {
  const calls: string[] = [];
  const one = make({
    init: () => void calls.push("init"),
    start: async () => void calls.push("start"),
    drain: () => void calls.push("drain"),
    stop: () => void calls.push("stop"),
  });
  const states = [one.state];
  await one.init();
  states.push(one.state);
  await one.start();
  states.push(one.state);
  await one.drain(soon());
  states.push(one.state);
  await one.stop(soon());
  states.push(one.state);
  assert.deepEqual(states, ["created", "initialized", "running", "running", "stopped"]);
  assert.deepEqual(calls, ["init", "start", "drain", "stop"]);
  assert.deepEqual(one.info, info);
});

test("a wrong transition is InvalidState that names the current and the expected state", async () => {
  const one = make();
  const refuses = (call: Promise<void>, text: RegExp) =>
    assert.rejects(call, (error: unknown) => error instanceof InvalidState && text.test(error.message));
  await refuses(one.start(), /"one": state is "created", expected "initialized"/);
  await refuses(one.drain(soon()), /state is "created", expected "running"/);
  await refuses(one.stop(soon()), /state is "created", expected "initialized" or "running" or "failed"/);
  await one.init();
  await refuses(one.init(), /state is "initialized", expected "created"/);
  await one.start();
  await refuses(one.start(), /state is "running"/);
  await one.stop(soon());
  await refuses(one.stop(soon()), /state is "stopped"/);
  await refuses(one.init(), /state is "stopped"/);
  assert.equal(one.state, "stopped");
});

test("what was only initialized can be stopped", async () => {
  const one = make();
  await one.init();
  await one.stop(soon());
  assert.equal(one.state, "stopped");
});

test("a failure in any step leads to failed, and stop() from there to stopped", async () => {
  const steps: ReadonlyArray<readonly [Omit<ComponentParts, "info">, number]> = [
    [{ init: fails }, 1],
    [{ start: fails }, 2],
    [{ drain: fails }, 3],
  ];
  for (const [parts, count] of steps) {
    const one = make(parts);
    const calls = [() => one.init(), () => one.start(), () => one.drain(soon())].slice(0, count);
    const last = calls.pop();
    for (const call of calls) await call();
    await assert.rejects(async () => last?.(), /broken/);
    assert.equal(one.state, "failed");
    await one.stop(soon());
    assert.equal(one.state, "stopped");
  }
});

test("a stop() that fails leads to failed; a second one ends in stopped and still tells of its error", async () => {
  const one = make({ stop: fails });
  await one.init();
  await assert.rejects(one.stop(soon()), /broken/);
  assert.equal(one.state, "failed");
  await assert.rejects(one.stop(soon()), /broken/);
  assert.equal(one.state, "stopped");
});

test("two calls at a time are InvalidState", async () => {
  let go = () => {};
  const one = make({ init: () => new Promise<void>(resolve => (go = resolve)) });
  const first = one.init();
  await assert.rejects(one.init(), /state is "created, init\(\) runs"/);
  go();
  await first;
  assert.equal(one.state, "initialized");
});

test("health() is an error unless running, then what the component says; it never rejects", async () => {
  const one = make({ health: () => ({ status: "degraded", detail: "slow" }) });
  assert.deepEqual(await one.health(), { status: "error", detail: 'state is "created"' });
  await one.init();
  await one.start();
  assert.deepEqual(await one.health(), { status: "degraded", detail: "slow" });
  const broken = make({ health: fails });
  await broken.init();
  await broken.start();
  assert.deepEqual(await broken.health(), { status: "error", detail: "broken" });
});
