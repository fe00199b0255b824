import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { Deadline } from "../../../src/core/deadline.ts";
import { AlreadyRegistered, InvalidState, NotFound, StopFailed } from "../../../src/core/errors.ts";
import { type ComponentParts, type ComponentType, component } from "../../../src/platform/component.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { ComponentRegistry } from "../../../src/platform/registry.ts";

const soon = () => deadlineAfter(1000);

/** A component that writes down its calls. */
function traced(
  calls: string[],
  name: string,
  type: ComponentType = "service",
  parts: Omit<ComponentParts, "info"> = {},
) {
  const note = (call: keyof Omit<ComponentParts, "info" | "health">) => async () => {
    calls.push(`${call} ${name}`);
    await parts[call]?.(soon());
  };
  return component({
    info: { name, version: "1", description: name, type },
    ...parts,
    init: note("init"),
    start: note("start"),
    drain: note("drain"),
    stop: note("stop"),
  });
}

const fails = () => {
  throw new Error("broken");
};

test("register() refuses a name twice", () => {
  const registry = new ComponentRegistry();
  registry.register(traced([], "a"));
  assert.throws(() => registry.register(traced([], "a")), AlreadyRegistered);
  assert.equal(registry.count(), 1);
});

test("find() may find nothing, get() and unregister() throw NotFound", () => {
  const registry = new ComponentRegistry();
  const a = traced([], "a");
  registry.register(a);
  assert.equal(registry.find("a"), a);
  assert.equal(registry.get("a"), a);
  assert.equal(registry.find("b"), undefined);
  assert.throws(() => registry.get("b"), NotFound);
  assert.throws(() => registry.unregister("b"), NotFound);
  registry.unregister("a");
  assert.equal(registry.count(), 0);
});

test("unregister() refuses what runs", async () => {
  const registry = new ComponentRegistry();
  registry.register(traced([], "a"));
  await registry.initAll(soon());
  assert.throws(() => registry.unregister("a"), InvalidState);
  await registry.stopAll(soon());
  registry.unregister("a");
});

test("list() tells name, version, description, type and state in the order of registration", async () => {
  const registry = new ComponentRegistry();
  registry.register(traced([], "b", "store"));
  registry.register(traced([], "a", "listener"));
  await registry.initAll(soon());
  assert.deepEqual(registry.list(), [
    { name: "b", version: "1", description: "b", type: "store", state: "initialized" },
    { name: "a", version: "1", description: "a", type: "listener", state: "initialized" },
  ]);
});

test("components start in the order of registration; listeners drain first, then the reverse", async () => {
  const calls: string[] = [];
  const registry = new ComponentRegistry();
  registry.register(traced(calls, "db", "store"));
  registry.register(traced(calls, "worker", "worker"));
  registry.register(traced(calls, "lmtp", "listener"));
  registry.register(traced(calls, "imap", "listener"));
  await registry.initAll(soon());
  await registry.startAll(soon());
  const order = ["db", "worker", "lmtp", "imap"];
  assert.deepEqual(calls.splice(0), [
    ...order.map(name => `init ${name}`),
    ...order.map(name => `start ${name}`),
  ]);
  await registry.stopAll(soon());
  assert.deepEqual(calls, [
    "drain imap",
    "drain lmtp",
    "stop imap",
    "stop lmtp",
    "drain worker",
    "stop worker",
    "drain db",
    "stop db",
  ]);
});

test("a failed init() stops what was initialized, and the failure comes through", async () => {
  const calls: string[] = [];
  const registry = new ComponentRegistry();
  registry.register(traced(calls, "a"));
  registry.register(traced(calls, "b", "service", { init: fails }));
  registry.register(traced(calls, "c"));
  await assert.rejects(registry.initAll(soon()), /^Error: broken$/);
  assert.deepEqual(calls, ["init a", "init b", "stop b", "stop a"]);
  assert.deepEqual(
    registry.list().map(({ state }) => state),
    ["stopped", "stopped", "created"],
  );
});

