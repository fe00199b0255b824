/** `mairust stage …`: the stages of domains and accounts, through the API; `set` moves Postfix and Dovecot too (`stage-move.ts`). */
import type { StageBody } from "../../wire/api/stages.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { type ExitCode, usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRecord } from "../output.ts";
import { StageMove } from "../stage-move.ts";
import { stageOf } from "../stage-steps.ts";
import { timeText } from "../text.ts";

/** Domains that `show` shows without `--limit`. */
const LIST_LIMIT = 1000;

const initialText = ({ initial_stage: stage, initial_origin: origin }: StageBody) =>
  stage === null ? "none: by command" : `${stage} (${origin})`;
const hopText = ({ relay_lmtp: relay, relay_origin: origin }: StageBody) =>
  relay === null ? "none" : origin === null ? relay : `${relay} (${origin})`;

export const STAGE_COLUMNS: readonly Column<StageBody>[] = [
  { title: "SCOPE", value: s => s.scope, min: 20 },
  {
    title: "STAGE",
    value: s => s.stage,
    shown: s => (s.kind === "account" && s.own_stage === null ? `${s.stage} (domain)` : s.stage),
  },
  { title: "INITIAL", value: s => s.initial_stage, shown: initialText, min: 8 },
  { title: "NEXT HOP", value: s => s.relay_lmtp, shown: hopText, min: 12 },
  { title: "SINCE", value: s => s.since, shown: s => timeText(s.since) },
  { title: "BY", value: s => s.by, shown: s => (s.by === "" ? "first value" : s.by), min: 8 },
  { title: "ACCOUNTS", value: s => s.accounts, right: true },
  { title: "APART", value: s => s.accounts_apart, right: true },
];

export function stagePath(scope: string): string {
  const one = segment(scope);
  return scope.includes("@") ? `/api/v1/accounts/${one}/stage` : `/api/v1/domains/${one}/stage`;
}

export async function show(context: CommandContext): Promise<void> {
  const { args, terminal, format } = context;
  const { client } = await connect(context.load);
  const [scope] = args;
  if (scope === undefined)
    return printList(context, client, "/api/v1/routing/stages", {}, STAGE_COLUMNS, LIST_LIMIT);
  printRecord(terminal, format, (await client.get<StageBody>(stagePath(scope))).body, STAGE_COLUMNS);
}

export async function set(context: CommandContext): Promise<ExitCode> {
  const { args, options, terminal, format } = context;
  const scope = requiredArg(args, 0, "the domain or address");
  const word = options.has("clear") ? "domain" : requiredArg(args, 1, "the stage");
  if (options.has("clear") && args[1] !== undefined && args[1] !== "domain")
    throw usageError("give a stage or --clear, not both");
  if (word === "domain" && !scope.includes("@")) throw usageError("a domain follows no other stage");
  const stage = word === "domain" ? ("domain" as const) : stageOf(word);
  const connected = await connect(context.load);
  const move = new StageMove(context, connected, { scope, stage, path: stagePath(scope) });
  const { code, record } = await move.run();
  printRecord(terminal, format, record, STAGE_COLUMNS);
  return code;
}
