/**
 * A PostgreSQL cluster that is made and migrated once for a run of all tests (`test/run`) and copied by whoever wants a database of its
 * own: initdb takes seconds of a busy machine, at every first start of a service. Where the run has made none each makes its own. First
 * starts with nothing there are shown by `test/contract/store/embedded.test.ts` and by the demo, which never use this one.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** @param dataDir  of a service that was never started; it will run as this process */
export function copyReadyCluster(dataDir: string): void {
  const ready = process.env.TEST_READY_CLUSTER;
  const cluster = join(dataDir, "postgres");
  if (ready === undefined || existsSync(cluster) || statSync(ready).uid !== process.getuid?.()) return;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  execFileSync("cp", ["-a", ready, cluster]);
}
