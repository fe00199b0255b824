/** Hooks by command, as rows. What they say is checked by whoever makes them; here only that nobody overwrites what he has not seen. */
import { MairustError, StaleVersion } from "../core/errors.ts";
import type { HookRowChange, HookRows, StoredHook } from "../core/ports/hook-admin.ts";
import { type Db, isUniqueViolation, json, type Tx } from "./db.ts";

interface HookRow {
  readonly name: string;
  readonly keys: Readonly<Record<string, unknown>>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export function createHookRows(db: Db): HookRows {
  return {
    async list() {
      const rows = await db.query<HookRow>`
        select name, keys, version, created_at, updated_at from hooks order by name collate "C"`;
      return rows.map(toHook);
    },
    async apply(changes) {
      await db.begin(tx => applyHookRows(tx, changes));
    },
  };
}

/** Within somebody's transaction. @throws as `HookRows.apply` */
export async function applyHookRows(tx: Tx, changes: readonly HookRowChange[]): Promise<void> {
  for (const change of changes) await applyOne(tx, change);
}

async function applyOne(tx: Tx, change: HookRowChange): Promise<void> {
  const { name, version } = change;
  if (change.kind === "put" && version === undefined) {
    try {
      await tx.run`insert into hooks (name, keys) values (${name}, ${json(change.keys)}::jsonb)`;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      const text = `there is a hook "${name}" already`;
      throw new MairustError("already_exists", `Cannot add: ${text}`, { publicText: text });
    }
    return;
  }
  const rows =
    change.kind === "remove"
      ? await tx.run`delete from hooks where name = ${name} and version = ${change.version}`
      : await tx.run`
          update hooks set keys = ${json(change.keys)}::jsonb, version = version + 1, updated_at = now()
          where name = ${name} and version = ${change.version ?? 0}`;
  if (rows === 0) throw new StaleVersion("hook", name);
}

const toHook = (row: HookRow): StoredHook => ({
  name: row.name,
  keys: row.keys,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
