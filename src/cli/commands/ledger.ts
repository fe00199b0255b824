/** `mairust ledger`: what left for which plugin, through the API. */
import type { LedgerBody } from "../../wire/api/ledger.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { printList } from "../list.ts";
import type { Column } from "../output.ts";
import { sizeText, timeText } from "../text.ts";
import { timeOption } from "../time-option.ts";

/** `read_headers=Subject,From read_body=preview`. */
export function grantsText(grants: LedgerBody["grants"]): string {
  return Object.entries(grants)
    .map(([name, value]) => (value === true ? name : `${name}=${String(value)}`))
    .join(" ");
}

export const LEDGER_COLUMNS: readonly Column<LedgerBody>[] = [
  { title: "AT", value: l => l.at, shown: l => timeText(l.at) },
  { title: "PLUGIN", value: l => l.plugin, min: 16 },
  { title: "HOOK", value: l => l.hook, min: 8 },
  { title: "MODE", value: l => l.mode },
  { title: "FIELDS", value: l => l.fields.join(","), min: 12 },
  { title: "SIZE", value: l => l.bytes, shown: l => sizeText(l.bytes), right: true },
  { title: "DESTINATION", value: l => l.destination, min: 12 },
  { title: "GRANTS", value: l => grantsText(l.grants), min: 12 },
  { title: "QUEUE ID", value: l => l.queue_id },
  { title: "MESSAGE", value: l => l.message_id, min: 8 },
];

export async function ledger(context: CommandContext): Promise<void> {
  const { options, load } = context;
  const now = Date.now();
  const query = {
    plugin: options.text("plugin"),
    hook: options.text("hook"),
    message: options.text("message"),
    queue_id: options.text("queueId"),
    since: timeOption("since", options.text("since"), now),
    until: timeOption("until", options.text("until"), now),
  };
  const { client } = await connect(load);
  await printList(context, client, "/api/v1/admin/ledger", query, LEDGER_COLUMNS);
}
