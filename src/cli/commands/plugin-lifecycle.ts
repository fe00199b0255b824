/** `mairust plugin install`, `approve`, `enable` …: the life of a plugin, through the API. */
import type { LifecycleBody, PluginDetailBody, PluginHealthBody } from "../../wire/api/plugin-lifecycle.ts";
import { PLUGIN_ID_PATTERN } from "../../wire/manifest.ts";
import { PERMISSION_NAMES } from "../../wire/permissions.ts";
import { type CallOptions, connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { EXIT, usageError } from "../exit-codes.ts";
import { openInput } from "../input-file.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/admin/plugins";

const COLUMNS: readonly Column<PluginDetailBody>[] = [
  { title: "ID", value: p => p.id, min: 20 },
  { title: "VERSION", value: p => p.version },
  { title: "STATE", value: p => p.state },
  { title: "SIGNATURE", value: p => p.signature },
  { title: "WAITS", value: p => p.pending },
  { title: "DESTINATION", value: p => p.destination, min: 12 },
  { title: "REASON", value: p => p.reason, min: 20 },
];

const SHOW_COLUMNS: readonly Column<PluginDetailBody>[] = [
  { title: "id", value: p => p.id, shown: p => (p.name === p.id ? p.id : `${p.id} (${p.name})`) },
  { title: "version", value: p => p.version },
  {
    title: "state",
    value: p => p.state,
    shown: p => (p.reason === null ? p.state : `${p.state}: ${p.reason}`),
  },
  { title: "from", value: p => p.origin },
  {
    title: "signature",
    value: p => p.signature,
    shown: p => (p.signature === null ? "none: it is no package" : `${p.signature}: ${p.signature_detail}`),
  },
  { title: "grants", value: p => JSON.stringify(p.grants) },
  {
    title: "granted by",
    value: p => p.granted_by,
    shown: p =>
      p.granted_by === "approval" && p.approved_at !== null
        ? `${p.approved_by}, ${timeText(p.approved_at)}`
        : p.granted_by,
  },
  {
    title: "hooks",
    value: p => p.hooks.map(({ name, point, mode }) => `${name} at ${point} (${mode})`).join(", "),
  },
  { title: "rollback to", value: p => p.previous.join(", ") },
  {
    title: "waits",
    value: p => p.pending,
    shown: p =>
      p.pending === null ? "" : `version ${p.pending}, for ${p.waits_for.join(", ") || "consent"}`,
  },
  { title: "destination", value: p => p.destination },
];

const HEALTH_COLUMNS: readonly Column<PluginHealthBody>[] = [
  { title: "plugin", value: h => h.id, shown: h => `${h.id} ${h.version}` },
  {
    title: "status",
    value: h => h.status,
    shown: h => (h.detail === null ? h.status : `${h.status}: ${h.detail}`),
  },
  { title: "circuit", value: h => h.circuit, shown: h => h.circuit ?? "closed" },
  {
    title: "crashes",
    value: h => h.crashes.length,
    shown: h =>
      h.crashes.length === 0
        ? "none within an hour"
        : h.crashes.map(({ at, reason }) => `${timeText(at)} ${reason}`).join("; "),
  },
  {
    title: "limits",
    value: h => h.limits.map(({ limit, enforcement }) => `${limit}=${enforcement}`).join(" "),
    shown: h =>
      h.limits
        .map(
          ({ limit, enforcement, mechanism }) =>
            `${limit}: ${enforcement.replace("_", " ")}${mechanism === "" ? "" : ` (${mechanism})`}`,
        )
        .join(", ") || "none are reported",
  },
  {
    title: "network",
    value: h => h.egress.map(({ destination, connections }) => `${destination} ${connections}`).join(", "),
    shown: h =>
      h.egress
        .map(
          one =>
            `${one.destination}: ${one.connections} connections, ${sizeText(one.bytes_up)} out, ${sizeText(one.bytes_down)} in`,
        )
        .join("; ") || "no connection",
  },
];

export async function list({ terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<{ readonly items: readonly PluginDetailBody[] }>(BASE);
  printRows(terminal, format, body.items, COLUMNS);
}

export async function show(context: CommandContext): Promise<void> {
  const { terminal, format, load } = context;
  const { client } = await connect(load);
  const { body } = await client.get<PluginDetailBody>(pathOf(context));
  printRecord(terminal, format, body, SHOW_COLUMNS);
}

/** 1 unless the plugin says that all is well, and is called. */
export async function health(context: CommandContext): Promise<number> {
  const { terminal, format, load } = context;
  const { client } = await connect(load);
  const { body } = await client.get<PluginHealthBody>(pathOf(context, "health"));
  printRecord(terminal, format, body, HEALTH_COLUMNS);
  return body.status === "ok" && body.circuit === null ? EXIT.ok : EXIT.failed;
}

export async function install(context: CommandContext): Promise<void> {
  const given = requiredArg(context.args, 0, "the package");
  // A file's name has an ending or a folder; an id is one of nothing that lies here.
  const isId = new RegExp(PLUGIN_ID_PATTERN, "u").test(given) && !given.endsWith(".mairust-plugin");
  await change(context, BASE, isId ? { body: { folder: given } } : await packageOf(given));
}

export async function upgrade(context: CommandContext): Promise<void> {
  await change(context, `${BASE}/upgrade`, await packageOf(requiredArg(context.args, 0, "the package")));
}

export async function approve(context: CommandContext): Promise<void> {
  const { options } = context;
  const grants = options.texts("grant");
  const digest = options.text("digest");
  const body = {
    ...(grants.length === 0 ? {} : { permissions: permissionsOf(grants) }),
    ...(digest === undefined ? {} : { digest }),
  };
  await change(context, pathOf(context, "approve"), { body });
}

export async function enable(context: CommandContext): Promise<void> {
  const mode = context.options.text("mode");
  await change(context, pathOf(context, "enable"), { body: mode === undefined ? {} : { mode } });
}

export async function disable(context: CommandContext): Promise<void> {
  await change(context, pathOf(context, "disable"), {});
}

export async function rollback(context: CommandContext): Promise<void> {
  await change(context, pathOf(context, "rollback"), {});
}

export async function uninstall(context: CommandContext): Promise<void> {
  const { options, terminal, args } = context;
  const id = printable(requiredArg(args, 0, "the plugin's id"));
  const kept = options.has("purge") ? "with all that is kept of it" : "and keeps its settings and logs";
  if (!options.has("dryRun")) await confirm(terminal, options.has("yes"), `This uninstalls ${id} ${kept}.`);
  await change(context, pathOf(context, "uninstall"), {});
}

const FLAGS = { downgrade: "downgrade", cascade: "cascade", purge: "purge" } as const;

async function change(
  { options, terminal, format, load }: CommandContext,
  path: string,
  call: CallOptions,
): Promise<void> {
  const dryRun = options.has("dryRun");
  const flags = Object.entries(FLAGS).flatMap(([name, key]) => (options.has(name) ? [[key, true]] : []));
  const query = { dry_run: dryRun, ...Object.fromEntries(flags) };
  const { client } = await connect(load);
  const { body } = await client.post<LifecycleBody>(path, { ...call, query });
  for (const text of body.done) terminal.err(`${dryRun ? "would be: " : ""}${printable(text)}\n`);
  printRecord(terminal, format, body.plugin, SHOW_COLUMNS);
}

async function packageOf(path: string): Promise<CallOptions> {
  return { message: await openInput(path), messageType: "application/octet-stream" };
}

/** `read_headers=Subject,From`: checked by the service, but for the names. */
function permissionsOf(grants: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    grants.map(grant => {
      const [name = "", ...rest] = grant.split("=");
      const value = rest.join("=");
      if (!PERMISSION_NAMES.some(known => known === name))
        throw usageError(`--grant takes one of ${PERMISSION_NAMES.join(", ")}, not "${printable(name)}"`);
      return [name, grantValue(name, value)];
    }),
  );
}

function grantValue(name: string, value: string): unknown {
  if (value === "true" || value === "" || value === "false") return value !== "false";
  if (name === "decide" || name === "read_headers") return value.split(",");
  return value;
}

const pathOf = ({ args }: CommandContext, action?: string): string =>
  [BASE, segment(requiredArg(args, 0, "the plugin's id")), ...(action === undefined ? [] : [action])].join(
    "/",
  );
