/**
 * Which texts a Postfix should have, given who is set up in the sidecar's table: the route (transport `mairust`) while the table names
 * somebody, the milter while anybody is set up at all. Pure. The lines are those of `postfix/*.cf`, with the sockets and time-outs of
 * our configuration in place; a test holds the two together.
 */
import { relative } from "node:path";
import { parseListenSpec } from "../platform/listen-spec.ts";
import type { Config } from "../wire/config/schema.ts";
import { parsePostconf, putParameter, rawParameter, removeParameter, setParameter } from "./main-cf.ts";
import { findService, parseMaster, putService, rawService, removeService, withSetting } from "./master-cf.ts";
import type { PostfixFacts, PostfixFiles } from "./postfix-read.ts";
import { routesOf, scopesOf } from "./transport-table.ts";
import { formatUndo, parseUndo, type UndoRecord } from "./undo-file.ts";

/** Postfix waits this much longer than our own deadline, so that we always answer first. */
const LONGER_S = 30;
const AT_LEAST_S = 60;
const MILTERS = ["smtpd_milters", "non_smtpd_milters"] as const;

export interface PostfixNames {
  /** Where `smtpd` finds the milter; undefined: no listener that it can reach. */
  readonly milter: string | undefined;
  /** Where `lmtp` finds us. */
  readonly nextHop: string | undefined;
}

/** Postfix's names for our listeners: a socket below the queue directory relative to it (chrooted or not), else TCP, else a path. */
export function postfixNames(facts: PostfixFacts, config: Config): PostfixNames {
  const chrooted = parseMaster(facts.files.master).some(
    service => service.command === "smtpd" && isChrooted(service.chroot, facts),
  );
  return {
    milter: nameOf(config.milter.listen, facts.queueDir, !chrooted),
    nextHop: nameOf(config.lmtp.listen, facts.queueDir, true),
  };
}

/** `-` is "no" from compatibility level 1 on (COMPATIBILITY_README). */
export function isChrooted(column: string, facts: PostfixFacts): boolean {
  if (column !== "-") return column === "y";
  return Number.parseFloat(facts.effective.get("compatibility_level") ?? "0") < 1;
}

function nameOf(listeners: readonly string[], queueDir: string, pathsReachable: boolean): string | undefined {
  const addresses = listeners.map(parseListenSpec);
  for (const address of addresses) {
    if (address.kind !== "unix") continue;
    const below = relative(queueDir, address.path);
    if (below !== "" && !below.startsWith("..")) return `unix:${below}`;
  }
  for (const address of addresses) {
    if (address.kind === "inet") return `inet:${address.host}:${address.port}`;
    if (address.kind === "unix" && pathsReachable) return `unix:${address.path}`;
  }
  return undefined;
}

/** @param table  the sidecar's table as it shall be */
export function wantedFiles(
  facts: PostfixFacts,
  config: Config,
  table: string | undefined,
  names: PostfixNames,
): PostfixFiles {
  const isRouted = table !== undefined && routesOf(table).length > 0;
  const isSeen = table !== undefined && scopesOf(table).length > 0;
  let files: PostfixFiles = { ...facts.files, table: isSeen || !isOurs(table) ? table : undefined };
  files = isSeen ? withQueueIds(files, facts) : files;
  files = isRouted ? withRoutes(files, facts, config) : withoutRoutes(files);
  files = isSeen ? withMilter(files, facts, config, names.milter ?? "", isRouted) : withoutMilter(files);
  return isSeen ? files : withoutQueueIds(files);
}

/** Nothing in it but what we write above the first line. */
const isOurs = (table: string | undefined) =>
  table?.split("\n").every(line => line === "" || TABLE_HEADER.includes(`${line}\n`)) ?? true;

export const TABLE_HEADER = `# Who goes to the sidecar: made by "mairust setup", one line per domain or address.
# "#observe" marks whom only the milter sees.
`;

const normal = (value: string) => value.replace(/\s+/gu, " ").trim();

