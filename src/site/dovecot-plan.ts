/**
 * From how a Dovecot is to how it shall be for one target: the shipped files with this host's places in them, two lines of
 * `dovecot.conf`, and a file with the fields of the account or domain. Pure.
 */
import { join } from "node:path";
import { parseListenSpec } from "../platform/listen-spec.ts";
import type { Config } from "../wire/config/schema.ts";
import type { SiteChange, SiteFile, SiteTarget, StageName } from "../wire/site-calls.ts";
import { inboxNamespace } from "./dovecot-conf.ts";
import { dovecotObstacles } from "./dovecot-obstacles.ts";
import type { DovecotFacts } from "./dovecot-read.ts";
import type { PartPlan } from "./postfix-plan.ts";

/** Shipped files of `dovecot/` that lie in our folder, by their name. */
export type Shipped = ReadonlyMap<string, string>;

export const SHIPPED = [
  "first.conf",
  "accounts.conf",
  "account.dict",
  "domain.dict",
  "mairust.acl",
  "mairust-mirror.acl",
] as const;
/** Where the shipped files say they lie. */
const SHIPPED_DIR = "/etc/dovecot/mairust";
const SECRET = "master.secret";
const FIRST = "first.conf";
const LAST = "accounts.conf";
/** Services that users read their mail by. */
const READERS = ["imap", "pop3"] as const;

export interface DovecotInput {
  readonly facts: DovecotFacts;
  readonly config: Config;
  /** With `account-*.json`. */
  readonly shipped: Shipped;
  /** The sidecar's password for Dovecot; undefined: it cannot be read. */
  readonly secret: string | undefined;
}

/** How Dovecot treats whoever has this file. */
export function stateOf(text: string | undefined): "own" | "mirror" | "store" {
  if (text?.includes("namespace/mairust_inbox/disabled")) return "store";
  return text?.includes("namespace/mairust/disabled") ? "mirror" : "own";
}

export const scopesIn = (facts: DovecotFacts): readonly string[] =>
  [...facts.ours.keys()].flatMap(path =>
    path.startsWith("users/imap/") ? [path.slice("users/imap/".length)] : [],
  );

/** The file that decides for a scope today: its own, or its domain's. */
export function stateFor(facts: DovecotFacts, scope: string): "own" | "mirror" | "store" {
  const domain = scope.slice(scope.lastIndexOf("@") + 1);
  return stateOf(facts.ours.get(`users/imap/${scope}`) ?? facts.ours.get(`users/imap/${domain}`));
}

export function planDovecot(input: DovecotInput, target: SiteTarget): PartPlan {
  const users = new Map(usersOf(input.facts));
  const fields = fieldsFor(input, target, users);
  for (const reader of READERS) {
    const path = `users/${reader}/${target.scope}`;
    if (fields === undefined) users.delete(path);
    else users.set(path, fields);
  }
  return planTo(input, users, users.size > 0, target);
}

export function planDovecotUndo(input: DovecotInput, scope: string): PartPlan {
  const users = new Map(usersOf(input.facts));
  for (const reader of READERS) users.delete(`users/${reader}/${scope}`);
  return planTo(input, users, users.size > 0, { scope, stage: "observe" });
}

const usersOf = (facts: DovecotFacts) => [...facts.ours].filter(([path]) => path.startsWith("users/"));

