/** `mairust hook promote|diffs`, `mairust bypass …`, `mairust plugin usage`: how far plugins go, through the API. */
import type { PageBody } from "../../wire/api/common.ts";
import type {
  AllowanceBody,
  BypassBody,
  DiffBody,
  DiffsBody,
  PromotedBody,
  UsageBody,
  UsageListBody,
} from "../../wire/api/hook-modes.ts";
import type { HookBody } from "../../wire/api/hooks.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printRecord, printRows } from "../output.ts";
import { printable, timeText } from "../text.ts";

const HOOKS = "/api/v1/admin/hooks";
const BYPASS = "/api/v1/admin/bypass";

const PROMOTED_COLUMNS: readonly Column<PromotedBody>[] = [
  { title: "hook", value: p => p.hook.name },
  { title: "mode", value: p => p.to, shown: p => `${p.from} to ${p.to}` },
  { title: "calls", value: p => p.figures.calls },
  { title: "errors", value: p => p.figures.errors },
  { title: "slow", value: p => p.figures.slow },
  { title: "compared", value: p => p.figures.compared },
  { title: "differing", value: p => p.figures.differing },
  { title: "against", value: p => p.against.join("; ") },
];

const DIFF_COLUMNS: readonly Column<DiffBody>[] = [
  { title: "AT", value: d => d.at, shown: d => timeText(d.at) },
  { title: "POINT", value: d => d.point },
  { title: "QUEUE ID", value: d => d.queue_id },
  { title: "RECIPIENT", value: d => d.recipient, min: 12 },
  {
    title: "WOULD BE",
    value: d => d.differences.map(({ field, would }) => `${field} ${would}`).join(", "),
    min: 12,
  },
  {
    title: "WAS",
    value: d => d.differences.map(({ field, was }) => `${field} ${was === "" ? "none" : was}`).join(", "),
    min: 12,
  },
];

const BYPASS_COLUMNS: readonly Column<BypassBody>[] = [
  { title: "PLUGIN", value: b => b.plugin, shown: b => b.plugin ?? "all plugins", min: 16 },
  {
    title: "UNTIL",
    value: b => b.until,
    shown: b => (b.until === null ? "it is ended" : timeText(b.until)),
  },
  { title: "BY", value: b => b.by },
  { title: "SINCE", value: b => b.at, shown: b => timeText(b.at) },
];

const USAGE_COLUMNS: readonly Column<UsageBody>[] = [
  { title: "DAY", value: u => u.day },
  { title: "PLUGIN", value: u => u.plugin, min: 16 },
  { title: "CALLS", value: u => u.calls, right: true },
  { title: "INPUT TOKENS", value: u => u.input_tokens, right: true },
  { title: "OUTPUT TOKENS", value: u => u.output_tokens, right: true },
  { title: "COST USD", value: u => u.cost_usd, shown: u => u.cost_usd.toFixed(4), right: true },
];

export async function promote({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const path = `${HOOKS}/${segment(requiredArg(args, 0, "the name"))}`;
  const { client } = await connect(load);
  const before = await client.get<HookBody>(path);
  const dryRun = options.has("dryRun");
  const { body } = await client.post<PromotedBody>(`${path}/promote`, {
    headers: { "if-match": `"${before.body.version ?? 1}"` },
    query: { dry_run: dryRun, force: options.has("force") },
  });
  terminal.err(`${dryRun ? "would promote" : "promoted"} hook ${printable(body.hook.name)} to ${body.to}\n`);
  printRecord(terminal, format, body, PROMOTED_COLUMNS);
}

export async function diffs({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const path = `${HOOKS}/${segment(requiredArg(args, 0, "the name"))}/diffs`;
  const limit = wholeOption(options, "limit", 20, { min: 1, max: 100 });
  const { client } = await connect(load);
  const { body } = await client.get<DiffsBody>(path, { query: { limit } });
  const { compared = 0, differing = 0, ...fields } = body.counts;
  const by = Object.entries(fields).map(([field, count]) => `${field} ${count}`);
  terminal.err(
    `${differing} of ${compared} calls of the last day would have made a difference${by.length === 0 ? "" : `: ${by.join(", ")}`}\n`,
  );
  printRows(terminal, format, body.items, DIFF_COLUMNS);
}

export async function bypassOn(context: CommandContext): Promise<void> {
  const { options, load } = context;
  const [plugin, time] = [options.text("plugin"), options.text("for")];
  const body = {
    ...(plugin === undefined ? {} : { plugin }),
    ...(time === undefined ? {} : { for_s: secondsOf(time) }),
  };
  const { client } = await connect(load);
  const query = { dry_run: options.has("dryRun") };
  printBypasses(context, (await client.post<PageBody<BypassBody>>(BYPASS, { body, query })).body);
}

export async function bypassOff(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  const query = { plugin: context.options.text("plugin"), dry_run: context.options.has("dryRun") };
  printBypasses(context, (await client.delete<PageBody<BypassBody>>(BYPASS, { query })).body);
}

export async function bypassStatus(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  printBypasses(context, (await client.get<PageBody<BypassBody>>(BYPASS)).body);
}

function printBypasses({ terminal, format, options }: CommandContext, { items }: PageBody<BypassBody>): void {
  if (options.has("dryRun")) terminal.err("nothing is changed; it would be:\n");
  if (items.length === 0) terminal.err("no bypass: plugins are called\n");
  printRows(terminal, format, items, BYPASS_COLUMNS);
}

const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** @throws {CommandError} 64 */
function secondsOf(text: string): number {
  const [, count, unit = ""] = /^(\d{1,5})([smhd])$/u.exec(text) ?? [];
  if (count === undefined) throw usageError(`--for takes a time such as 90s, 30m, 1h or 2d, not "${text}"`);
  return Number(count) * (UNIT_S[unit] ?? 0);
}

export async function usage({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const days = wholeOption(options, "days", 7, { min: 1, max: 366 });
  const { client } = await connect(load);
  const { body } = await client.get<UsageListBody>("/api/v1/admin/plugin-usage", {
    query: { plugin: args[0], days },
  });
  for (const one of body.allowances) for (const line of allowanceLines(one)) terminal.err(`${line}\n`);
  printRows(terminal, format, body.items, USAGE_COLUMNS);
}

function allowanceLines(allowance: AllowanceBody): readonly string[] {
  const { plugin, caps, concurrency, calls_per_day: calls, tokens_per_day: tokens } = allowance;
  const budget = [
    ...(calls === null ? [] : [`${calls} calls a day`]),
    ...(tokens === null ? [] : [`${tokens} tokens a day`]),
    ...(concurrency === null ? [] : [`${concurrency} at a time`]),
  ];
  return [
    ...(budget.length === 0
      ? []
      : [`${printable(plugin)}: ${budget.join(", ")}; over it: ${allowance.over_budget}`]),
    ...caps.map(
      ({ item, per_hour, used }) => `${printable(plugin)}: ${item} ${used} of ${per_hour} in the last hour`,
    ),
  ];
}
