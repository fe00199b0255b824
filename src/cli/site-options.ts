/** Where the files of the Postfix and Dovecot beside us are, and where their copies go, as `setup`, `stage` and `doctor` are told. */
import type { SitePlaces } from "../wire/site-calls.ts";
import type { Options } from "./command.ts";

const BACKUP = "/var/backups/mairust";

export function placesOf(options: Options): SitePlaces {
  const postfixDir = options.text("postfixDir");
  const dovecotConfig = options.text("dovecotConfig");
  return {
    ...(postfixDir === undefined ? {} : { postfixDir }),
    ...(dovecotConfig === undefined ? {} : { dovecotConfig }),
  };
}

/** Folder for the files as they were. */
export const backupOf = (options: Options): string => options.text("backup") ?? BACKUP;
