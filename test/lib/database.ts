/** A real embedded PostgreSQL in a temporary folder, migrated, for contract tests and benchmarks. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../../src/core/ports/log.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { type Db, openDatabase } from "../../src/store/db.ts";
import { EmbeddedPostgres } from "../../src/store/embedded.ts";
import { migrateUp, readMigrations } from "../../src/store/migrate.ts";
import { copyReadyCluster } from "./ready-cluster.ts";

/** Long enough for initdb on a busy machine. */
const START_MS = 60_000;

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

/** A statement that is put together: names of tables cannot be parameters. */
export const statement = (text: string): TemplateStringsArray => Object.assign([text], { raw: [text] });

export interface TestDatabase {
  readonly db: Db;
  readonly dir: string;
  /** A second, independent pool on the same database: another node. */
  open(): Promise<Db>;
  stop(): Promise<void>;
}

export async function startTestDatabase(): Promise<TestDatabase> {
  const dir = mkdtempSync(join(tmpdir(), "mr-db-"));
  copyReadyCluster(dir);
  const postgres = new EmbeddedPostgres({ dataDir: dir, runtimeDir: dir, log: silentLog });
  const deadline = deadlineAfter(START_MS);
  const target = await postgres.start(deadline);
  const opened: Db[] = [];
  const open = async () => {
    const db = await openDatabase({ target, log: silentLog });
    opened.push(db);
    return db;
  };
  const db = await open();
  await migrateUp(db, readMigrations(), silentLog);
  deadline.dispose();
  return {
    db,
    dir,
    open,
    async stop() {
      const end = deadlineAfter(START_MS);
      for (const one of opened) await one.close(end);
      await postgres.stop(end);
      end.dispose();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
