/** `mairust audit`: who did what to what, through the API. */
import { pipeline } from "node:stream/promises";
import type { AuditBody } from "../../wire/api/audit.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import type { Column } from "../output.ts";
import { timeText } from "../text.ts";
import { timeOption } from "../time-option.ts";

const BASE = "/api/v1/admin/audit";

const COLUMNS: readonly Column<AuditBody>[] = [
  { title: "AT", value: a => a.at, shown: a => timeText(a.at) },
  { title: "ACTOR", value: a => a.actor, min: 12 },
  { title: "ACTION", value: a => a.action },
  { title: "OBJECT", value: a => a.object, min: 16 },
  { title: "DETAIL", value: a => JSON.stringify(a.detail), shown: a => detailText(a.detail), min: 16 },
];

function detailText(detail: AuditBody["detail"]): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
}

export async function audit(context: CommandContext): Promise<void> {
  const { options, load, terminal } = context;
  const now = Date.now();
  const query = {
    actor: options.text("actor"),
    action: options.text("action"),
    object: options.text("object"),
    since: timeOption("since", options.text("since"), now),
    until: timeOption("until", options.text("until"), now),
  };
  const { client } = await connect(load);
  if (!options.has("export")) return printList(context, client, BASE, query, COLUMNS);
  if (options.text("limit") !== undefined) throw usageError("--export gives everything: leave out --limit");
  const { body } = await client.stream(`${BASE}/export`, { query });
  await pipeline(body, terminal.stdout, { end: false });
}