/** Undefined: no file. `{}` takes an account out of its domain's. */
function fieldsFor(
  { facts, shipped }: DovecotInput,
  { scope, stage, showCopy = false }: SiteTarget,
  users: ReadonlyMap<string, string>,
): string | undefined {
  const own = users.get(`users/imap/${scope}`);
  if (stage === "mirror") {
    const isShown = showCopy || stateFor(facts, scope) !== "own";
    return isShown ? placed(facts, shipped.get("account-mirror.json") ?? "") : own;
  }
  if (stage === "store") {
    const inbox = inboxNamespace(facts.settings)?.title ?? "inbox";
    const text = placed(facts, shipped.get("account-store.json") ?? "");
    const words = facts.imapCapability.split(/\s+/u).filter(word => !/^THREAD=REF/u.test(word));
    const capability =
      facts.imapCapability === "" || facts.imapCapability.startsWith("+") ? undefined : words.join(" ");
    return text
      .replace("namespace/inbox/", `namespace/${inbox}/`)
      .replace(/("imap_capability": ")[^"]*/u, (all, key: string) =>
        capability === undefined ? all : key + capability,
      );
  }
  const domain = scope.slice(scope.lastIndexOf("@") + 1);
  return domain !== scope && users.has(`users/imap/${domain}`) ? "{}\n" : undefined;
}

const placed = (facts: DovecotFacts, text: string) => text.replaceAll(SHIPPED_DIR, facts.ourDir);

function planTo(
  input: DovecotInput,
  users: ReadonlyMap<string, string>,
  isNeeded: boolean,
  target: SiteTarget,
): PartPlan {
  const { facts } = input;
  const wanted = new Map(users);
  if (isNeeded) for (const [name, text] of ourFiles(input)) wanted.set(name, text);
  const main = isNeeded ? withIncludes(facts) : withoutIncludes(facts);
  const files = filesBetween(facts, wanted, main);
  const back = [...files].reverse().map(file => ({ ...file, was: file.text, text: file.was }));
  return {
    changes: files.map(file => changeOf(facts, file, target.stage)),
    undo: back.map(file => changeOf(facts, file, target.stage)),
    obstacles: isNeeded && files.length > 0 ? dovecotObstacles(input, target) : [],
    files,
  };
}

function ourFiles({ facts, config, shipped, secret }: DovecotInput): readonly (readonly [string, string])[] {
  const textOf = (name: string) => {
    const text = withRights(config, placed(facts, shipped.get(name) ?? ""));
    return name === LAST ? localAccounts(facts, config, text) : text;
  };
  return [
    ...SHIPPED.map(name => [name, textOf(name)] as const),
    // Every byte of the file counts: no line break.
    [SECRET, secret ?? facts.ours.get(SECRET) ?? ""],
  ];
}

/** Where the sidecar keeps flags, users may change them (`w` of the ACL), and Dovecot keeps no record of `\Seen`. */
function withRights({ imap }: Config, text: string): string {
  if (imap.writable === "none") return text;
  return text
    .replace(/^(.* owner lrs)$/gmu, "$1w")
    .replace(" INDEXPVT keeps \\Seen in the home.", "")
    .replace(/^( *location = imapc:[^:\n]*):INDEXPVT=.*$/gmu, "$1");
}

/** The shipped text with our listener, and without what this Dovecot has already. */
function localAccounts(facts: DovecotFacts, config: Config, text: string): string {
  const listener = config.imap.listen.map(parseListenSpec).find(one => one.kind === "inet");
  const host = listener?.kind === "inet" ? listener.host : "127.0.0.1";
  const port = listener?.kind === "inet" ? listener.port : 1143;
  const before = facts.ours.get(LAST);
  const hasPlugins =
    before === undefined
      ? facts.imapPlugins.includes("acl") && facts.imapPlugins.includes("imap_acl")
      : !before.includes("protocol imap {");
  const lacksInbox =
    before === undefined
      ? inboxNamespace(facts.settings) === undefined
      : before.includes("namespace inbox {");
  const filled = text
    .replace(/^imapc_host = .*$/mu, `imapc_host = ${host}`)
    .replace(/^imapc_port = .*$/mu, `imapc_port = ${port}`)
    .replace(/^imapc_master_user = .*$/mu, `imapc_master_user = ${config.imap.master_user}`);
  const plugins = /^protocol imap \{\n[\s\S]*?^\}\n/mu;
  return (
    (hasPlugins ? filled.replace(plugins, "") : filled) +
    (lacksInbox
      ? "\n# There was none; it is what Dovecot makes by itself.\nnamespace inbox {\n  inbox = yes\n}\n"
      : "")
  );
}

