/** `mairust hook …`: who is called where in the mail path, through the API. */
import type { PageBody } from "../../wire/api/common.ts";
import type { HookBody, HookTestBody } from "../../wire/api/hooks.ts";
import { type CallOptions, type Client, connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { hookKeys } from "../hook-keys.ts";
import { openInput } from "../input-file.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/admin/hooks";

const callsText = ({ calls }: HookBody): string =>
  Object.entries(calls)
    .map(([outcome, count]) => `${count} ${outcome}`)
    .join(", ");
/** `3 of 40 differ`. */
function diffsText({ diffs: { compared = 0, differing = 0 } }: HookBody): string {
  return compared === 0 ? "" : `${differing} of ${compared} differ`;
}
/** `shadow (demoted from enforce)`. */
function modeText({ mode, effective_mode: effective }: HookBody): string {
  return mode === effective ? mode : `${effective} (demoted from ${mode})`;
}
const canaryText = ({ canary_for: whom, canary_percent: percent }: HookBody): string =>
  whom.length === 0 ? `${percent} %` : `for ${whom.join(" ")}`;
const originText = (hook: HookBody): string => hook.where ?? hook.origin;

const COLUMNS: readonly Column<HookBody>[] = [
  { title: "POINT", value: h => h.point },
  { title: "PRIORITY", value: h => h.priority, right: true },
  { title: "NAME", value: h => h.name, min: 12 },
  { title: "PLUGIN", value: h => h.plugin, min: 16 },
  { title: "MODE", value: modeText },
  { title: "STATE", value: h => h.state },
  { title: "CALLS", value: callsText, min: 8 },
  { title: "DIFFS", value: diffsText },
  { title: "SET IN", value: originText, min: 8 },
];

const SHOW_COLUMNS: readonly Column<HookBody>[] = [
  { title: "name", value: h => h.name },
  { title: "point", value: h => h.point },
  { title: "plugin", value: h => h.plugin },
  { title: "priority", value: h => h.priority },
  {
    title: "mode",
    value: h => h.mode,
    shown: h => (h.mode === "canary" ? `${modeText(h)}, ${canaryText(h)}` : modeText(h)),
  },
  { title: "timeout", value: h => h.timeout_ms, shown: h => `${h.timeout_ms} ms, then ${h.on_timeout}` },
  { title: "on error", value: h => h.on_error },
  {
    title: "late answers",
    value: h => h.late,
    shown: h => (h.late === "apply" ? `applied for ${h.late_timeout_ms} ms` : "dropped"),
  },
  { title: "per recipient", value: h => h.per_recipient },
  { title: "parallel", value: h => h.parallel },
  { title: "filter", value: h => filterText(h) },
  {
    title: "state",
    value: h => h.state,
    shown: h => (h.reason === null ? h.state : `${h.state}: ${h.reason}`),
  },
  { title: "calls", value: callsText },
  { title: "in shadow", value: diffsText },
  { title: "set in", value: originText },
  { title: "version", value: h => h.version },
  {
    title: "changed",
    value: h => h.updated_at,
    shown: h => (h.updated_at === null ? "" : timeText(h.updated_at)),
  },
];

/** Only what narrows it. */
function filterText({ filter }: HookBody): string {
  return Object.entries(filter)
    .filter(([name, value]) => (name === "sample_percent" ? value !== 100 : value !== "" && value !== 0))
    .filter(([, value]) => typeof value !== "object" || Object.keys(value).length > 0)
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" ");
}

export const TEST_COLUMNS: readonly Column<HookTestBody>[] = [
  { title: "hook", value: t => t.hook, shown: t => `${t.hook} (plugin ${t.plugin}, ${t.point}, shadow)` },
  {
    title: "filter",
    value: t => t.matches,
    shown: t => (t.matches ? "matches" : "would pass this message by"),
  },
  { title: "outcome", value: t => t.outcome, shown: t => `${t.outcome} in ${t.ms} ms` },
  { title: "verdict", value: t => t.verdict },
  {
    title: "reply",
    value: t => (t.reply === null ? null : `${t.reply.code} ${t.reply.text}`),
  },
  { title: "reason", value: t => t.reason },
  { title: "explanation", value: t => t.explanation },
  { title: "tags", value: t => [...t.tags.add, ...t.tags.remove.map(tag => `-${tag}`)].join(" ") },
  { title: "folder", value: t => t.folder },
  { title: "denied", value: t => t.denied.map(({ item, why }) => `${item}: ${why}`).join("; ") },
  { title: "problem", value: t => t.problem },
  { title: "policy", value: t => t.policy },
  {
    title: "sent",
    value: t => t.bytes,
    shown: t => `${sizeText(t.bytes)}: ${t.fields.join(", ") || "the envelope of the call alone"}`,
  },
  { title: "call", value: t => t.call_id },
];

