/** Use cases of `export imap` on the side of the service: which message of ours is which at the other server. */
import type { ExportedMessage, ExportRecord, ExportState, ExportStore } from "../core/ports/transfer.ts";
import { MAX_KNOWN_ITEMS } from "../wire/transfer.ts";
import { accountOf } from "./imports.ts";
import type { ServicePorts } from "./ports.ts";

interface Asked {
  readonly account: string;
  readonly mailbox: string;
  readonly exportId: number;
}

/** @throws {MairustError} `unknown_account` */
export async function startExport(
  ports: ServicePorts,
  asked: { readonly account: string; readonly target: string },
): Promise<ExportRecord> {
  return ports.exports.start((await accountOf(ports, asked.account)).id, asked.target);
}

/** @throws {MairustError} `not_found` */
export const getExport = (ports: ServicePorts, id: number): Promise<ExportRecord> => ports.exports.get(id);

/** @throws {MairustError} `unknown_account`, `not_found`, `invalid_state`: another export took over */
export async function openExportMailbox(
  ports: ServicePorts,
  asked: Asked & { readonly folder: string; readonly uidValidity: number },
): Promise<void> {
  const { id } = await accountOf(ports, asked.account);
  await ports.exports.openMailbox(id, asked.exportId, asked.mailbox, asked);
}

/** @throws as {@link openExportMailbox} */
export async function knownExports(
  ports: ServicePorts,
  asked: Asked & { readonly after: number },
): Promise<{ readonly items: readonly ExportedMessage[]; readonly more: boolean }> {
  const { id } = await accountOf(ports, asked.account);
  const page = { after: asked.after, limit: MAX_KNOWN_ITEMS };
  const items = await ports.exports.known(id, asked.exportId, asked.mailbox, page);
  return { items, more: items.length === MAX_KNOWN_ITEMS };
}

/** @throws as {@link openExportMailbox} */
export async function recordExport(
  ports: ServicePorts,
  asked: Asked,
  progress: Parameters<ExportStore["record"]>[3],
): Promise<void> {
  const { id } = await accountOf(ports, asked.account);
  await ports.exports.record(id, asked.exportId, asked.mailbox, progress);
}

/** @throws {MairustError} `not_found` */
export const finishExport = (
  ports: ServicePorts,
  id: number,
  state: ExportState,
  report: unknown,
): Promise<ExportRecord> => ports.exports.finish(id, state, report);