const include = (facts: DovecotFacts, name: string) => `!include ${join(facts.ourDir, name)}`;

function withIncludes(facts: DovecotFacts): string {
  const main = withoutIncludes(facts);
  const last = include(facts, LAST);
  const body = main === "" || main.endsWith("\n") ? `${main}${last}\n` : `${main}\n${last}`;
  return `${include(facts, FIRST)}\n${body}`;
}

function withoutIncludes(facts: DovecotFacts): string {
  const [first, last] = [include(facts, FIRST), include(facts, LAST)];
  const text = facts.main.startsWith(`${first}\n`) ? facts.main.slice(first.length + 1) : facts.main;
  if (text.endsWith(`\n${last}`)) return text.slice(0, -last.length - 1);
  return text.replace(`${last}\n`, "");
}

/** Our files before what includes them, an account's last; the other way round when they go. */
function filesBetween(
  facts: DovecotFacts,
  wanted: ReadonlyMap<string, string>,
  main: string,
): readonly SiteFile[] {
  const order = [...new Set([...[SECRET, ...SHIPPED], ...facts.ours.keys(), ...wanted.keys()])].filter(
    name => facts.ours.get(name) !== wanted.get(name),
  );
  const ours = order.map(
    (name): SiteFile => ({
      server: "dovecot",
      path: join(facts.ourDir, name),
      was: facts.ours.get(name),
      text: wanted.get(name),
      mode: name === SECRET ? 0o600 : 0o644,
    }),
  );
  const users = ours.filter(file => file.path.startsWith(join(facts.ourDir, "users")));
  const rest = ours.filter(file => !users.includes(file));
  const mainFile: SiteFile = {
    server: "dovecot",
    path: facts.configFile,
    was: facts.main,
    text: main,
    mode: 0o644,
  };
  const mainFiles = facts.main === main ? [] : [mainFile];
  const goes = rest.some(file => file.text === undefined);
  return goes ? [...users, ...mainFiles, ...rest] : [...rest, ...mainFiles, ...users];
}

function changeOf(facts: DovecotFacts, { path, text }: SiteFile, stage: StageName): SiteChange {
  const isSecret = path.endsWith(SECRET);
  const isMain = path === facts.configFile;
  const shown = text === undefined || isSecret ? [] : text.trimEnd().split("\n");
  const ours = [include(facts, FIRST), include(facts, LAST)];
  const lines = isMain ? shown.filter(line => ours.includes(line)) : shown;
  return {
    server: "dovecot",
    file: path,
    commands: commandsFor(path, text, isSecret, isMain, lines),
    lines,
    why: whyOf(path, stage),
  };
}

function commandsFor(
  path: string,
  text: string | undefined,
  isSecret: boolean,
  isMain: boolean,
  lines: readonly string[],
): readonly string[] {
  if (text === undefined) return [`rm ${path}`];
  if (isSecret)
    return [`tr -d '\\n' </etc/mairust/imap-master.secret | install -D -m 600 /dev/stdin ${path}`];
  if (!isMain) return [`install -D -m 644 /dev/stdin ${path} <<'EOT'`, ...lines, "EOT"];
  const [first, last] = lines;
  return first === undefined
    ? [`sed -i '\\#^!include .*/mairust/[a-z]*.conf$#d' ${path}`]
    : [`sed -i '1i ${first}' ${path}`, `echo '${last ?? ""}' >>${path}`];
}

function whyOf(path: string, stage: StageName): string {
  if (path.includes("/users/")) return `stage ${stage}: read at each login, no reload`;
  if (path.endsWith(SECRET)) return "what Dovecot logs in with; every byte counts, so no line break";
  return "";
}
