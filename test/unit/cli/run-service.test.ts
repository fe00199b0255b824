/** From start to end of a service: signals, drain, reload. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runService } from "../../../src/cli/run-service.ts";
import type { ServiceHandle, SignalName } from "../../../src/cli/standalone.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";

const reread = () => loadConfig({ defaultFile: "/nonexistent", env: {} });

function signalsOf(names: SignalName[]) {
  return {
    next: () => new Promise<SignalName>(resolve => names.length > 0 && resolve(names.shift() ?? "SIGTERM")),
    release: () => undefined,
  };
}

function service(parts: Partial<ServiceHandle> = {}) {
  const events: string[] = [];
  const note = (event: string) => void events.push(event);
  const handle: ServiceHandle = {
    log: { info: note, warn: note, error: note },
    start: async () => void events.push("start()"),
    stop: async () => void events.push("stop()"),
    addresses: () => [{ name: "lmtp", address: "inet:127.0.0.1:2424" }],
    reload: async () => ({ applied: [], needRestart: [] }),
    ...parts,
  };
  return { handle, events };
}

const options = { reread, drainMs: 1000, onStarted: () => undefined };

test("SIGTERM drains and ends with 0; every listener is named", async () => {
  const { handle, events } = service();
  assert.equal(await runService(handle, signalsOf(["SIGTERM"]), options), 0);
  assert.deepEqual(events, ["start()", "listening", "started", "stopping", "stop()", "stopped"]);
});

test("a second signal ends at once, SIGHUP in between does not", async () => {
  const { handle, events } = service({ stop: () => new Promise(() => undefined) });
  assert.equal(await runService(handle, signalsOf(["SIGTERM", "SIGHUP", "SIGINT"]), options), 1);
  assert.equal(events.at(-1), "ended at once");
});

test("SIGHUP reloads; a refused reload is logged and the service goes on", async () => {
  const { handle, events } = service({ reload: () => Promise.reject(new Error("no")) });
  assert.equal(await runService(handle, signalsOf(["SIGHUP", "SIGTERM"]), options), 0);
  assert.ok(events.includes("reload refused, the old configuration stays"));
});

test("what start() throws comes through", async () => {
  const { handle } = service({ start: () => Promise.reject(new Error("database away")) });
  await assert.rejects(runService(handle, signalsOf([]), options), /database away/u);
});
