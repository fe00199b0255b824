/** `mairust account …`: accounts, aliases, quotas, through the API. */
import type { AccountBody, AliasBody, MailboxBody } from "../../wire/api/accounts.ts";
import type { PageBody } from "../../wire/api/common.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import { requiredArg, sizeOf } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { readSecret, readSecretFile } from "../secret-input.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/accounts";
/** Accounts that `list` shows without `--limit`. */
const LIST_LIMIT = 1000;

const quotaText = (a: AccountBody): string => {
  const size = a.effective_quota_bytes === 0 ? "none" : sizeText(a.effective_quota_bytes);
  return a.quota_bytes === null ? `${size} (domain)` : size;
};

const COLUMNS: readonly Column<AccountBody>[] = [
  { title: "ADDRESS", value: a => a.address, min: 24 },
  { title: "MESSAGES", value: a => a.used_messages, right: true },
  { title: "SIZE", value: a => a.used_bytes, shown: a => sizeText(a.used_bytes), right: true },
  { title: "QUOTA", value: a => a.effective_quota_bytes, shown: quotaText, right: true },
  { title: "ALIASES", value: a => a.aliases.join(","), min: 12 },
  { title: "PASSWORD", value: a => a.has_password, shown: a => (a.has_password ? "yes" : "no") },
  { title: "CREATED", value: a => a.created_at, shown: a => timeText(a.created_at) },
  {
    title: "STAGE",
    value: a => a.stage,
    shown: a => (a.own_stage === null ? `${a.stage} (domain)` : a.stage),
  },
];

const ALIAS_COLUMNS: readonly Column<AliasBody>[] = [
  { title: "ALIAS", value: a => a.address },
  { title: "ACCOUNT", value: a => a.account },
  { title: "CREATED", value: a => a.created_at, shown: a => timeText(a.created_at) },
];

const MAILBOX_COLUMNS: readonly Column<MailboxBody>[] = [
  { title: "MAILBOX", value: m => m.name, min: 16 },
  { title: "MESSAGES", value: m => m.messages, right: true },
  { title: "UNREAD", value: m => m.unseen, right: true },
  { title: "SIZE", value: m => m.size_bytes, shown: m => sizeText(m.size_bytes), right: true },
  { title: "USE", value: m => m.special_use },
  { title: "UIDNEXT", value: m => m.uid_next, right: true },
  { title: "UIDVALIDITY", value: m => m.uid_validity, right: true },
];

const pathOf = ({ args }: CommandContext) => `${BASE}/${segment(requiredArg(args, 0, "the address"))}`;

export async function list(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  await printList(context, client, BASE, { domain: context.options.text("domain") }, COLUMNS, LIST_LIMIT);
}

/** json and jsonl give one object with `mailboxes` in it; tab gives the account's line alone. */
export async function show(context: CommandContext): Promise<void> {
  const { terminal, format } = context;
  const { client } = await connect(context.load);
  const account = (await client.get<AccountBody>(pathOf(context))).body;
  const mailboxes = (await client.get<PageBody<MailboxBody>>(`${pathOf(context)}/mailboxes`)).body.items;
  printRecord(terminal, format, { ...account, mailboxes }, COLUMNS);
  if (format !== "table") return;
  terminal.out("\n");
  printRows(terminal, format, mailboxes, MAILBOX_COLUMNS);
}

