/** `mairust undo`: take back what a plugin changed in stored mail, through the API. */
import { sleep } from "../../platform/deadline.ts";
import type { JobBody } from "../../wire/api/jobs.ts";
import type { UndoBody, UndoRequest } from "../../wire/api/undo.ts";
import { type Client, connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { type Column, confirm, printRecord } from "../output.ts";
import { timeOption } from "../time-option.ts";

const POLL_MS = 250;

interface Result extends UndoBody {
  readonly state: string;
}

const COLUMNS: readonly Column<Result>[] = [
  { title: "CHANGES", value: r => r.changes, right: true },
  { title: "MESSAGES", value: r => r.messages, right: true },
  { title: "ACCOUNTS", value: r => r.accounts, right: true },
  { title: "JOB", value: r => r.job },
  { title: "STATE", value: r => r.state },
];

export async function undo({ terminal, format, options, load }: CommandContext): Promise<void> {
  const plugin = options.text("plugin");
  if (plugin === undefined) throw usageError("--plugin says whose changes: --plugin com.example.spam-filter");
  const { client } = await connect(load);
  const body = requestOf(plugin, options);
  const path = "/api/v1/admin/undo";
  const { body: found } = await client.post<UndoBody>(path, { body, query: { dry_run: true } });
  if (options.has("dryRun") || found.changes === 0)
    return printRecord(terminal, format, { ...found, state: "nothing done" }, COLUMNS);
  const what = `${found.changes} changes of ${found.messages} messages in ${found.accounts} accounts`;
  await confirm(terminal, options.has("yes"), `This undoes ${what}.`);
  const { body: started } = await client.post<UndoBody>(path, { body });
  const state =
    started.job === null ? "nothing done" : await ended(client, started.job, options.isOff("wait"));
  printRecord(terminal, format, { ...started, state }, COLUMNS);
}

function requestOf(plugin: string, options: CommandContext["options"]): UndoRequest {
  const now = Date.now();
  const texts = {
    version: options.text("pluginVersion"),
    hook: options.text("hook"),
    account: options.text("account"),
    since: timeOption("since", options.text("since"), now),
    until: timeOption("until", options.text("until"), now),
  };
  return { plugin, ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined)) };
}

/** Ctrl-C ends the waiting, not the job. @throws {CommandError} 1: it failed */
async function ended(client: Client, job: number, isOff: boolean): Promise<string> {
  while (true) {
    const { body } = await client.get<JobBody>(`/api/v1/jobs/${job}`);
    if (isOff || body.state === "done") return body.state;
    if (body.state === "failed" || body.state === "canceled")
      throw new CommandError(
        EXIT.failed,
        `job ${job} is ${body.state}: ${body.error ?? "somebody ended it"}`,
      );
    await sleep(POLL_MS);
  }
}
