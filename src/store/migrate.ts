/**
 * The schema's history: plain SQL files `migrations/NNNN_name.sql`, each applied once in a transaction of its own (before step 1 of
 * the message path).
 *
 * Several nodes may start at once: each migration takes an advisory lock inside its transaction and looks again what is applied.
 * A file that was applied never changes: its SHA-256 is recorded. A first line `-- breaking` marks a migration that older versions
 * of the service cannot live with; they refuse such a database, and go on with a warning over any other newer one.
 * Failures: `invalid_state` for a database that does not fit (never retried by itself), `data_invalid` for a bad folder.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MairustError, messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { packageRoot } from "../platform/package-root.ts";
import type { Db, Queryable } from "./db.ts";
import { sqlstateOf } from "./db.ts";

export interface Migration {
  /** 1, 2, 3 … without gaps. */
  readonly version: number;
  readonly name: string;
  readonly text: string;
  /** Lower-case hex SHA-256 of the text with LF line ends. */
  readonly checksum: string;
  readonly breaking: boolean;
}

export interface AppliedMigration {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  readonly breaking: boolean;
  readonly applied_at: Date;
}

export interface MigrationStatus {
  readonly applied: readonly AppliedMigration[];
  /** Files not applied yet, in order. */
  readonly pending: readonly Migration[];
  /** Applied by a newer version of the service. */
  readonly newer: readonly AppliedMigration[];
  /** Why this service must not use the database; undefined: it may. */
  readonly problem: string | undefined;
}

const FILE_NAME = /^(\d{4})_([a-z0-9_]+)\.sql$/;
/** A migration is one transaction; statements that end it would leave half of it behind. */
const TRANSACTION_CONTROL = /^\s*(?:begin|start transaction|commit|rollback)\s*;/im;
/** Any number, the same in every version: what all nodes lock while they migrate. */
const LOCK_KEY = 7_316_254;
/** SQLSTATE undefined_table. */
const NO_SUCH_TABLE = "42P01";

/**
 * Read the migrations of a folder.
 * @param folder  default: `migrations/` of this package
 * @throws {MairustError} `data_invalid`: a file that is none, a gap or double in the numbers, transaction control
 */
export function readMigrations(folder = join(packageRoot(), "migrations")): Migration[] {
  return readdirSync(folder)
    .sort()
    .map((file, i) => {
      const parts = FILE_NAME.exec(file);
      if (parts === null) throw invalidFile(file, "its name is not like 0001_name.sql");
      const version = Number(parts[1]);
      if (version !== i + 1) throw invalidFile(file, `number ${String(i + 1).padStart(4, "0")} is next`);
      const text = readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n");
      if (TRANSACTION_CONTROL.test(text)) throw invalidFile(file, "it begins or ends a transaction");
      const checksum = createHash("sha256").update(text).digest("hex");
      return { version, name: parts[2] ?? "", text, checksum, breaking: /^-- breaking\b/.test(text) };
    });
}

/** What is applied, what is to do, and whether database and files fit each other. */
export async function migrationStatus(db: Queryable, files: readonly Migration[]): Promise<MigrationStatus> {
  return compare(await readApplied(db), files);
}

/**
 * Apply everything pending.
 * @returns the migrations that this call applied
 * @throws {MairustError} `invalid_state`: the database does not fit; or what the failing migration gave, nothing of it applied
 */
export async function migrateUp(db: Db, files: readonly Migration[], log: Log): Promise<Migration[]> {
  const { pending, problem } = await migrationStatus(db, files);
  if (problem !== undefined) throw unfit(problem);
  const applied: Migration[] = [];
  for (const migration of pending) {
    if (!(await applyOne(db, migration, files))) continue;
    applied.push(migration);
    log.info("migration applied", { version: migration.version, name: migration.name });
  }
  return applied;
}

/**
 * Make the database ready for this service at start.
 * @param autoMigrate  `database.auto_migrate`
 * @throws {MairustError} `invalid_state`: it does not fit, or something is pending and `autoMigrate` is off
 */
