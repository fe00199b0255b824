/** `mairust held …`: mail that waits for somebody's decision, through the API. */
import type { HeldBody, HeldDetailBody, ReleasedBody } from "../../wire/api/held.ts";
import { type Client, connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, confirm, printRecord, printRows } from "../output.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/held";
/** Ids of one command. */
const MAX_IDS = 1000;

const toText = ({ account, recipients }: HeldBody): string =>
  account ?? `${recipients[0] ?? ""}${recipients.length > 1 ? ` +${recipients.length - 1}` : ""}`;

const COLUMNS: readonly Column<HeldBody>[] = [
  { title: "HELD", value: h => h.created_at, shown: h => timeText(h.created_at) },
  { title: "STATE", value: h => h.state },
  { title: "FROM", value: h => h.from, min: 16 },
  { title: "TO", value: toText, min: 16 },
  { title: "SUBJECT", value: h => h.subject, min: 16 },
  { title: "HOOK", value: h => h.hook },
  { title: "REASON", value: h => h.reason, min: 12 },
  { title: "EXPIRES", value: h => h.expires_at, shown: h => timeText(h.expires_at) },
  { title: "ID", value: h => h.id },
];

const SHOW_COLUMNS: readonly Column<HeldBody>[] = [
  { title: "id", value: h => h.id },
  { title: "state", value: h => h.state },
  { title: "hook", value: h => h.hook },
  { title: "plugin", value: h => h.plugin },
  { title: "point", value: h => h.point },
  { title: "reason", value: h => h.reason },
  { title: "problem", value: h => h.problem },
  { title: "sender", value: h => h.mail_from, shown: h => `<${h.mail_from}>` },
  { title: "recipients", value: h => h.recipients.join(" ") },
  { title: "account", value: h => h.account },
  { title: "login", value: h => h.auth_user },
  { title: "size", value: h => h.size_bytes, shown: h => sizeText(h.size_bytes) },
  { title: "attachments", value: h => h.attachments },
  { title: "queue id", value: h => h.queue_id },
  { title: "message", value: h => h.message_id },
  { title: "held", value: h => h.created_at, shown: h => timeText(h.created_at) },
  { title: "expires", value: h => h.expires_at, shown: h => timeText(h.expires_at) },
  { title: "ended", value: h => h.ended_at, shown: h => (h.ended_at === null ? "" : timeText(h.ended_at)) },
  { title: "ended by", value: h => h.ended_by },
];

export async function list(context: CommandContext): Promise<void> {
  const { options, load } = context;
  const { client } = await connect(load);
  const query = {
    account: options.text("account"),
    state: options.text("state"),
    hook: options.text("hook"),
  };
  await printList(context, client, BASE, query, COLUMNS);
}

export async function show({ args, terminal, format, load }: CommandContext): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the id"))}`;
  const { client } = await connect(load);
  const { body } = await client.get<HeldDetailBody>(path);
  if (format !== "table") return printRecord(terminal, format, body, SHOW_COLUMNS);
  printRecord(terminal, format, body, SHOW_COLUMNS);
  const { preview } = body;
  if (preview === null) return terminal.err("the message is gone\n");
  const lines = [
    ...preview.headers.map(({ name, value }) => `${name}: ${value}`),
    ...(preview.headers_truncated ? ["(more fields)"] : []),
    "",
    ...(preview.text === null ? ["(no text)"] : preview.text.split("\n")),
    ...(preview.text_truncated ? ["(more text)"] : []),
    ...preview.attachments.map(attachmentLine),
    ...(preview.attachments_truncated ? ["(more attachments)"] : []),
  ];
  terminal.out(`\n${lines.map(line => `${printable(line)}\n`).join("")}`);
}

type ShownAttachment = NonNullable<HeldDetailBody["preview"]>["attachments"][number];

const attachmentLine = ({ filename, content_type, size_bytes }: ShownAttachment): string =>
  `[attachment ${filename ?? "without a name"}, ${content_type}, ${sizeText(size_bytes)}]`;

interface Line {
  readonly id: string;
  readonly outcome: string;
  readonly recipient: string;
  readonly text: string;
}

const LINE_COLUMNS: readonly Column<Line>[] = [
  { title: "ID", value: l => l.id },
  { title: "OUTCOME", value: l => l.outcome },
  { title: "RECIPIENT", value: l => l.recipient, min: 16 },
  { title: "DETAIL", value: l => l.text, min: 20 },
];

/** 1 when something stays held. */
export async function release(context: CommandContext): Promise<ExitCode> {
  const to = context.options.text("to");
  const isDry = context.options.has("dryRun");
  return each(context, async (client, id) => {
    const { body } = await client.post<ReleasedBody>(`${BASE}/${segment(id)}/release`, {
      ...(to === undefined ? {} : { body: { to } }),
      query: { dry_run: isDry },
    });
    const { sent_copy: copy } = body;
    const isMissing = copy !== null && copy !== "stored" && copy !== "not_applicable";
    if (isMissing) context.terminal.err(`${printable(id)}: sent, but without a copy in Sent: ${copy}\n`);
    return [
      ...body.released.map(one => ({ id, outcome: isDry ? "would release" : "released", ...one })),
      ...body.kept.map(one => ({ id, outcome: STAYS, ...one })),
    ];
  });
}

const STAYS = "held";

export const reject = (context: CommandContext): Promise<ExitCode> => end(context, "reject", "rejected");

export async function remove(context: CommandContext): Promise<ExitCode> {
  const { terminal, options, args } = context;
  const many = idsOf(context).length;
  const what = many === 1 ? `held message ${printable(args[0] ?? "")}` : `${many} held messages`;
  if (!options.has("dryRun")) await confirm(terminal, options.has("yes"), `This deletes ${what}, for good.`);
  return end(context, "delete", "deleted");
}

function end(context: CommandContext, what: "reject" | "delete", done: string): Promise<ExitCode> {
  const isDry = context.options.has("dryRun");
  return each(context, async (client, id) => {
    const { body } = await client.post<HeldBody>(`${BASE}/${segment(id)}/${what}`, {
      query: { dry_run: isDry },
    });
    return [{ id, outcome: isDry ? `would ${what}` : done, recipient: toText(body), text: body.subject }];
  });
}

/** One after the other; one that fails does not keep the others. @returns of the first that failed, else 0, or 1 when one stays held */
async function each(
  context: CommandContext,
  work: (client: Client, id: string) => Promise<readonly Line[]>,
): Promise<ExitCode> {
  const { terminal, format, load } = context;
  const ids = idsOf(context);
  const { client } = await connect(load);
  const lines: Line[] = [];
  let code: ExitCode = EXIT.ok;
  for (const id of ids) {
    try {
      lines.push(...(await work(client, id)));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (ids.length === 1) throw error;
      if (code === EXIT.ok) code = error.exitCode;
      lines.push({ id, outcome: "failed", recipient: "", text: error.message });
    }
  }
  printRows(terminal, format, lines, LINE_COLUMNS);
  return code === EXIT.ok && lines.some(line => line.outcome === STAYS) ? EXIT.failed : code;
}

function idsOf({ args }: CommandContext): readonly string[] {
  const ids = args.filter(id => id !== undefined);
  if (ids.length === 0) throw usageError("the id is missing");
  if (ids.length > MAX_IDS) throw usageError(`more than ${MAX_IDS} ids`);
  return ids;
}
