/**
 * What must hold whatever way a plugin fails: the hook's own policy and nothing else decides, a hook of another plugin in the same
 * chain and mail without this hook are not harmed, and the counters are exact.
 */
import assert from "node:assert/strict";
import { hookMetrics } from "../../../src/compose/hook-metrics.ts";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import type { FailurePolicy } from "../../../src/core/merge.ts";
import { payloadCost } from "../../../src/core/permissions-cost.ts";
import type { HookDecision, HookDecisions, HookPoint } from "../../../src/core/ports/hooks.ts";
import type { CallOutcome } from "../../../src/hooks/call.ts";
import type { HookRunnerOptions } from "../../../src/hooks/runner.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import { FAILURE_POLICIES } from "../../../src/wire/config/hooks.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { pluginOf, type Rig, rigOf, rowOf, TAGGER } from "./rig.ts";

export interface Failure {
  readonly name: string;
  /** The plugin that fails, as new for each cell; its id is that of the hook. */
  readonly plugin: () => HookPlugin;
  readonly outcome: CallOutcome;
  readonly row?: object;
  readonly more?: () => Partial<HookRunnerOptions>;
  /** Before the message that counts. */
  readonly before?: (rig: Rig, point: HookPoint, elsewhere: HookPoint) => Promise<void>;
  /** A plugin that stands at another point. */
  readonly elsewhere?: HookPlugin;
  readonly after?: () => void;
}

/** Where mail waits for hooks, so that policies count. */
export const SYNC_POINTS = [
  "pre_receive",
  "pre_delivery",
  "pre_send",
] as const satisfies readonly HookPoint[];
const JUDGED = "judged@example.com";
const OTHER = "other@example.com";
export const RECIPIENTS = [JUDGED, OTHER] as const;
export const MESSAGE = "Subject: x\n\nbody";

/** One failure at all points, under all policies; at `post_receive` there is none, and the caller hears of it. */
export async function checkFailure(failure: Failure): Promise<void> {
  for (const point of SYNC_POINTS)
    for (const policy of FAILURE_POLICIES) await checkCell(failure, point, policy);
  await checkCell(failure, "post_receive", "allow");
}

async function checkCell(failure: Failure, point: HookPoint, policy: FailurePolicy): Promise<void> {
  const cell = `${failure.name} at ${point}, ${policy}`;
  const isAsync = point === "post_receive";
  const elsewhere = isAsync ? "pre_receive" : "post_receive";
  const metrics = createMetrics({ process: false });
  const plugin = failure.plugin();
  const isTimeout = failure.outcome === "timeout";
  // The other policy would do something else: only the right one may count.
  const other: FailurePolicy = policy === "allow" ? "reject" : "allow";
  const row = {
    plugin: plugin.id,
    point,
    timeout_ms: 5000,
    on_timeout: isTimeout ? policy : other,
    on_error: isTimeout ? other : policy,
    filter: { ...rowOf("x").filter, recipient: JUDGED },
    ...failure.row,
  };
  const good = (id: string) => pluginOf(id, () => ({ tags: { add: [id] } }), TAGGER);
  const rig = rigOf(
    [good("before"), plugin, good("behind"), ...(failure.elsewhere ? [failure.elsewhere] : [])],
    [
      ...(failure.elsewhere ? [rowOf(failure.elsewhere.id, { point: elsewhere })] : []),
      rowOf("before", { point, priority: 1 }),
      rowOf("failing", { ...row, priority: 2 }),
      rowOf("behind", { point, priority: 3 }),
    ],
    { metrics: hookMetrics(metrics), ...failure.more?.() },
  );
  await failure.before?.(rig, point, elsewhere);
  const counted = await countersOf(metrics);
  const [decisions, bystander] = await Promise.all([
    run(rig, point, [JUDGED, OTHER]),
    run(rig, point, [OTHER]),
  ]);
  failure.after?.();
  if (isAsync) assertFailed(decisions, cell);
  else assertPolicy(decisions.each.get(JUDGED), policy, cell);
  for (const { each } of [decisions, bystander]) {
    const { action, tags, headers } = each.get(OTHER) ?? {};
    assert.deepEqual([action, tags, headers], ["deliver", ["before", "behind"], []], cell);
  }
  const event = decisions.events.find(({ data }) => data.hook === "failing");
  assert.deepEqual(
    [event?.data.outcome, event?.data.policy],
    [failure.outcome, isAsync ? null : policy],
    cell,
  );
  assert.deepEqual(
    difference(await countersOf(metrics), counted),
    expectedCounters(plugin.id, failure.outcome),
    cell,
  );
}

