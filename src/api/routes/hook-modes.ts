/** How far hooks go: promotion, differences, bypass, what plugins cost. */
import type { Bypass, HookDiff, PluginAllowance, PluginUsage } from "../../core/ports/hook-guard.ts";
import {
  endBypass,
  listBypasses,
  listDiffs,
  pluginUsage,
  promoteHook,
  startBypass,
} from "../../services/hook-modes.ts";
import type { ServicePorts } from "../../services/ports.ts";
import {
  type AllowanceBody,
  type BypassBody,
  type DiffBody,
  hookModeRoutes as routes,
  type UsageBody,
} from "../../wire/api/hook-modes.ts";
import { CAPPED_ITEMS } from "../../wire/config/hooks.ts";
import { actorOf, changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";
import { setVersion, versionOf } from "../if-match.ts";
import { hookBodyOf } from "./hooks.ts";

const ONE = "/api/v1/admin/hooks/:name";
const BYPASS = "/api/v1/admin/bypass";
const DEFAULT_DIFFS = 20;
const DEFAULT_DAYS = 7;

export function hookModeRoutesOf(app: App, ports: ServicePorts): void {
  app.post(`${ONE}/promote`, { schema: routes.promote }, async (request, reply) => {
    const { dry_run: dryRun = false, force = false } = request.query;
    const options = { dryRun, force, who: actorOf(request) };
    const { view, from, figures, against } = await promoteHook(
      ports,
      request.params.name,
      versionOf(request),
      options,
    );
    setVersion(reply, view.stored?.version);
    return {
      hook: hookBodyOf(view),
      from,
      to: view.row.mode,
      figures: { ...figures },
      against: [...against],
    };
  });
  app.get(`${ONE}/diffs`, { schema: routes.diffs }, async request => {
    const { name } = request.params;
    const { counts, diffs } = await listDiffs(ports, name, request.query.limit ?? DEFAULT_DIFFS);
    return { hook: name, counts: { ...counts }, ...listBodyOf(diffs, diffBodyOf) };
  });
  app.get(BYPASS, { schema: routes.bypasses }, async () => listBodyOf(listBypasses(ports), bypassBodyOf));
  app.post(BYPASS, { schema: routes.startBypass }, async request => {
    const { plugin, for_s: forS } = request.body;
    return listBodyOf(await startBypass(ports, plugin, forS, changeBy(request)), bypassBodyOf);
  });
  app.delete(BYPASS, { schema: routes.endBypass }, async request =>
    listBodyOf(await endBypass(ports, request.query.plugin, changeBy(request)), bypassBodyOf),
  );
  app.get("/api/v1/admin/plugin-usage", { schema: routes.usage }, async request => {
    const { plugin, days = DEFAULT_DAYS } = request.query;
    const usage = await pluginUsage(ports, plugin, days);
    return { ...listBodyOf(usage.days, usageBodyOf), allowances: usage.allowances.map(allowanceBodyOf) };
  });
}

const diffBodyOf = ({
  hook: _,
  callId,
  messageId,
  queueId,
  at,
  differences,
  ...diff
}: HookDiff): DiffBody => ({
  ...diff,
  at: at.toISOString(),
  call_id: callId,
  message_id: messageId,
  queue_id: queueId,
  differences: differences.map(one => ({ ...one })),
});

const bypassBodyOf = ({ plugin, until, by, at }: Bypass): BypassBody => ({
  plugin: plugin ?? null,
  until: until?.toISOString() ?? null,
  by,
  at: at.toISOString(),
});

const usageBodyOf = (usage: PluginUsage): UsageBody => ({
  plugin: usage.plugin,
  day: usage.day,
  calls: usage.calls,
  input_tokens: usage.inputTokens,
  output_tokens: usage.outputTokens,
  cost_usd: usage.costUsd,
});

const allowanceBodyOf = ({ plugin, budget, caps, used }: PluginAllowance): AllowanceBody => ({
  plugin,
  concurrency: budget?.concurrency ?? null,
  calls_per_day: budget?.callsPerDay ?? null,
  tokens_per_day: budget?.tokensPerDay ?? null,
  over_budget: budget?.overBudget ?? null,
  caps: CAPPED_ITEMS.flatMap(item => {
    const perHour = caps[item];
    return perHour === undefined ? [] : [{ item, per_hour: perHour, used: used[item] ?? 0 }];
  }),
});