/** The file as it is where the parameter has this value already. */
function set(main: string, name: string, value: string): string {
  const raw = rawParameter(main, name);
  const now = raw === undefined ? undefined : parsePostconf(normal(raw.replace(/=/u, " = "))).get(name);
  const isIt = now !== undefined && normal(now) === normal(value);
  return isIt ? main : setParameter(main, name, value);
}

function remember(record: UndoRecord, facts: PostfixFacts, main: string, name: string): UndoRecord {
  const parameters = new Map(record.parameters);
  const value = facts.own.get(name);
  const raw = rawParameter(main, name);
  if (value === undefined) parameters.delete(name);
  else parameters.set(name, { value, ...(raw === undefined ? {} : { raw }) });
  return { ...record, parameters };
}

/** The bytes from before where they still mean what the record says; else the value. */
function restore(main: string, record: UndoRecord, name: string): string {
  const before = record.parameters.get(name);
  if (before === undefined) return removeParameter(main, name);
  return putParameter(main, name, before.raw ?? `${`${name} = ${before.value}`.trimEnd()}\n`);
}

const EMPTY: UndoRecord = { parameters: new Map(), services: new Map() };
const recordOf = (text: string | undefined) => (text === undefined ? EMPTY : parseUndo(text));

function withQueueIds(files: PostfixFiles, facts: PostfixFacts): PostfixFiles {
  const undoIds = files.undoIds ?? formatUndo(remember(EMPTY, facts, files.main, "enable_long_queue_ids"));
  return { ...files, undoIds, main: set(files.main, "enable_long_queue_ids", "yes") };
}

function withoutQueueIds(files: PostfixFiles): PostfixFiles {
  if (files.undoIds === undefined) return files;
  const main = restore(files.main, parseUndo(files.undoIds), "enable_long_queue_ids");
  return { ...files, main, undoIds: undefined };
}

function withRoutes(files: PostfixFiles, facts: PostfixFacts, config: Config): PostfixFiles {
  let record = recordOf(files.undoRoute);
  let { main, master } = files;
  if (!(facts.own.get("transport_maps") ?? "").includes("$mairust_transport_maps"))
    record = remember(record, facts, main, "transport_maps");
  const raw = rawService(master, "mairust", "unix");
  if (files.undoRoute === undefined && raw !== undefined)
    record = { ...record, services: new Map([["mairust/unix", raw]]) };
  const own = record.parameters.get("transport_maps")?.value ?? "";
  for (const [name, value] of [
    ["mairust_destination_recipient_limit", "50"],
    ["mairust_destination_concurrency_limit", "40"],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Postfix's own notation
    ["mairust_transport_maps", "texthash:${config_directory}/mairust-transport"],
    ["mairust_other_transport_maps", own],
    ["transport_maps", "$mairust_transport_maps $mairust_other_transport_maps"],
  ] as const)
    main = set(main, name, value);
  const settings = routeSettings(config);
  const service = findService(master, "mairust", "unix");
  const isIt =
    service?.command === "lmtp" &&
    service.chroot === "n" &&
    settings.every(([name, value]) => service.settings.get(name) === value);
  if (!isIt) master = putService(master, "mairust", "unix", routeService(settings));
  return { ...files, main, master, undoRoute: formatUndo(record) };
}

export function routeSettings(config: Config): readonly (readonly [name: string, value: string])[] {
  return [
    ["lmtp_connect_timeout", "5s"],
    ["lmtp_data_done_timeout", `${seconds(config.lmtp.chain_timeout_ms)}s`],
    ["lmtp_line_length_limit", "0"],
    ["lmtp_send_xforward_command", "yes"],
    ["lmtp_tls_security_level", "none"],
  ];
}

const seconds = (ownMs: number) => Math.max(AT_LEAST_S, Math.ceil(ownMs / 1000) + LONGER_S);

const routeService = (settings: readonly (readonly [string, string])[]) =>
  settings.reduce(
    (raw, [name, value]) => withSetting(raw, `${name}=${value}`),
    "mairust   unix  -       -       n       -       -       lmtp\n",
  );

