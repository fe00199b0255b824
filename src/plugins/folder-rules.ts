/** What a manifest says of the files beside it: every file that it names is there, below its folder, and may be run where it is to run. */
import { access, constants, stat } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";
import type { Manifest } from "../wire/manifest.ts";
import type { Finding, KeyPath } from "./problem.ts";
import { shown } from "./problem.ts";

/** Programs whose first argument without a dash is a file that they run. */
const INTERPRETERS = /^(?:node|nodejs|deno|bun|python[0-9.]*|ruby|perl|php|lua|sh|bash|dash|ksh|zsh)$/u;

/** @param folder  absolute. @returns what is not there or cannot be run; programs of the host are not looked for */
export async function folderFindings(
  { entry, ui, api }: Manifest,
  folder: string,
): Promise<readonly Finding[]> {
  const files: ReadonlyArray<readonly [path: KeyPath, name: string | undefined]> = [
    [["entry", "module"], entry.module],
    [["ui", "bundle"], ui?.bundle],
    [["api", "openapi"], api?.openapi],
  ];
  const named = await Promise.all(
    files.map(([path, name]) => (name === undefined ? undefined : fileFinding(folder, path, name))),
  );
  const isRunHere = entry.protocol === "script";
  const health = typeof entry.health_cmd === "string" ? undefined : entry.health_cmd;
  return [
    ...(isRunHere ? await commandFindings(folder, ["entry", "command"], entry.command) : []),
    ...(await commandFindings(folder, ["entry", "health_cmd"], health)),
    ...named.filter(finding => finding !== undefined),
  ];
}

async function commandFindings(
  folder: string,
  path: KeyPath,
  command: readonly string[] | undefined,
): Promise<readonly Finding[]> {
  const [program = "", ...args] = command ?? [];
  if (program.includes("/")) {
    // An absolute path is one of the host's programs.
    const finding = isAbsolute(program) ? undefined : await fileFinding(folder, [...path, 0], program, true);
    return finding === undefined ? [] : [finding];
  }
  if (!INTERPRETERS.test(program)) return [];
  const at = args.findIndex(argument => !argument.startsWith("-"));
  const name = args[at];
  // `python3 -m module`, `sh -c …`: what follows is no file.
  if (name === undefined || args.slice(0, at).some(argument => /^-[A-Za-z]*[mce]$/u.test(argument)))
    return [];
  const finding = await fileFinding(folder, [...path, at + 1], name);
  return finding === undefined ? [] : [finding];
}

async function fileFinding(
  folder: string,
  path: KeyPath,
  name: string,
  mustRun = false,
): Promise<Finding | undefined> {
  const says = (found: string, allowed: string) => ({ path, found: `${shown(name)}, ${found}`, allowed });
  const below = normalize(name);
  if (isAbsolute(name) || below === ".." || below.startsWith("../"))
    return says("which is outside of the plugin's folder", "a file below it");
  const file = join(folder, below);
  const facts = await stat(file).catch(() => undefined);
  if (facts === undefined) return says("which is not there", "a file below the plugin's folder");
  if (!facts.isFile()) return says("which is no file", "a file below the plugin's folder");
  const mayRun =
    !mustRun ||
    (await access(file, constants.X_OK).then(
      () => true,
      () => false,
    ));
  return mayRun ? undefined : says("which may not be run", `a program (chmod +x ${name})`);
}
