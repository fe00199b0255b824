/** `mairust dkim …`: keys that mail we send is signed with, through the API. */
import { readFile } from "node:fs/promises";
import type { DkimCheckBody, DkimKeyBody } from "../../wire/api/dkim.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { printable, timeText } from "../text.ts";

const TYPES: Readonly<Record<string, DkimKeyBody["algorithm"]>> = {
  rsa: "rsa-sha256",
  ed25519: "ed25519-sha256",
};
/** RFC 1035 §3.3: one string of a TXT record. */
const STRING_CHARS = 255;

const COLUMNS: readonly Column<DkimKeyBody>[] = [
  { title: "SELECTOR", value: k => k.selector },
  { title: "ALGORITHM", value: k => k.algorithm },
  { title: "CREATED", value: k => k.created_at, shown: k => timeText(k.created_at) },
  { title: "DNS_NAME", value: k => k.dns_name, min: 20 },
  { title: "DNS_VALUE", value: k => k.dns_value, min: 20 },
];

const CHECK_COLUMNS: readonly Column<DkimCheckBody>[] = [
  { title: "SELECTOR", value: k => k.selector },
  { title: "DNS", value: k => k.dns },
  { title: "DNS_NAME", value: k => k.dns_name, min: 20 },
  { title: "FOUND", value: k => k.found, min: 20 },
];

const pathOf = (args: CommandContext["args"]): string =>
  `/api/v1/domains/${segment(requiredArg(args, 0, "the domain"))}/dkim`;

/** `m20260101._domainkey.example.com. IN TXT ( "v=DKIM1; …" "…" )` */
function zoneLine({ dns_name: name, dns_value: value }: DkimKeyBody): string {
  const strings: string[] = [];
  for (let at = 0; at < value.length; at += STRING_CHARS)
    strings.push(`"${value.slice(at, at + STRING_CHARS)}"`);
  return `${name}. IN TXT ( ${strings.join(" ")} )\n`;
}

export async function add({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const type = options.text("type");
  const algorithm = type === undefined ? undefined : TYPES[type];
  if (type !== undefined && algorithm === undefined) throw usageError("--type: rsa or ed25519");
  const path = pathOf(args);
  const file = options.text("keyFile");
  const selector = options.text("selector");
  const body = {
    ...(selector === undefined ? {} : { selector }),
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(file === undefined ? {} : { private_key: await readKey(file) }),
  };
  const dryRun = options.has("dryRun");
  const { client } = await connect(load);
  const added = await client.post<DkimKeyBody>(path, { body, query: { dry_run: dryRun } });
  if (dryRun) terminal.err(`would add key ${added.body.selector}; nothing is kept of it\n`);
  else terminal.err("mail is signed from now on; put this record into DNS, then ask: mairust dkim check\n");
  if (format === "table") terminal.out(zoneLine(added.body));
  else printRecord(terminal, format, added.body, COLUMNS);
}

async function readKey(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new CommandError(
      EXIT.noInput,
      `cannot read ${printable(file)}: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
}

export async function list({ args, terminal, format, load }: CommandContext): Promise<void> {
  const path = pathOf(args);
  const { client } = await connect(load);
  const { body } = await client.get<{ readonly items: readonly DkimKeyBody[] }>(path);
  printRows(terminal, format, body.items, COLUMNS);
}

export async function show({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const path = pathOf(args);
  const selector = options.text("selector");
  const { client } = await connect(load);
  const { body } = await client.get<{ readonly items: readonly DkimKeyBody[] }>(path);
  const keys = body.items.filter(key => selector === undefined || key.selector === selector);
  if (keys.length === 0) throw new CommandError(EXIT.noInput, "no such key");
  if (format === "table") terminal.out(keys.map(zoneLine).join(""));
  else printRows(terminal, format, keys, COLUMNS);
}

/** 1 when a key is not published, or nobody knows. */
export async function check({ args, terminal, format, load }: CommandContext): Promise<ExitCode> {
  const path = pathOf(args);
  const { client } = await connect(load);
  const { body } = await client.get<{ readonly items: readonly DkimCheckBody[] }>(`${path}/check`);
  printRows(terminal, format, body.items, CHECK_COLUMNS);
  if (body.items.length === 0) terminal.err("the domain has no key: its mail is not signed\n");
  const isGood = body.items.length > 0 && body.items.every(({ dns }) => dns === "published");
  return isGood ? EXIT.ok : EXIT.failed;
}

export async function remove({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const selector = options.text("selector");
  if (selector === undefined) throw usageError("--selector is missing: which key?");
  const path = `${pathOf(args)}/${segment(selector)}`;
  const dryRun = options.has("dryRun");
  const { client } = await connect(load);
  if (!dryRun)
    await confirm(
      terminal,
      options.has("yes"),
      `This removes the DKIM key ${printable(selector)}, for good.`,
    );
  const { body } = await client.delete<DkimKeyBody>(path, { query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would remove" : "removed"} key ${body.selector}\n`);
  printRecord(terminal, format, body, COLUMNS);
}