test("a failed start() stops what was started and what was only initialized", async () => {
  const calls: string[] = [];
  const registry = new ComponentRegistry();
  registry.register(traced(calls, "a"));
  registry.register(traced(calls, "b", "service", { start: fails, stop: fails }));
  registry.register(traced(calls, "c"));
  await registry.initAll(soon());
  calls.length = 0;
  await assert.rejects(registry.startAll(soon()), /broken; then: Cannot stop "b": broken/);
  assert.deepEqual(calls, ["start a", "start b", "stop c", "stop b", "drain a", "stop a"]);
});

test("stopAll() stops all of them even when one fails, and StopFailed lists each", async () => {
  const calls: string[] = [];
  const registry = new ComponentRegistry();
  registry.register(traced(calls, "a", "store", { stop: fails }));
  registry.register(traced(calls, "b"));
  registry.register(traced(calls, "c", "listener", { drain: fails }));
  await registry.initAll(soon());
  await registry.startAll(soon());
  calls.length = 0;
  await assert.rejects(registry.stopAll(soon()), (error: unknown) => {
    assert.ok(error instanceof StopFailed);
    assert.deepEqual(
      error.failures.map(({ name }) => name),
      ["c", "a"],
    );
    return true;
  });
  assert.deepEqual(calls, ["drain c", "stop c", "drain b", "stop b", "drain a", "stop a"]);
});

test("draining leaves a part of the deadline for stopping, however long a peer takes", async t => {
  const registry = new ComponentRegistry();
  const left: Record<string, number> = {};
  const hangs = async (name: string, deadline: Deadline) => {
    left[name] = deadline.remainingMs();
    if (!deadline.signal.aborted) await once(deadline.signal, "abort");
  };
  const part = (name: string, type: ComponentType) =>
    component({
      info: { name, version: "1", description: name, type },
      drain: deadline => hangs(`drain ${name}`, deadline),
      stop: deadline => {
        left[`stop ${name}`] = deadline.remainingMs();
      },
    });
  registry.register(part("db", "store"));
  registry.register(part("lmtp", "listener"));
  await registry.initAll(soon());
  await registry.startAll(soon());
  const deadline = deadlineAfter(16_000);
  // The end of the draining comes at once, whatever time it has.
  const later = setTimeout;
  t.mock.method(globalThis, "setTimeout", ((work: () => void) => later(work, 1)) as typeof setTimeout);
  await registry.stopAll(deadline);
  deadline.dispose();
  const draining = left["drain lmtp"] ?? 0;
  assert.ok(draining > 8000 && draining <= 12_000, `${draining} ms: three quarters for draining`);
  assert.equal(left["drain db"], 0);
  for (const name of ["stop lmtp", "stop db"]) assert.ok((left[name] ?? 0) > 0, `${name}: ${left[name]} ms`);
});

test("no more than five seconds are kept from draining", async () => {
  const registry = new ComponentRegistry();
  let remainingMs = 0;
  registry.register(
    component({
      info: { name: "lmtp", version: "1", description: "", type: "listener" },
      drain: deadline => {
        remainingMs = deadline.remainingMs();
      },
    }),
  );
  await registry.initAll(soon());
  await registry.startAll(soon());
  const deadline = deadlineAfter(100_000);
  await registry.stopAll(deadline);
  deadline.dispose();
  assert.ok(remainingMs > 80_000 && remainingMs <= 95_000, `${remainingMs} ms`);
});

test("healthAll() asks all at once, takes the worst, and does not wait for one that hangs", async () => {
  const registry = new ComponentRegistry();
  registry.register(traced([], "good"));
  registry.register(
    traced([], "slow", "service", { health: () => ({ status: "degraded", detail: "slow" }) }),
  );
  await registry.initAll(soon());
  await registry.startAll(soon());
  const health = await registry.healthAll(soon());
  assert.equal(health.status, "degraded");
  assert.deepEqual(health.checks, [
    { name: "good", status: "ok" },
    { name: "slow", status: "degraded", detail: "slow" },
  ]);
  const hanging = new AbortController();
  const stuck = traced([], "stuck", "service", {
    health: async () => {
      await sleep(60_000, hanging.signal).catch(() => {});
      return { status: "ok" };
    },
  });
  await stuck.init();
  await stuck.start();
  registry.register(stuck);
  const cut = await registry.healthAll(deadlineAfter(20));
  hanging.abort();
  assert.equal(cut.status, "error");
  assert.match(cut.checks[2]?.detail ?? "", /deadline has passed/);
});
