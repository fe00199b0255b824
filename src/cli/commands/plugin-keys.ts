/** `mairust plugin keys …`, `plugin revoke`, `unrevoke`, `revocations`: whom the running service trusts, through the API. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { PageBody } from "../../wire/api/common.ts";
import {
  KEY_ROLES,
  type PluginKeyBody,
  REVOKED_KINDS,
  type RevocationBody,
  SEVERITIES,
} from "../../wire/api/plugin-keys.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { printable, timeText } from "../text.ts";

const KEYS = "/api/v1/admin/plugin-keys";
const REVOCATIONS = "/api/v1/admin/plugin-revocations";
const MAX_KEY_BYTES = 16_384;

const COLUMNS: readonly Column<PluginKeyBody>[] = [
  { title: "ROLE", value: k => k.role },
  { title: "LABEL", value: k => k.label, min: 12 },
  { title: "KEY", value: k => k.id, min: 16 },
  { title: "ALGORITHM", value: k => k.algorithm },
  { title: "ADDED", value: k => k.added_at, shown: k => timeText(k.added_at) },
  { title: "BY", value: k => k.added_by, min: 8 },
];

const REVOCATION_COLUMNS: readonly Column<RevocationBody>[] = [
  { title: "WHAT", value: r => whatText(r), min: 20 },
  { title: "SEVERITY", value: r => r.severity },
  { title: "REVOKED", value: r => r.revoked_at, shown: r => timeText(r.revoked_at) },
  { title: "BY", value: r => r.revoked_by, min: 8 },
  { title: "REASON", value: r => r.reason, min: 12 },
];

/** As `plugin revoke` takes it. */
const whatText = ({ kind, value }: Pick<RevocationBody, "kind" | "value">): string =>
  kind === "key" || kind === "package" ? `${kind}:${value}` : value;

export async function list({ terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<PageBody<PluginKeyBody>>(KEYS);
  printRows(terminal, format, body.items, COLUMNS);
}

export async function trust({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const file = requiredArg(args, 0, "the file with the public key");
  const role = oneOf("role", KEY_ROLES, options.text("role") ?? "private");
  const label = options.text("label") ?? basename(file);
  const public_key = await readPublicPart(file);
  const { client } = await connect(load);
  const dry_run = options.has("dryRun");
  const { body } = await client.post<PluginKeyBody>(KEYS, {
    body: { public_key, role, label },
    query: { dry_run },
  });
  printRecord(terminal, format, body, COLUMNS);
  if (dry_run) terminal.err("nothing was changed\n");
}

export async function remove({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const asked = requiredArg(args, 0, "the key's id");
  const { client } = await connect(load);
  const { items } = (await client.get<PageBody<PluginKeyBody>>(KEYS)).body;
  const key = theKey(items, asked);
  const dry_run = options.has("dryRun");
  const question = `Trust the ${key.role} key "${printable(key.label)}" no longer?`;
  if (!dry_run) await confirm(terminal, options.has("yes"), question);
  const { body } = await client.delete<PluginKeyBody>(`${KEYS}/${segment(key.id)}`, { query: { dry_run } });
  printRecord(terminal, format, body, COLUMNS);
  if (dry_run) terminal.err("nothing was changed\n");
}

export async function revoke({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const what = whatOf(requiredArg(args, 0, "what to revoke"));
  const reason = options.text("reason");
  if (reason === undefined) throw usageError("--reason is missing: why is it revoked?");
  const severity = oneOf("severity", SEVERITIES, options.text("severity") ?? "malicious");
  const dry_run = options.has("dryRun");
  const { client } = await connect(load);
  if (!dry_run) await confirm(terminal, options.has("yes"), questionOf(severity, whatText(what)));
  const { body } = await client.put<RevocationBody>(pathOf(what), {
    body: { severity, reason },
    query: { dry_run },
  });
  printRecord(terminal, format, body, REVOCATION_COLUMNS);
  if (dry_run) terminal.err("nothing was changed\n");
}

export async function unrevoke({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const what = whatOf(requiredArg(args, 0, "what was revoked"));
  const dry_run = options.has("dryRun");
  const { client } = await connect(load);
  if (!dry_run) await confirm(terminal, options.has("yes"), `Let ${whatText(what)} run again?`);
  const { body } = await client.delete<RevocationBody>(pathOf(what), { query: { dry_run } });
  printRecord(terminal, format, body, REVOCATION_COLUMNS);
  if (dry_run) terminal.err("nothing was changed\n");
}

export async function revocations({ terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<PageBody<RevocationBody>>(REVOCATIONS);
  printRows(terminal, format, body.items, REVOCATION_COLUMNS);
}

const questionOf = (severity: string, what: string): string =>
  severity === "malicious"
    ? `Stop running ${what}?`
    : `Warn of ${what}, and let nobody install or enable it?`;

const pathOf = ({ kind, value }: Pick<RevocationBody, "kind" | "value">): string =>
  `${REVOCATIONS}/${kind}/${segment(value)}`;

/** `key:…`, `package:…`, `id@version`, `id`. */
function whatOf(text: string): Pick<RevocationBody, "kind" | "value"> {
  const [head = "", ...rest] = text.split(":");
  const kind = REVOKED_KINDS.find(one => one === head);
  if (rest.length > 0) {
    if (kind === undefined)
      throw usageError(`"${text}" is none of key:…, package:…, a plugin's id, id@version`);
    return { kind, value: rest.join(":") };
  }
  if (/^[0-9a-f]{64}$/u.test(text)) throw usageError("say what it is: key:… or package:… in front of it");
  return { kind: text.includes("@") ? "version" : "plugin", value: text };
}

/** By its id, or the beginning of it. */
function theKey(keys: readonly PluginKeyBody[], asked: string): PluginKeyBody {
  const start = asked.replace(/…$/u, "");
  const found = keys.filter(({ id }) => start !== "" && id.startsWith(start));
  const [key] = found;
  if (key === undefined) throw new CommandError(EXIT.noInput, `no trusted key begins with "${asked}"`);
  if (found.length > 1) throw usageError(`${found.length} keys begin with "${asked}"; give more of the id`);
  return key;
}

function oneOf<T extends string>(name: string, known: readonly T[], text: string): T {
  const value = known.find(one => one === text);
  if (value === undefined) throw usageError(`--${name} takes ${known.join(" or ")}, not "${text}"`);
  return value;
}

/** A private key does not leave this process. */
async function readPublicPart(file: string): Promise<string> {
  const text = await readStart(file);
  if (text.includes("PRIVATE KEY-----"))
    throw new CommandError(EXIT.badData, `${file} holds a private key; give the file with its public part`);
  return text;
}

async function readStart(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const buffer = Buffer.alloc(MAX_KEY_BYTES);
      const { bytesRead } = await handle.read(buffer, 0, MAX_KEY_BYTES, 0);
      return buffer.toString("latin1", 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const errno = error instanceof Error && "code" in error ? String(error.code) : "it failed";
    const reason = errno === "ENOENT" ? "there is no such file" : errno;
    throw new CommandError(EXIT.noInput, `cannot read ${file}: ${reason}`, error);
  }
}
