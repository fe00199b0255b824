/** What is left of a plugin beside its record, for an uninstall with `--purge`. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/** Its log and the older ones beside it. @param logDir  `log_dir` */
export async function purgePlugin(id: string, logDir: string): Promise<void> {
  const folder = join(logDir, "plugins");
  const names = await readdir(folder).catch(() => []);
  for (const name of names)
    if (name === `${id}.log` || name.startsWith(`${id}.log.`)) await rm(join(folder, name), { force: true });
}
