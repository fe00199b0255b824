/** What `mairust migrate` works on: the database of a configuration, without the rest of the service. */

import type { LoadedConfig } from "../platform/config/load.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { createLog } from "../platform/log.ts";
import { type Migration, migrateUp, migrationStatus, readMigrations } from "../store/migrate.ts";
import { connectDatabase } from "./database.ts";

/** For closing the pool and stopping the embedded server. */
const CLOSE_MS = 30_000;

export interface MigrationState {
  readonly version: number;
  readonly name: string;
  readonly applied: boolean;
}

export interface Migrations {
  /** In their order. */
  status(): Promise<readonly MigrationState[]>;
  /** @returns what was applied now */
  up(): Promise<readonly MigrationState[]>;
  close(): Promise<void>;
}

/** @throws {MairustError} `store_unavailable`, `invalid_state`: the embedded database belongs to a running service */
export async function composeMigrations({ config }: LoadedConfig): Promise<Migrations> {
  const log = createLog({ ...config.log, destination: 2 });
  const { db, embedded } = await connectDatabase(config, log);
  const files = readMigrations();
  const state = (migration: Migration, applied: boolean): MigrationState => ({
    version: migration.version,
    name: migration.name,
    applied,
  });
  return {
    async status() {
      const { pending } = await migrationStatus(db, files);
      return files.map(file => state(file, !pending.includes(file)));
    },
    up: async () => (await migrateUp(db, files, log)).map(migration => state(migration, true)),
    async close() {
      const deadline = deadlineAfter(CLOSE_MS);
      await db.close(deadline);
      await embedded?.stop(deadline);
      deadline.dispose();
      log.flush();
    },
  };
}
