/** `mairust migrate …`: database migrations, without the service. */
import { type LoadedConfig, loadConfig } from "../../platform/config/load.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { type Column, printRows } from "../output.ts";
import type { MigrationState, Migrations, Standalone } from "../standalone.ts";

const COLUMNS: readonly Column<MigrationState>[] = [
  { title: "VERSION", value: m => m.version, right: true },
  { title: "NAME", value: m => m.name },
  { title: "APPLIED", value: m => m.applied, shown: m => (m.applied ? "yes" : "no") },
];

/** @throws {CommandError} 75: a running service has the embedded database for itself */
async function opened(standalone: Standalone, loaded: LoadedConfig): Promise<Migrations> {
  try {
    return await standalone.migrations(loaded);
  } catch (error) {
    const inUse = error instanceof Error && "code" in error && error.code === "invalid_state";
    if (!inUse || loaded.config.database.url !== undefined) throw error;
    throw new CommandError(EXIT.tryLater, `${error.message}: stop the service first`, error);
  }
}

async function withMigrations<T>(
  { standalone, load }: CommandContext,
  work: (migrations: Migrations) => Promise<T>,
): Promise<T> {
  const migrations = await opened(standalone, await loadConfig(load));
  try {
    return await work(migrations);
  } finally {
    await migrations.close();
  }
}

export async function status(context: CommandContext): Promise<void> {
  const states = await withMigrations(context, migrations => migrations.status());
  printRows(context.terminal, context.format, states, COLUMNS);
}

export async function up(context: CommandContext): Promise<void> {
  const { terminal, format } = context;
  const dryRun = context.options.has("dryRun");
  const done = await withMigrations(context, async migrations =>
    dryRun ? (await migrations.status()).filter(one => !one.applied) : migrations.up(),
  );
  const what = `${done.length} ${done.length === 1 ? "migration" : "migrations"}`;
  terminal.err(done.length === 0 ? "nothing to do\n" : `${dryRun ? "would apply" : "applied"} ${what}\n`);
  if (done.length > 0) printRows(terminal, format, done, COLUMNS);
}