function assertFailed({ each, failed }: HookDecisions, cell: string): void {
  const { action, tags, headers } = each.get(JUDGED) ?? {};
  assert.deepEqual([action, tags, headers], ["deliver", ["before", "behind"], []], cell);
  assert.deepEqual(
    failed?.map(({ hook, problem }) => [hook, problem !== ""]),
    [["failing", true]],
    cell,
  );
}

function assertPolicy(decision: HookDecision | undefined, policy: FailurePolicy, cell: string): void {
  assert.ok(decision, cell);
  const { action, reply, tags, headers, by } = decision;
  const marks = [["X-MaiRust-Skipped", "failing"]];
  const expected = {
    allow: ["deliver", undefined, ["before", "mairust:unchecked", "behind"], marks, undefined],
    tempfail: ["tempfail", 451, [], [], "failing"],
    reject: ["reject", 550, [], [], "failing"],
    hold: ["hold", undefined, ["before"], [], "failing"],
  }[policy];
  assert.deepEqual([action, reply?.code, tags, headers, by?.name], expected, cell);
}

async function run(rig: Rig, point: HookPoint, recipients: readonly string[]): Promise<HookDecisions> {
  const deadline = deadlineAfter(20_000);
  try {
    const facts = factsOf(MESSAGE, { recipients, account: undefined });
    return await awake(rig.runner.run(point, facts, deadline));
  } finally {
    deadline.dispose();
  }
}

/** One message for {@link checkFailure}'s hook. */
export const runJudged = (rig: Rig, point: HookPoint) => run(rig, point, [JUDGED]);

/** Octets that a plugin's payload needs room for, of the messages of {@link checkFailure}. */
export const costOf = ({ grants }: HookPlugin) =>
  payloadCost(factsOf(MESSAGE, { recipients: [...RECIPIENTS] }), grants);

type Counters = Readonly<Record<string, number>>;

/** Counters of hooks and plugins, and how many durations were taken. */
async function countersOf(metrics: ReturnType<typeof createMetrics>): Promise<Counters> {
  const counted = /^mairust_((?:hook|plugin)_(?:\w+_total|duration_seconds_count)(?:\{.*\})?) (\S+)$/gm;
  const found = (await metrics.render()).matchAll(counted);
  return Object.fromEntries(Array.from(found, ([, name, value]) => [name ?? "", Number(value)]));
}

function difference(after: Counters, before: Counters): Counters {
  const grown = Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, value]) => value !== 0));
}

/** Two messages met both good hooks, one of them the failing one. */
function expectedCounters(failing: string, outcome: CallOutcome): Counters {
  const counters: Record<string, number> = {};
  for (const id of ["before", "behind"]) {
    counters[`hook_calls_total{hook="${id}",plugin="${id}",outcome="ok"}`] = 2;
    counters[`hook_duration_seconds_count{hook="${id}",plugin="${id}"}`] = 2;
    counters[`plugin_calls_total{plugin="${id}"}`] = 2;
    counters[`plugin_duration_seconds_count{plugin="${id}"}`] = 2;
  }
  counters[`hook_calls_total{hook="failing",plugin="${failing}",outcome="${outcome}"}`] = 1;
  if (outcome === "circuit_open") return counters;
  counters[`hook_duration_seconds_count{hook="failing",plugin="${failing}"}`] = 1;
  counters[`plugin_calls_total{plugin="${failing}"}`] = 1;
  counters[`plugin_duration_seconds_count{plugin="${failing}"}`] = 1;
  counters[`plugin_errors_total{plugin="${failing}",kind="${outcome}"}`] = 1;
  if (outcome === "violation") counters[`plugin_denied_actions_total{plugin="${failing}",item="folder"}`] = 1;
  return counters;
}
