/**
 * Trusted keys and revocations in the database. Read anew each time: packages are verified seldom. Nodes tell each other of changes by
 * NOTIFY, so that what was revoked is found out at once and not with the next look at it.
 */
import { MairustError, messageOf, NotFound } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import {
  MAX_REVOCATIONS,
  MAX_TRUSTED_KEYS,
  type PluginKeys,
  type Revocation,
  type RevocationKind,
  type TrustedKey,
} from "../core/ports/plugin-keys.ts";
import { type Db, isUniqueViolation, type Queryable } from "./db.ts";

const CHANNEL = "mairust_plugin_keys";

interface KeyRow {
  readonly key_id: string;
  readonly role: TrustedKey["role"];
  readonly algorithm: TrustedKey["algorithm"];
  readonly spki: Buffer;
  readonly label: string;
  readonly added_by: string;
  readonly added_at: Date;
}

interface RevocationRow {
  readonly kind: RevocationKind;
  readonly value: string;
  readonly severity: Revocation["severity"];
  readonly reason: string;
  readonly revoked_by: string;
  readonly revoked_at: Date;
}

export class StoredPluginKeys implements PluginKeys {
  readonly #db: Db;
  readonly #log: Log;
  readonly #listeners = new Set<() => void>();
  #unlisten: (() => Promise<void>) | undefined;

  constructor(db: Db, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** Hear of what is changed, here and on other nodes. */
  async start(): Promise<void> {
    const tell = () => {
      for (const listener of this.#listeners) listener();
    };
    this.#unlisten = await this.#db.listen(CHANNEL, tell, tell);
  }

  async stop(): Promise<void> {
    await this.#unlisten?.();
    this.#unlisten = undefined;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async trust() {
    const [keys, revocations] = await Promise.all([this.keys(), this.revocations()]);
    return { keys, revocations };
  }

  async keys(): Promise<readonly TrustedKey[]> {
    const rows = await this.#db.query<KeyRow>`
      select key_id, role, algorithm, spki, label, added_by, added_at from plugin_keys order by label, key_id`;
    return rows.map(toKey);
  }

  async revocations(): Promise<readonly Revocation[]> {
    const rows = await this.#db.query<RevocationRow>`
      select kind, value, severity, reason, revoked_by, revoked_at
      from plugin_revocations order by revoked_at desc, kind, value`;
    return rows.map(toRevocation);
  }

  async addKey({
    id,
    role,
    algorithm,
    spki,
    label,
    addedBy,
  }: Omit<TrustedKey, "addedAt">): Promise<TrustedKey> {
    const row = await this.#change(async tx => {
      const [count] = await tx.query<{ n: number }>`select count(*)::int as n from plugin_keys`;
      if ((count?.n ?? 0) >= MAX_TRUSTED_KEYS) throw tooMany(`${MAX_TRUSTED_KEYS} keys are trusted`);
      const rows = await tx.query<KeyRow>`
        insert into plugin_keys (key_id, role, algorithm, spki, label, added_by)
        values (${id}, ${role}, ${algorithm}, ${Buffer.from(spki)}, ${label}, ${addedBy})
        returning key_id, role, algorithm, spki, label, added_by, added_at`;
      return rows[0];
    }).catch((error: unknown) => {
      if (isUniqueViolation(error)) throw trustedAlready(id);
      throw error;
    });
    return toKey(returned(row));
  }

  async removeKey(id: string): Promise<void> {
    await this.#change(async tx => {
      const gone = await tx.run`delete from plugin_keys where key_id = ${id}`;
      if (gone === 0) throw new NotFound("trusted key", id);
    });
  }

  async revoke({ kind, value, severity, reason, by }: Omit<Revocation, "at">): Promise<Revocation> {
    const row = await this.#change(async tx => {
      const [count] = await tx.query<{ n: number }>`
        select count(*)::int as n from plugin_revocations where (kind, value) <> (${kind}, ${value})`;
      if ((count?.n ?? 0) >= MAX_REVOCATIONS) throw tooMany(`${MAX_REVOCATIONS} revocations are kept`);
      const rows = await tx.query<RevocationRow>`
        insert into plugin_revocations (kind, value, severity, reason, revoked_by)
        values (${kind}, ${value}, ${severity}, ${reason}, ${by})
        on conflict (kind, value) do update
        set severity = excluded.severity, reason = excluded.reason, revoked_by = excluded.revoked_by, revoked_at = now()
        returning kind, value, severity, reason, revoked_by, revoked_at`;
      return rows[0];
    });
    return toRevocation(returned(row));
  }

  async unrevoke(kind: RevocationKind, value: string): Promise<void> {
    await this.#change(async tx => {
      const gone = await tx.run`delete from plugin_revocations where kind = ${kind} and value = ${value}`;
      if (gone === 0) throw new NotFound("revocation of", `${kind} ${value}`);
    });
  }

  /** One after the other over all nodes, so that the limits hold. */
  async #change<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    const result = await this.#db.begin(async tx => {
      await tx.query`select pg_advisory_xact_lock(hashtextextended('plugin_keys', 0))`;
      return work(tx);
    });
    // Who does not hear of it finds out with the next look.
    await this.#db
      .notify(CHANNEL, "")
      .catch((error: unknown) => this.#log.warn("plugin_keys_not_told", { reason: messageOf(error) }));
    return result;
  }
}

function tooMany(publicText: string): MairustError {
  return new MairustError("too_many", `Cannot add: ${publicText}`, { publicText });
}

function trustedAlready(id: string): MairustError {
  const publicText = `key ${id} is trusted already`;
  return new MairustError("already_exists", `Cannot add: ${publicText}`, { publicText });
}

function returned<T>(row: T | undefined): T {
  if (row === undefined) throw new MairustError("internal", "Cannot change plugin keys: no row came back");
  return row;
}

const toKey = (row: KeyRow): TrustedKey => ({
  id: row.key_id,
  role: row.role,
  algorithm: row.algorithm,
  spki: new Uint8Array(row.spki),
  label: row.label,
  addedBy: row.added_by,
  addedAt: row.added_at,
});

const toRevocation = (row: RevocationRow): Revocation => ({
  kind: row.kind,
  value: row.value,
  severity: row.severity,
  reason: row.reason,
  by: row.revoked_by,
  at: row.revoked_at,
});