function withoutRoutes(files: PostfixFiles): PostfixFiles {
  if (files.undoRoute === undefined) return files;
  const record = parseUndo(files.undoRoute);
  let main = restore(files.main, record, "transport_maps");
  for (const name of [
    "mairust_transport_maps",
    "mairust_other_transport_maps",
    "mairust_destination_recipient_limit",
    "mairust_destination_concurrency_limit",
  ])
    main = removeParameter(main, name);
  const before = record.services.get("mairust/unix");
  const master =
    before === undefined
      ? removeService(files.master, "mairust", "unix")
      : putService(files.master, "mairust", "unix", before);
  return { ...files, main, master, undoRoute: undefined };
}

export function milterLine(config: Config, socket: string, isRouted: boolean): string {
  const action = isRouted ? "tempfail" : "accept";
  return `{ ${socket}, connect_timeout=2s, command_timeout=10s, content_timeout=${seconds(config.milter.chain_timeout_ms)}s, default_action=${action} }`;
}

function withMilter(
  files: PostfixFiles,
  facts: PostfixFacts,
  config: Config,
  socket: string,
  isRouted: boolean,
): PostfixFiles {
  let record = recordOf(files.undoMilter);
  let { main } = files;
  for (const name of MILTERS) {
    // Set anew by somebody since: that is what was there before us now.
    if (!(facts.own.get(name) ?? "").includes("$mairust_milter"))
      record = remember(record, facts, main, name);
  }
  main = set(main, "mairust_milter", milterLine(config, socket, isRouted));
  for (const name of MILTERS) {
    const own = (record.parameters.get(name)?.value ?? "").replace(
      /\$([({]?)((?:non_)?smtpd_milters)\b/gu,
      "$$$1mairust_other_$2",
    );
    main = set(main, `mairust_other_${name}`, own);
    main = set(main, name, `$mairust_other_${name} $mairust_milter`);
  }
  const hasOthers = (record.parameters.get("smtpd_milters")?.value ?? "") !== "";
  return withSubmission({ ...files, main }, record, hasOthers);
}

/** On submission we stand before whoever signs, so that what we change is signed. */
function withSubmission(files: PostfixFiles, record: UndoRecord, hasOthers: boolean): PostfixFiles {
  const services = new Map(record.services);
  let { master } = files;
  for (const service of parseMaster(files.master)) {
    const own = service.settings.get("smtpd_milters");
    if (!isSubmission(service.settings) || own?.includes("$mairust_milter")) continue;
    if (own === undefined && !hasOthers) continue;
    const key = `${service.name}/${service.type}`;
    const raw = files.master.slice(service.start, service.end);
    services.set(key, raw);
    const rest = own ?? "$mairust_other_smtpd_milters";
    const value = rest === "" ? "$mairust_milter" : `$mairust_milter,${rest}`;
    const setting = /[\s{]/u.test(value) ? `{ smtpd_milters = ${value} }` : `smtpd_milters=${value}`;
    master = putService(master, service.name, service.type, withSetting(raw, setting));
  }
  return { ...files, master, undoMilter: formatUndo({ ...record, services }) };
}

export function isSubmission(settings: ReadonlyMap<string, string>): boolean {
  return (
    settings.get("smtpd_sasl_auth_enable") === "yes" ||
    settings.get("milter_macro_daemon_name") === "ORIGINATING"
  );
}

function withoutMilter(files: PostfixFiles): PostfixFiles {
  if (files.undoMilter === undefined) return files;
  const record = parseUndo(files.undoMilter);
  let { main, master } = files;
  for (const name of MILTERS) main = restore(main, record, name);
  for (const name of ["mairust_milter", ...MILTERS.map(name => `mairust_other_${name}`)])
    main = removeParameter(main, name);
  for (const [key, raw] of record.services) {
    const [name = "", type = ""] = key.split("/");
    if (findService(master, name, type)?.settings.get("smtpd_milters")?.includes("$mairust_milter"))
      master = putService(master, name, type, raw);
  }
  return { ...files, main, master, undoMilter: undefined };
}
