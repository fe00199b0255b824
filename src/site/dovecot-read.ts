/** How a Dovecot is set up: its main file, what `doveconf` says, and our own files beside it. Needs no running Dovecot. */
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type DovecotBlock, parseDoveconf } from "./dovecot-conf.ts";
import { readText, resolved } from "./files.ts";
import { runCommand, tryCommand } from "./run-command.ts";

export interface DovecotFacts {
  readonly version: string;
  /** Behind symbolic links. */
  readonly configFile: string;
  /** As it was named. */
  readonly namedFile: string;
  /** Our folder beside it. */
  readonly ourDir: string;
  readonly main: string;
  readonly settings: DovecotBlock;
  /** `mail_plugins` of IMAP, those of everything included. */
  readonly imapPlugins: readonly string[];
  readonly imapCapability: string;
  /** The password for the sidecar as Dovecot has it, every byte; undefined: none, or this user may not read it. */
  readonly imapcPassword: string | undefined;
  /** Our files by their path below our folder. */
  readonly ours: ReadonlyMap<string, string>;
}

/** Folder of our files beside `dovecot.conf`. */
export const OUR_DIR = "mairust";
/** Files in our folder that are read; there is one per account and service. */
const MAX_FILES = 200_000;

export const dovecotArgs = (file: string | undefined): readonly string[] =>
  file === undefined ? [] : ["-c", file];

/** @returns undefined: Dovecot is not installed */
export async function readDovecot(file: string | undefined): Promise<DovecotFacts | undefined> {
  const args = dovecotArgs(file);
  const asked = await tryCommand("dovecot", ["--version"]);
  if (asked === undefined) return undefined;
  const shown = await runCommand("doveconf", [...args, "-n"]);
  const named = file ?? /^# \S+ \([^)]*\): (\S+)$/mu.exec(shown)?.[1] ?? "/etc/dovecot/dovecot.conf";
  const configFile = await resolved(named);
  const inImap = async (name: string) =>
    (await runCommand("doveconf", [...args, "-f", "protocol=imap", "-h", name])).trim();
  const [plugins = "", capability = "", password] = await Promise.all([
    inImap("mail_plugins"),
    inImap("imap_capability"),
    imapcPassword(args),
  ]);
  const ourDir = join(dirname(configFile), OUR_DIR);
  return {
    version: asked.stdout.trim().split(" ")[0] ?? "",
    configFile,
    namedFile: named,
    ourDir,
    main: (await readText(configFile)) ?? "",
    settings: parseDoveconf(shown),
    imapPlugins: plugins.split(/\s+/u).filter(name => name !== ""),
    imapCapability: capability,
    imapcPassword: password,
    ours: await ourFiles(ourDir),
  };
}

async function imapcPassword(args: readonly string[]): Promise<string | undefined> {
  const shown = await tryCommand("doveconf", [...args, "-x", "-P", "-h", "imapc_password"]);
  // doveconf ends the value with a line break of its own.
  return shown === undefined || shown.code !== 0 ? undefined : shown.stdout.replace(/\n$/u, "");
}

async function ourFiles(dir: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const names = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of names.slice(0, MAX_FILES)) {
    if (!entry.isFile() || entry.name.startsWith(".")) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(dir.length + 1), (await readText(path)) ?? "");
  }
  return found;
}
