/** `mairust domain …`: our domains, through the API. */
import type { DomainBody } from "../../wire/api/domains.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { printList } from "../list.ts";
import { requiredArg, sizeOf } from "../numbers.ts";
import { type Column, confirm, printRecord } from "../output.ts";
import { stageOf } from "../stage-steps.ts";
import { sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/domains";
/** Domains that `list` shows without `--limit`. */
const LIST_LIMIT = 1000;

const COLUMNS: readonly Column<DomainBody>[] = [
  { title: "NAME", value: d => d.name, min: 20 },
  { title: "STAGE", value: d => d.stage },
  { title: "ACCOUNTS", value: d => d.account_count, right: true },
  { title: "POLICY", value: d => d.accounts },
  {
    title: "QUOTA",
    value: d => d.quota_bytes,
    shown: d => (d.quota_bytes === 0 ? "none" : sizeText(d.quota_bytes)),
    right: true,
  },
  { title: "TENANT", value: d => d.tenant },
  { title: "CREATED", value: d => d.created_at, shown: d => timeText(d.created_at) },
  { title: "NEXT HOP", value: d => d.relay_lmtp, shown: d => d.relay_lmtp ?? "none", min: 8 },
];

export async function list(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  await printList(context, client, BASE, {}, COLUMNS, LIST_LIMIT);
}

export async function show({ args, terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<DomainBody>(`${BASE}/${segment(requiredArg(args, 0, "the name"))}`);
  printRecord(terminal, format, body, COLUMNS);
}

export async function add({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const [quota, stage, relay] = [options.text("quota"), options.text("stage"), options.text("relayLmtp")];
  const dryRun = options.has("dryRun");
  const body = {
    name: requiredArg(args, 0, "the name"),
    accounts: options.has("auto") ? "auto" : "listed",
    ...(quota === undefined ? {} : { quota_bytes: sizeOf(quota) }),
    ...(stage === undefined ? {} : { stage: stageOf(stage) }),
    ...(relay === undefined ? {} : { relay_lmtp: relay }),
  };
  const { client } = await connect(load);
  const added = await client.post<DomainBody>(BASE, { body, query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would add" : "added"} domain ${added.body.name}\n`);
  printRecord(terminal, format, added.body, COLUMNS);
}

export async function remove({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the name"))}`;
  const dryRun = options.has("dryRun");
  const { client } = await connect(load);
  if (!dryRun) {
    const { body } = await client.get<DomainBody>(path);
    await confirm(terminal, options.has("yes"), `This removes domain ${body.name}.`);
  }
  const { body } = await client.delete<DomainBody>(path, { query: { dry_run: dryRun } });
  terminal.err(`${dryRun ? "would remove" : "removed"} domain ${body.name}\n`);
  printRecord(terminal, format, body, COLUMNS);
}
