/**
 * How a Postfix is set up: its files, its parameters as it reads them, and what we kept of the time before us. Needs no running Postfix.
 * Failures: `invalid_state` with what `postconf` says of a broken configuration.
 */
import { join } from "node:path";
import { readText, resolved } from "./files.ts";
import { parsePostconf } from "./main-cf.ts";
import { runCommand, tryCommand } from "./run-command.ts";

export interface PostfixFacts {
  readonly version: string;
  readonly configDir: string;
  /** Behind symbolic links. */
  readonly queueDir: string;
  /** Behind symbolic links. */
  readonly mainFile: string;
  readonly masterFile: string;
  readonly tableFile: string;
  readonly files: PostfixFiles;
  /** What `main.cf` sets, as written. */
  readonly own: ReadonlyMap<string, string>;
  /** Every parameter this version knows, with `$name` replaced. */
  readonly effective: ReadonlyMap<string, string>;
}

/** The texts that a stage changes; undefined: there is no such file. */
export interface PostfixFiles {
  readonly main: string;
  readonly master: string;
  /** Who goes to the sidecar. */
  readonly table: string | undefined;
  readonly undoRoute: string | undefined;
  readonly undoMilter: string | undefined;
  readonly undoIds: string | undefined;
}

const NONE: ReadonlyMap<string, string> = new Map();
export const TABLE = "mairust-transport";
export const UNDO_FILES = {
  undoRoute: "mairust-undo.cf",
  undoMilter: "mairust-milter-undo.cf",
  undoIds: "mairust-queue-ids-undo.cf",
} as const;

export const postfixEnv = (dir: string | undefined): Readonly<Record<string, string>> =>
  dir === undefined ? {} : { MAIL_CONFIG: dir };

/** @returns undefined: Postfix is not installed */
export async function readPostfix(dir: string | undefined): Promise<PostfixFacts | undefined> {
  const env = postfixEnv(dir);
  const asked = await tryCommand("postconf", ["-h", "config_directory", "mail_version"], env);
  if (asked === undefined) return undefined;
  if (asked.code !== 0) await runCommand("postconf", ["-h", "config_directory"], env);
  const [configDir = "", version = ""] = asked.stdout.split("\n");
  const [own = NONE, effective = NONE] = (
    await Promise.all([runCommand("postconf", ["-n"], env), runCommand("postconf", ["-x"], env)])
  ).map(parsePostconf);
  const mainFile = await resolved(join(configDir, "main.cf"));
  const masterFile = await resolved(join(configDir, "master.cf"));
  const read = (name: string) => readText(join(configDir, name));
  return {
    version,
    configDir,
    queueDir: await resolved(effective.get("queue_directory") ?? ""),
    mainFile,
    masterFile,
    tableFile: await resolved(join(configDir, TABLE)),
    files: {
      main: (await readText(mainFile)) ?? "",
      master: (await readText(masterFile)) ?? "",
      table: await read(TABLE),
      undoRoute: await read(UNDO_FILES.undoRoute),
      undoMilter: await read(UNDO_FILES.undoMilter),
      undoIds: await read(UNDO_FILES.undoIds),
    },
    own,
    effective,
  };
}
