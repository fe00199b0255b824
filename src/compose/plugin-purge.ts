/** What is left of a plugin beside its record, for an uninstall with `--purge`. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/** Its log and the older ones beside it. @param logDir  `log_dir` */
export async function purgePlugin(id: string, logDir: string): Promise<void> {
  const folder = join(logDir, "plugins");
  const names = await readdir(folder).catch(() => []);
  // Ids may end in ".log" themselves: no more than a number and how it is packed may follow.
  const rest = /^\.log(?:\.\d+(?:\.gz)?)?$/u;
  for (const name of names)
    if (name.startsWith(id) && rest.test(name.slice(id.length)))
      await rm(join(folder, name), { force: true });
}
