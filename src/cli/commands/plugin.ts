/** `mairust plugin logs`, `plugin rotate`: what plugins wrote, and their secrets, through the API. */
import { sleep } from "../../platform/deadline.ts";
import { MAX_LOG_LINES, type NewSecretBody, type PluginLogBody } from "../../wire/api/plugins.ts";
import { DEFAULT_GRACE_S, MAX_GRACE_S } from "../../wire/plugin-secrets.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printRecord } from "../output.ts";
import { printable, timeText } from "../text.ts";

const BASE = "/api/v1/admin/plugins";

const SECRET_COLUMNS: readonly Column<NewSecretBody>[] = [
  { title: "PLUGIN", value: s => s.plugin },
  { title: "SECRET", value: s => s.secret },
  { title: "SECRET_ID", value: s => s.secret_id },
  { title: "ACTIVE", value: s => s.active },
  {
    title: "OLD_UNTIL",
    value: s => s.old_until,
    shown: s => (s.old_until === null ? "" : timeText(s.old_until)),
  },
];

/** Between two looks at a log that is followed. */
const FOLLOW_MS = 500;

/** The plugin's words, escaped: they may come from hostile mail. Ends with Ctrl-C when it follows. */
export async function logs({ args, terminal, options, load }: CommandContext): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the plugin's id"))}/logs`;
  const lines = wholeOption(options, "lines", 100, { min: 1, max: MAX_LOG_LINES });
  const { client } = await connect(load);
  let after: number | undefined;
  while (true) {
    const { body } = await client.get<PluginLogBody>(path, { query: { lines, after } });
    for (const line of body.lines) terminal.out(`${printable(line)}\n`);
    after = body.end;
    if (!options.has("follow")) return;
    if (body.lines.length < lines) await sleep(FOLLOW_MS);
  }
}

export async function rotate({ args, terminal, format, options, load }: CommandContext): Promise<void> {
  const path = `${BASE}/${segment(requiredArg(args, 0, "the plugin's id"))}/secrets/rotate`;
  const graceS = wholeOption(options, "grace", DEFAULT_GRACE_S, { min: 0, max: MAX_GRACE_S });
  const { client } = await connect(load);
  const { body } = await client.post<NewSecretBody>(path, { query: { grace_s: graceS } });
  terminal.err("the secret is shown this once: put it into the plugin's server\n");
  printRecord(terminal, format, body, SECRET_COLUMNS);
}
