/** A hook runner over plugins in memory: plugins are functions behind the transport port. */
import { randomUUID } from "node:crypto";
import type { Deadline } from "../../../src/core/deadline.ts";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import type { PluginTransport } from "../../../src/core/ports/plugin-transport.ts";
import type { CircuitState } from "../../../src/hooks/breaker.ts";
import type { HookRow } from "../../../src/hooks/hook-set.ts";
import type { HookCallSample } from "../../../src/hooks/report.ts";
import { createHookRunner, type HookRunnerOptions } from "../../../src/hooks/runner.ts";
import { DEMOTE_DEFAULTS } from "../../../src/wire/config/hooks.ts";
import type { HookPayload } from "../../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";

/** Answers a payload, as a plugin would. */
export type Behaviour = (payload: HookPayload, deadline: Deadline) => unknown;

export const TAGGER: PermissionsInput = { read_headers: true, write_tags: true };
export const EVERYTHING: PermissionsInput = {
  ...TAGGER,
  read_body: "preview",
  move_message: true,
  decide: ["reject", "tempfail"],
};

export function pluginOf(
  id: string,
  behave: Behaviour,
  grants: PermissionsInput = EVERYTHING,
  change: Partial<HookPlugin> = {},
): HookPlugin {
  const transport: PluginTransport = {
    start: async () => {},
    destination: "test",
    call: async (payload, _call, deadline) => {
      const answer = await behave(JSON.parse(Buffer.from(payload).toString()), deadline);
      return Buffer.from(typeof answer === "string" ? answer : JSON.stringify(answer));
    },
    health: async () => ({ status: "ok" }),
    stop: async () => {},
  };
  return {
    id,
    version: "1.0.0",
    grants: grantsOf(grants),
    settings: {},
    wallTimeMs: Number.POSITIVE_INFINITY,
    onViolation: () => "drop",
    transport,
    failure: undefined,
    ...change,
  };
}

export function rowOf(name: string, change: Partial<HookRow> = {}): HookRow {
  return {
    name,
    point: "pre_delivery",
    plugin: name,
    priority: 100,
    mode: "enforce",
    canary_percent: 10,
    canary_for: [],
    demote: DEMOTE_DEFAULTS,
    // The longest that a hook may have while mail waits: a test that wants a time-out says so.
    timeout_ms: 5000,
    on_timeout: "tempfail",
    on_error: "tempfail",
    late: "drop",
    late_timeout_ms: 60_000,
    per_recipient: true,
    parallel: false,
    enabled: true,
    filter: {
      recipient: "",
      sender: "",
      domain: "",
      size_min_bytes: 0,
      size_max_bytes: 0,
      header: {},
      sample_percent: 100,
    },
    ...change,
  };
}

export interface Rig {
  readonly runner: ReturnType<typeof createHookRunner>;
  readonly calls: HookCallSample[];
  readonly denied: string[];
  /** State of the circuit by plugin, as the metric has it. */
  readonly circuits: Map<string, CircuitState | undefined>;
  readonly log: string[];
}

export function rigOf(
  plugins: readonly HookPlugin[],
  rows: readonly HookRow[],
  more: Partial<HookRunnerOptions> = {},
): Rig {
  const calls: HookCallSample[] = [];
  const denied: string[] = [];
  const circuits: Rig["circuits"] = new Map();
  const lines: string[] = [];
  const write = (event: string, fields?: object) => lines.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const runner = createHookRunner({
    plugins: { find: id => plugins.find(plugin => plugin.id === id) },
    hooks: rows,
    log,
    metrics: {
      call: sample => calls.push(sample),
      denied: (plugin, item) => denied.push(`${plugin} ${item}`),
      circuit: (plugin, state) => circuits.set(plugin, state),
    },
    now: () => new Date("2026-03-01T12:00:01Z"),
    newCallId: () => callId(randomUUID()),
    payloadBytesInFlight: 64 * 1024 * 1024,
    ...more,
  });
  return { runner, calls, denied, circuits, log: lines };
}