export async function add({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const quota = options.text("quota");
  const file = options.text("passwordFile");
  const dryRun = options.has("dryRun");
  const body = {
    address: requiredArg(args, 0, "the address"),
    ...(quota === undefined ? {} : { quota_bytes: sizeOf(quota) }),
    ...(file === undefined ? {} : { password: await readSecretFile(file) }),
  };
  const { client } = await connect(load);
  const added = await client.post<AccountBody>(BASE, { body, query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would add" : "added"} account ${printable(added.body.address)}\n`);
  printRecord(terminal, format, added.body, COLUMNS);
}

export async function quota(context: CommandContext): Promise<void> {
  const { args, options, terminal, format } = context;
  const size = requiredArg(args, 1, "the size");
  const dryRun = options.has("dryRun");
  const body = { quota_bytes: size === "domain" ? null : sizeOf(size) };
  const { client } = await connect(context.load);
  const changed = await client.patch<AccountBody>(pathOf(context), { body, query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would set" : "set"} the quota of ${printable(changed.body.address)}\n`);
  printRecord(terminal, format, changed.body, COLUMNS);
}

/** The password never stands on the command line: other users of the host could read it there. */
export async function passwd(context: CommandContext): Promise<void> {
  const { options, terminal, format } = context;
  const [hash, file] = [options.text("hash"), options.text("passwordFile")];
  const clear = options.has("clear");
  if ([hash !== undefined, file !== undefined, clear].filter(Boolean).length > 1)
    throw usageError("only one of --password-file, --hash and --clear");
  const path = `${pathOf(context)}/password`;
  const query = { dry_run: options.has("dryRun") };
  const { client } = await connect(context.load);
  const ask = () => (file === undefined ? readSecret(terminal, "New password: ") : readSecretFile(file));
  const { body } = clear
    ? await client.delete<AccountBody>(path, { query })
    : await client.put<AccountBody>(path, {
        body: hash === undefined ? { password: await ask() } : { hash },
        query,
      });
  const verb = options.has("dryRun") ? "would change" : "changed";
  terminal.err(`${verb} the password of ${printable(body.address)}\n`);
  printRecord(terminal, format, body, COLUMNS);
}

export async function remove(context: CommandContext): Promise<void> {
  const { options, terminal, format } = context;
  const dryRun = options.has("dryRun");
  const { client } = await connect(context.load);
  if (!dryRun) {
    const { body } = await client.get<AccountBody>(pathOf(context));
    const what = `account ${printable(body.address)} with ${body.used_messages} messages`;
    await confirm(terminal, options.has("yes"), `This removes ${what}, for good.`);
  }
  const { body } = await client.delete<AccountBody>(pathOf(context), { query: { dry_run: dryRun } });
  const what = `account ${printable(body.address)} with ${body.used_messages} messages`;
  terminal.err(`${dryRun ? "would remove" : "removed"} ${what}\n`);
  printRecord(terminal, format, body, COLUMNS);
}

export async function listAliases(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  const { body } = await client.get<PageBody<AliasBody>>(`${pathOf(context)}/aliases`);
  printRows(context.terminal, context.format, body.items, ALIAS_COLUMNS);
}

export async function addAlias(context: CommandContext): Promise<void> {
  const { args, options, terminal, format } = context;
  const body = { address: requiredArg(args, 1, "the alias") };
  const dryRun = options.has("dryRun");
  const { client } = await connect(context.load);
  const added = await client.post<AliasBody>(`${pathOf(context)}/aliases`, {
    body,
    query: { dry_run: dryRun },
  });
  terminal.err(`${dryRun ? "would add" : "added"} alias ${printable(added.body.address)}\n`);
  printRecord(terminal, format, added.body, ALIAS_COLUMNS);
}

export async function removeAlias(context: CommandContext): Promise<void> {
  const { args, options, terminal, format } = context;
  const alias = requiredArg(args, 1, "the alias");
  const dryRun = options.has("dryRun");
  const { client } = await connect(context.load);
  if (!dryRun) await confirm(terminal, options.has("yes"), `This removes alias ${printable(alias)}.`);
  const { body } = await client.delete<AliasBody>(`${pathOf(context)}/aliases/${segment(alias)}`, {
    query: { dry_run: dryRun },
  });
  terminal.err(`${dryRun ? "would remove" : "removed"} alias ${printable(body.address)}\n`);
  printRecord(terminal, format, body, ALIAS_COLUMNS);
}