export async function ensureSchema(
  db: Db,
  files: readonly Migration[],
  autoMigrate: boolean,
  log: Log,
): Promise<void> {
  const { pending, newer, problem } = await migrationStatus(db, files);
  if (problem !== undefined) throw unfit(problem);
  if (newer.length > 0) {
    log.warn("database is newer than this service, and still fits", { newest: newer.at(-1)?.version });
  }
  if (pending.length === 0) return;
  if (!autoMigrate) {
    throw unfit(
      `${pending.length} migrations are pending, the first is ${label(pending[0])}, and database.auto_migrate is off: ` +
        `run "mairust migrate up"`,
    );
  }
  await migrateUp(db, files, log);
}

/** @returns false when another node was faster */
async function applyOne(db: Db, migration: Migration, files: readonly Migration[]): Promise<boolean> {
  try {
    return await db.begin(
      async tx => {
        await tx.query`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`;
        await tx.script(
          `create table if not exists schema_migrations (
             version int primary key, name text not null, checksum text not null, breaking boolean not null,
             applied_at timestamptz not null default now())`,
        );
        const { problem, pending } = compare(await selectApplied(tx), files);
        if (problem !== undefined) throw unfit(problem);
        if (!pending.some(m => m.version === migration.version)) return false;
        await tx.script(migration.text);
        await tx.query`
          insert into schema_migrations (version, name, checksum, breaking)
          values (${migration.version}, ${migration.name}, ${migration.checksum}, ${migration.breaking})`;
        return true;
      },
      { statementTimeoutMs: 0 },
    );
  } catch (error) {
    if (error instanceof MairustError && error.code !== "internal") throw error;
    throw new MairustError("internal", `Cannot apply migration ${label(migration)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function readApplied(db: Queryable): Promise<AppliedMigration[]> {
  try {
    return await selectApplied(db);
  } catch (error) {
    if (sqlstateOf(error) === NO_SUCH_TABLE) return [];
    throw error;
  }
}

function selectApplied(db: Queryable): Promise<AppliedMigration[]> {
  return db.query<AppliedMigration>`select version, name, checksum, breaking, applied_at from schema_migrations order by version`;
}

/** Pure. */
export function compare(applied: readonly AppliedMigration[], files: readonly Migration[]): MigrationStatus {
  const done = new Set(applied.map(a => a.version));
  const newer = applied.filter(a => a.version > files.length);
  const pending = files.filter(f => !done.has(f.version));
  return { applied, pending, newer, problem: findProblem(applied, files, newer, pending) };
}

function findProblem(
  applied: readonly AppliedMigration[],
  files: readonly Migration[],
  newer: readonly AppliedMigration[],
  pending: readonly Migration[],
): string | undefined {
  for (const a of applied) {
    const file = files[a.version - 1];
    if (file !== undefined && file.checksum !== a.checksum) {
      return `migration ${label(a)} was changed after it was applied: restore the file, and put the change into a new one`;
    }
  }
  const breaking = newer.find(a => a.breaking);
  if (breaking !== undefined) {
    return `migration ${label(breaking)} was applied by a newer version, and this one cannot use what it changed: install the newer version`;
  }
  const newest = applied.at(-1)?.version ?? 0;
  const skipped = pending.find(f => f.version < newest);
  return skipped === undefined
    ? undefined
    : `migration ${label(skipped)} is missing, though later ones are applied`;
}

function label(migration: { readonly version: number; readonly name: string } | undefined): string {
  return `${String(migration?.version ?? 0).padStart(4, "0")}_${migration?.name ?? ""}`;
}

function unfit(problem: string): MairustError {
  return new MairustError("invalid_state", `Cannot use the database: ${problem}`);
}

function invalidFile(file: string, why: string): MairustError {
  return new MairustError("data_invalid", `Cannot read migration "${file}": ${why}`);
}
