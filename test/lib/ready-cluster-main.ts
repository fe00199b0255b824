/** `node ready-cluster-main.js DIR` makes the cluster of `ready-cluster.ts` in the empty folder DIR, as `postgres`. */
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { openDatabase } from "../../src/store/db.ts";
import { EmbeddedPostgres } from "../../src/store/embedded.ts";
import { migrateUp, readMigrations } from "../../src/store/migrate.ts";
import { silentLog } from "./database.ts";

const MAKE_MS = 300_000;

const [dir = ""] = process.argv.slice(2);
const postgres = new EmbeddedPostgres({ dataDir: dir, runtimeDir: dir, log: silentLog });
const deadline = deadlineAfter(MAKE_MS);
const db = await openDatabase({ target: await postgres.start(deadline), log: silentLog });
await migrateUp(db, readMigrations(), silentLog);
await db.close(deadline);
await postgres.stop(deadline);
deadline.dispose();
