/** Use case: undo what a plugin changed in stored mail. */

import { parseMailAddress } from "../core/envelope.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import type { UndoCount, UndoSelection } from "../core/ports/journal.ts";
import type { ServicePorts } from "./ports.ts";

export interface UndoAsked {
  readonly plugin: string;
  readonly version: string | undefined;
  readonly hook: string | undefined;
  readonly since: Date | undefined;
  readonly until: Date | undefined;
  /** Address; aliases and detail as mail would go. */
  readonly account: string | undefined;
}

export interface UndoStarted extends UndoCount {
  /** Undefined: nothing was started. */
  readonly job: number | undefined;
}

/** @throws {MairustError} `not_found`, `invalid_argument`, `store_unavailable` */
export async function undoPlugin(
  ports: ServicePorts,
  asked: UndoAsked,
  { actor, dryRun }: { readonly actor: string; readonly dryRun: boolean },
): Promise<UndoStarted> {
  const selection = await selectionOf(ports, asked);
  const count = await ports.undo.count(selection);
  if (dryRun || count.changes === 0) return { ...count, job: undefined };
  const detail = {
    ...{ version: asked.version, hook: asked.hook, account: asked.account, changes: count.changes },
    ...{ since: asked.since?.toISOString(), until: asked.until?.toISOString() },
  };
  await ports.audit.record({ actor, action: "plugin.undo", object: asked.plugin, detail });
  return { ...count, job: await ports.undo.start(selection, actor) };
}

async function selectionOf(ports: ServicePorts, asked: UndoAsked): Promise<UndoSelection> {
  const { plugin: pluginId, version, hook, since, until } = asked;
  if (since !== undefined && until !== undefined && since >= until)
    throw new MairustError("invalid_argument", "Cannot undo: the time begins after its end", {
      publicText: "since must be before until",
    });
  const selection = { pluginId, version, hook, since, until, account: undefined };
  if (asked.account === undefined) return selection;
  const found = await ports.directory.findAccount(parseMailAddress(asked.account));
  if (found === undefined) throw new NotFound("account", asked.account);
  return { ...selection, account: found.account.id };
}
