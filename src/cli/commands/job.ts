/** `mairust job …`: background jobs, through the API. */
import type { JobBody } from "../../wire/api/jobs.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { printList } from "../list.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRecord } from "../output.ts";
import { timeText } from "../text.ts";

const BASE = "/api/v1/jobs";

const attemptsText = (job: JobBody): string =>
  job.standing ? String(job.attempts) : `${job.attempts}/${job.max_attempts}`;
const endText = (job: JobBody): string => (job.finished_at === null ? "" : timeText(job.finished_at));

const COLUMNS: readonly Column<JobBody>[] = [
  { title: "ID", value: j => j.id, right: true },
  { title: "KIND", value: j => j.kind, min: 12 },
  { title: "STATE", value: j => j.state },
  { title: "PROGRESS", value: j => j.progress, shown: j => `${j.progress} %`, right: true },
  { title: "ATTEMPTS", value: j => j.attempts, shown: attemptsText, right: true },
  { title: "DUE", value: j => j.run_at, shown: j => timeText(j.run_at) },
  { title: "ENDED", value: j => j.finished_at, shown: endText },
  { title: "ERROR", value: j => j.error, min: 12 },
];

const SHOW_COLUMNS: readonly Column<JobBody>[] = [
  ...COLUMNS,
  { title: "PAYLOAD", value: j => JSON.stringify(j.payload) },
  { title: "MESSAGE", value: j => j.message_id },
  { title: "CANCELED BY", value: j => j.canceled_by },
  { title: "CREATED", value: j => j.created_at, shown: j => timeText(j.created_at) },
];

export async function list(context: CommandContext): Promise<void> {
  const { options, load } = context;
  const { client } = await connect(load);
  const query = { kind: options.text("kind"), state: options.text("state") };
  await printList(context, client, BASE, query, COLUMNS);
}

export async function show({ args, terminal, format, load }: CommandContext): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the id"))}`;
  const { client } = await connect(load);
  const { body } = await client.get<JobBody>(path);
  printRecord(terminal, format, body, SHOW_COLUMNS);
}

export const cancel = (context: CommandContext): Promise<void> => change(context, "cancel");
export const retry = (context: CommandContext): Promise<void> => change(context, "retry");

async function change(
  { args, terminal, format, load }: CommandContext,
  what: "cancel" | "retry",
): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the id"))}/${what}`;
  const { client } = await connect(load);
  const { body } = await client.post<JobBody>(path);
  terminal.err(`job ${body.id} is ${body.state}${body.cancel_requested ? ", and told to end" : ""}\n`);
  printRecord(terminal, format, body, SHOW_COLUMNS);
}
