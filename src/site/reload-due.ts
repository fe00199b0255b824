/**
 * Which servers have files that they have not read yet: written down before the first file is replaced, gone after the reload. A command
 * that is killed between the two leaves it, and the next one reloads them although it finds nothing to change in their files.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SiteFile } from "../wire/site-calls.ts";
import { readText } from "./files.ts";

type Server = SiteFile["server"];

const SERVERS: readonly Server[] = ["postfix", "dovecot"];
const fileIn = (backupDir: string) => join(backupDir, "reload-due");

/** @throws what the system says */
export async function dueReloads(backupDir: string): Promise<readonly Server[]> {
  const lines = (await readText(fileIn(backupDir)))?.split("\n") ?? [];
  return SERVERS.filter(server => lines.includes(server));
}

/** @param servers  none: nothing is due any more. @throws what the system says */
export async function setDueReloads(backupDir: string, servers: readonly Server[]): Promise<void> {
  const file = fileIn(backupDir);
  if (servers.length === 0) await rm(file, { force: true });
  else await writeFile(file, `${servers.join("\n")}\n`, { mode: 0o600 });
}
