/** What is left of a plugin beside its record, for an uninstall with `--purge`. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { persistentDirOf } from "../plugins/transport-spec.ts";

/**
 * Its folder that stays, which would be the next one's of this id, whoever wrote that; its log and the older ones beside it.
 * @param dir     `plugins.dir`
 * @param logDir  `log_dir`
 */
export async function purgePlugin(id: string, dir: string, logDir: string): Promise<void> {
  await rm(persistentDirOf(dir, id), { recursive: true, force: true });
  const folder = join(logDir, "plugins");
  const names = await readdir(folder).catch(() => []);
  // Ids may end in ".log" themselves: no more than a number and how it is packed may follow.
  const rest = /^\.log(?:\.\d+(?:\.gz)?)?$/u;
  for (const name of names)
    if (name.startsWith(id) && rest.test(name.slice(id.length)))
      await rm(join(folder, name), { force: true });
}
