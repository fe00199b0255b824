/** `mairust key rotate`: another master key, through the API. */
import type { KeyRotationBody } from "../../wire/api/keys.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { type Column, confirm, printRecord } from "../output.ts";
import { timeText } from "../text.ts";

const COLUMNS: readonly Column<KeyRotationBody>[] = [
  { title: "KEY_ID", value: k => k.key_id },
  { title: "SECRETS", value: k => k.secrets },
  { title: "SETTINGS", value: k => k.settings },
  { title: "DKIM_KEYS", value: k => k.dkim_keys },
  { title: "TRACE_UNTIL", value: k => k.trace_until, shown: k => timeText(k.trace_until) },
];

export async function rotate({ terminal, format, options, load }: CommandContext): Promise<void> {
  const { client, loaded } = await connect(load);
  const file = loaded.config.key_file;
  const path = "/api/v1/admin/key/rotate";
  if (options.has("dryRun")) {
    const { body } = await client.post<KeyRotationBody>(path, { query: { dry_run: true } });
    terminal.err("nothing is changed; these would be sealed again:\n");
    return printRecord(terminal, format, body, COLUMNS);
  }
  const question = `This makes a new key in ${file}: copies of the old one open nothing any more.`;
  await confirm(terminal, options.has("yes"), question);
  const { body } = await client.post<KeyRotationBody>(path);
  terminal.err(`back up ${file}; other nodes of this database need a copy of it before their next start\n`);
  printRecord(terminal, format, body, COLUMNS);
}
