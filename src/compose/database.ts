/** Component "database": the server (embedded or `database.url`), the pool, the schema, and the domains that files name. */
import { type Component, component } from "../platform/component.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { Health } from "../platform/health.ts";
import type { RootLog } from "../platform/log.ts";
import { type Db, openDatabase } from "../store/db.ts";
import { EmbeddedPostgres } from "../store/embedded.ts";
import { ensureSchema, readMigrations } from "../store/migrate.ts";
import { syncDomains } from "../store/sync-domains.ts";
import type { Config } from "../wire/config/schema.ts";
import type { Cell } from "./cell.ts";
import { BYTES_PER_MB, type Settings } from "./settings.ts";

/** initdb and crash recovery take their time on a slow disk. */
const START_MS = 120_000;
const HEALTH_MS = 2_000;

export interface DatabaseParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly version: string;
  readonly db: Cell<Db>;
}

/** Connect to what the configuration says, starting the embedded server when it says nothing. */
export async function connectDatabase(
  config: Config,
  log: RootLog,
): Promise<{ readonly db: Db; readonly embedded: EmbeddedPostgres | undefined }> {
  const embedded =
    config.database.url === undefined
      ? new EmbeddedPostgres({ dataDir: config.data_dir, runtimeDir: config.runtime_dir, log })
      : undefined;
  const deadline = deadlineAfter(START_MS);
  try {
    const target = embedded === undefined ? (config.database.url ?? "") : await embedded.start(deadline);
    return { db: await openDatabase({ target, log, pool: config.database.pool }), embedded };
  } catch (error) {
    await embedded?.stop(deadline);
    throw error;
  } finally {
    deadline.dispose();
  }
}

export function databaseComponent({ settings, log, version, db }: DatabaseParts): Component {
  let embedded: EmbeddedPostgres | undefined;
  return component({
    info: {
      name: "database",
      version,
      description: "PostgreSQL: embedded, or the server of database.url",
      type: "store",
    },
    async init() {
      const { config } = settings;
      const connected = await connectDatabase(config, log);
      embedded = connected.embedded;
      db.set(connected.db);
      await ensureSchema(connected.db, readMigrations(), config.database.auto_migrate, log);
      await syncDomains(connected.db, configuredDomains(config));
    },
    async stop(deadline) {
      await db.peek()?.close(deadline);
      db.set(undefined);
      await embedded?.stop(deadline);
      embedded = undefined;
    },
    health: () => databaseHealth(db.get(), embedded),
  });
}

/** What `[domains]` of the files says, as rows. */
export function configuredDomains(config: Config) {
  return Object.entries(config.domains).map(([name, domain]) => ({
    name,
    tenant: domain.tenant,
    stage: domain.stage,
    accounts: domain.accounts,
    quotaBytes: domain.quota_mb * BYTES_PER_MB,
    relayLmtp: domain.relay.lmtp,
  }));
}

async function databaseHealth(db: Db, embedded: EmbeddedPostgres | undefined): Promise<Health> {
  const server = embedded?.health();
  if (server !== undefined && server.status !== "ok") return { status: "error", detail: server.detail };
  const deadline = deadlineAfter(HEALTH_MS);
  try {
    await db.begin(async tx => tx.query`select 1 as one`, { statementTimeoutMs: HEALTH_MS }, deadline);
    return { status: "ok" };
  } finally {
    deadline.dispose();
  }
}
