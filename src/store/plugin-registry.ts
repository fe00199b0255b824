/**
 * What was decided about each plugin, and its packages, as rows. A record, its packages and its hooks change in one commit, so that
 * no crash, and no refusal, leaves one without the other. Other nodes hear of a change by NOTIFY; what they miss they find with the next half minute's reading.
 */
import { MairustError, messageOf, StaleVersion } from "../core/errors.ts";
import type { PluginTerms } from "../core/plugin-terms.ts";
import type { HookRowChange } from "../core/ports/hook-admin.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  PluginApproval,
  PluginLifeState,
  PluginRecord,
  PluginRegistry,
  StoredPackage,
} from "../core/ports/plugin-registry.ts";
import { type Db, isUniqueViolation, json, type Tx } from "./db.ts";
import { applyHookRows } from "./hook-rows.ts";

const CHANNEL = "mairust_plugins";

type NewRecord = Parameters<PluginRegistry["put"]>[0];

interface Row {
  readonly id: string;
  readonly state: PluginLifeState;
  readonly reason: string | null;
  readonly version: string | null;
  readonly previous: readonly string[];
  readonly pending: string | null;
  readonly highest_version: string | null;
  readonly developer_key: string | null;
  readonly approval: ApprovalRow | null;
  readonly row_version: number;
  readonly updated_at: Date;
}

interface ApprovalRow {
  readonly terms: PluginTerms;
  readonly version: string;
  readonly digest: string;
  readonly by: string;
  readonly at: string;
}

export class StoredPluginRegistry implements PluginRegistry {
  readonly #db: Db;
  readonly #log: Log;

  constructor(db: Db, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** @param onChange  a record changed, here or on another node; also after a while without a connection. @returns ends it */
  listen(onChange: () => void): Promise<() => Promise<void>> {
    return this.#db.listen(CHANNEL, onChange, onChange);
  }

  async list(): Promise<readonly PluginRecord[]> {
    const rows = await this.#db.query<Row>`select * from plugins order by id collate "C"`;
    return rows.map(toRecord);
  }

  async find(id: string): Promise<PluginRecord | undefined> {
    const [row] = await this.#db.query<Row>`select * from plugins where id = ${id}`;
    return row && toRecord(row);
  }

  async put(
    record: NewRecord,
    rowVersion: number | undefined,
    added?: StoredPackage,
    rows: readonly HookRowChange[] = [],
  ): Promise<PluginRecord> {
    const { id, version, pending, previous } = record;
    const named = [version, pending, ...previous].flatMap(one => (one === undefined ? [] : [one]));
    const row = await this.#db.begin(async tx => {
      const written = await (rowVersion === undefined ? insert(tx, record) : update(tx, record, rowVersion));
      if (added !== undefined)
        await tx.run`
          insert into plugin_packages (plugin_id, version, bytes) values (${id}, ${added.version}, ${added.bytes})
          on conflict (plugin_id, version) do update set bytes = excluded.bytes, added_at = now()`;
      await tx.run`delete from plugin_packages where plugin_id = ${id} and version <> all(${named}::text[])`;
      await applyHookRows(tx, rows);
      return written;
    });
    await this.#tell(id);
    return toRecord(row);
  }

  async purge(id: string, rows: readonly HookRowChange[] = []): Promise<void> {
    await this.#db.begin(async tx => {
      await applyHookRows(tx, rows);
      await tx.run`delete from plugin_secrets where plugin_id = ${id}`;
      await tx.run`delete from plugin_settings where plugin_id = ${id}`;
      await tx.run`delete from plugins where id = ${id}`;
    });
    await this.#tell(id);
  }

  async package(id: string, version: string): Promise<Uint8Array | undefined> {
    const [row] = await this.#db.query<{ readonly bytes: Buffer }>`
      select bytes from plugin_packages where plugin_id = ${id} and version = ${version}`;
    return row?.bytes;
  }

  /** Other nodes find out in any case, when they read again. */
  async #tell(id: string): Promise<void> {
    await this.#db
      .notify(CHANNEL, id)
      .catch((error: unknown) =>
        this.#log.warn("plugin_change_not_told", { plugin: id, reason: messageOf(error) }),
      );
  }
}

async function insert(tx: Tx, record: NewRecord): Promise<Row> {
  const { id, state, reason, version, previous, pending, highestVersion, developerKey, approval } = record;
  try {
    const [row] = await tx.query<Row>`
      insert into plugins (id, state, reason, version, previous, pending, highest_version, developer_key, approval)
      values (${id}, ${state}, ${reason ?? null}, ${version ?? null}, ${previous}::text[], ${pending ?? null},
              ${highestVersion ?? null}, ${developerKey ?? null}, ${approvalJson(approval)}::jsonb)
      returning *`;
    return known(row, id);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    const text = `there is a plugin "${id}" already`;
    throw new MairustError("already_exists", `Cannot add: ${text}`, { publicText: text });
  }
}

async function update(tx: Tx, record: NewRecord, rowVersion: number): Promise<Row> {
  const { id, state, reason, version, previous, pending, highestVersion, developerKey, approval } = record;
  const [row] = await tx.query<Row>`
    update plugins
    set state = ${state}, reason = ${reason ?? null}, version = ${version ?? null}, previous = ${previous}::text[],
        pending = ${pending ?? null}, highest_version = ${highestVersion ?? null}, developer_key = ${developerKey ?? null},
        approval = ${approvalJson(approval)}::jsonb, row_version = row_version + 1, updated_at = now()
    where id = ${id} and row_version = ${rowVersion}
    returning *`;
  return known(row, id);
}

function known(row: Row | undefined, id: string): Row {
  if (row === undefined) throw new StaleVersion("plugin", id);
  return row;
}

function approvalJson(approval: PluginApproval | undefined) {
  return approval === undefined ? null : json({ ...approval, at: approval.at.toISOString() });
}

function toRecord(row: Row): PluginRecord {
  return {
    id: row.id,
    state: row.state,
    reason: row.reason ?? undefined,
    version: row.version ?? undefined,
    previous: row.previous,
    pending: row.pending ?? undefined,
    highestVersion: row.highest_version ?? undefined,
    developerKey: row.developer_key ?? undefined,
    approval: row.approval === null ? undefined : { ...row.approval, at: new Date(row.approval.at) },
    rowVersion: row.row_version,
    updatedAt: row.updated_at,
  };
}