export async function list({ terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<PageBody<HookBody>>(BASE);
  printRows(terminal, format, body.items, COLUMNS);
}

export async function show(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  const { body } = await client.get<HookBody>(pathOf(context));
  print(context, body);
}

export async function add(context: CommandContext): Promise<void> {
  const { args, options, terminal, load } = context;
  const keys = { name: requiredArg(args, 0, "the name"), ...hookKeys(options) };
  for (const needed of ["plugin", "point"])
    if (!Object.hasOwn(keys, needed)) throw usageError(`--${needed} is missing`);
  const { client } = await connect(load);
  const dryRun = options.has("dryRun");
  const { body } = await client.post<HookBody>(BASE, { body: keys, query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would add" : "added"} hook ${printable(body.name)} in mode ${body.mode}\n`);
  print(context, body);
}

export async function edit(context: CommandContext): Promise<void> {
  const keys = hookKeys(context.options);
  if (Object.keys(keys).length === 0) throw usageError("say what is to change: --priority, --set …");
  await change(context, async (client, call) =>
    client.patch<HookBody>(pathOf(context), { ...call, body: keys }),
  );
}

export async function mode(context: CommandContext): Promise<void> {
  const { args, options } = context;
  const wanted = requiredArg(args, 1, "the mode");
  const percent = options.text("percent");
  const body = {
    mode: wanted,
    ...(percent === undefined
      ? {}
      : { canary_percent: wholeOption(options, "percent", 10, { min: 0, max: 100 }) }),
    ...canaryFor(percent, options.texts("for")),
  };
  await change(context, async (client, call) =>
    client.post<HookBody>(`${pathOf(context)}/mode`, { ...call, body }),
  );
}

/** A share takes the place of a list. */
function canaryFor(
  percent: string | undefined,
  whom: readonly string[],
): { readonly canary_for?: readonly string[] } {
  if (percent !== undefined && whom.length > 0) throw usageError("--percent and --for exclude each other");
  return percent === undefined && whom.length === 0 ? {} : { canary_for: whom };
}

async function change(
  context: CommandContext,
  send: (client: Client, call: CallOptions) => Promise<{ readonly body: HookBody }>,
): Promise<void> {
  const { options, terminal, load } = context;
  const { client } = await connect(load);
  const before = await client.get<HookBody>(pathOf(context));
  const dryRun = options.has("dryRun");
  const { body } = await send(client, { headers: ifMatch(before.body), query: { dry_run: dryRun } });
  terminal.err(
    `${dryRun ? "would change" : "changed"} hook ${printable(body.name)}: mode ${modeText(body)}, ${body.state}\n`,
  );
  print(context, body);
}

export async function remove(context: CommandContext): Promise<void> {
  const { args, options, terminal, load } = context;
  const name = requiredArg(args, 0, "the name");
  const { client } = await connect(load);
  const all = await client.get<PageBody<HookBody>>(BASE);
  // One that a file shadows can be removed too: it is asked for by its version.
  const named = all.body.items.filter(hook => hook.name === name);
  const hook = named.find(one => one.version !== null) ?? named[0];
  if (hook === undefined) throw new CommandError(EXIT.noInput, `no such hook "${printable(name)}"`);
  const dryRun = options.has("dryRun");
  if (!dryRun) await confirm(terminal, options.has("yes"), `This removes hook ${printable(name)}.`);
  const call = { headers: ifMatch(hook), query: { dry_run: dryRun } };
  const { body } = await client.delete<HookBody>(pathOf(context), call);
  terminal.err(`${dryRun ? "would remove" : "removed"} hook ${printable(body.name)}\n`);
  print(context, body);
}

/** 1 when the call failed: the hook's policy would have decided. */
export async function test(context: CommandContext): Promise<number> {
  const { options, terminal, format, load } = context;
  const [file, message] = [options.text("file"), options.text("message")];
  if (file !== undefined && message !== undefined)
    throw usageError("--file and --message exclude each other");
  const to = options.texts("to");
  if (file !== undefined && to.length === 0) throw usageError("--to is missing: who is the message for?");
  const query = {
    from: options.text("from"),
    to: to.length === 0 ? undefined : to.join(","),
    direction: options.text("direction"),
  };
  const { client } = await connect(load);
  const given =
    file === undefined
      ? { body: message === undefined ? { sample: true } : { message } }
      : { message: file === "-" ? terminal.stdin : await openInput(file) };
  const { body } = await client.post<HookTestBody>(`${pathOf(context)}/test`, { query, ...given });
  const shown = TEST_COLUMNS.filter(column => format !== "table" || !isEmpty(column.value(body)));
  printRecord(terminal, format, body, shown);
  return body.outcome === "ok" ? EXIT.ok : EXIT.failed;
}

const isEmpty = (value: unknown) => value === null || value === "";

const pathOf = ({ args }: CommandContext): string => `${BASE}/${segment(requiredArg(args, 0, "the name"))}`;

/** A hook that cannot be changed by command has no version; the service says why. */
const ifMatch = ({ version }: HookBody) => ({ "if-match": `"${version ?? 1}"` });

function print({ terminal, format }: CommandContext, hook: HookBody): void {
  printRecord(terminal, format, hook, SHOW_COLUMNS);
  for (const note of hook.notes) terminal.err(`note: ${printable(note)}\n`);
}
