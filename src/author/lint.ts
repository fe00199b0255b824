/**
 * `plugin lint`: everything that install and enable would say of a plugin's folder, at once, and what is worth a second look. Errors are
 * what keeps it from running; warnings keep nobody.
 */
import { messageOf } from "../core/errors.ts";
import { keyText } from "../platform/config/problem.ts";
import { indexPositions } from "../platform/config/toml.ts";
import { packageVersion } from "../platform/package-root.ts";
import { missingInThisVersion } from "../plugins/built.ts";
import { folderFindings } from "../plugins/folder-rules.ts";
import { parseManifest } from "../plugins/manifest.ts";
import { compatFinding } from "../plugins/manifest-rules.ts";
import { manifestWarnings } from "../plugins/manifest-warnings.ts";
import { PackageError } from "../plugins/package/problems.ts";
import { packFolder } from "../plugins/package/write.ts";
import {
  type Finding,
  findingText,
  type KeyPath,
  ManifestError,
  type ManifestProblem,
} from "../plugins/problem.ts";
import { programProblem } from "../runtimes/script-child.ts";
import type { LintEntry, LintReport } from "../wire/author-calls.ts";
import { API_VERSION } from "../wire/hook-payload.ts";
import type { Manifest } from "../wire/manifest.ts";
import { readFixtures } from "./fixture.ts";
import { findManifest, type ManifestPlace, readManifestText } from "./project.ts";

/** @throws {MairustError} `plugin_load`: there is no manifest */
export async function lintPlugin(path: string): Promise<LintReport> {
  const place = await findManifest(path);
  const source = await readManifestText(place);
  const report = { file: place.shown, id: null, version: null };
  let manifest: Manifest;
  try {
    manifest = await parseManifest(source, place.shown);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return { ...report, entries: error.problems.map(entryOf) };
  }
  const errors = await errorsOf(manifest, place.folder);
  const entries = await locate(place, source, [
    ...errors,
    // What is missing would be told twice.
    ...(errors.length > 0 ? [] : await packageWarnings(place.folder)),
    ...manifestWarnings(manifest).map(warning => ({ ...warning, severity: "warning" as const, code: null })),
  ]);
  const { id, version } = manifest;
  return { ...report, id, version, entries: [...entries, ...(await fixtureErrors(place.folder))] };
}

type Unlocated = Pick<LintEntry, "severity" | "code" | "text"> & { readonly path: KeyPath };

async function errorsOf(manifest: Manifest, folder: string): Promise<readonly Unlocated[]> {
  const compat = compatFinding(manifest, packageVersion(), [API_VERSION]);
  const findings = [...(compat === undefined ? [] : [compat]), ...(await folderFindings(manifest, folder))];
  const error = (path: KeyPath, text: string, code: string | null = null) =>
    ({ severity: "error", path, text, code }) as const;
  const { command } = manifest.entry;
  const program = command === undefined ? undefined : programProblem({ folder, command });
  const isToldAlready = findings.some(({ path }) => path[1] === "command" && path[2] === 0);
  return [
    ...findings.map(finding => error(finding.path, findingText(finding), finding.code ?? null)),
    ...(program === undefined || isToldAlready ? [] : [error(["entry", "command"], program)]),
    ...missingInThisVersion(manifest, manifest.permissions ?? {}).map(what =>
      error(keyOfMissing(what), `${what} is not built in this version`, "not_built"),
    ),
  ];
}

/** It may run from its folder all the same. */
async function packageWarnings(folder: string): Promise<readonly Unlocated[]> {
  const warning = (text: string) => ({ severity: "warning", path: [], text, code: null }) as const;
  try {
    return (await packFolder(folder)).notes.map(warning);
  } catch (error) {
    if (!(error instanceof PackageError)) throw error;
    return error.problems.map(text => warning(`no package can be made of it: ${text}`));
  }
}

/** `[caps]` and `limits.persistent_dir` name their key themselves. */
function keyOfMissing(what: string): KeyPath {
  const table = /^\[([a-z]+)\]/u.exec(what)?.[1];
  if (table !== undefined) return [table];
  const key = /^[a-z_]+(\.[a-z_]+)+/u.exec(what)?.[0];
  return key === undefined ? ["entry"] : key.split(".");
}

async function locate(
  { shown }: ManifestPlace,
  source: string,
  found: readonly Unlocated[],
): Promise<readonly LintEntry[]> {
  if (found.length === 0) return [];
  const positions = await indexPositions(source);
  return found
    .map(({ path, ...rest }) => ({
      ...rest,
      file: shown,
      line: positions.find(path).line,
      key: keyText(path),
    }))
    .sort((a, b) => a.line - b.line);
}

/** Fixtures that cannot be read are errors of the project too. */
async function fixtureErrors(folder: string): Promise<readonly LintEntry[]> {
  try {
    await readFixtures(folder, []);
    return [];
  } catch (error) {
    if (error instanceof ManifestError) return error.problems.map(entryOf);
    return [{ severity: "error", file: folder, line: 0, key: "", code: null, text: messageOf(error) }];
  }
}

function entryOf({ file, line, key, code, ...finding }: ManifestProblem): LintEntry {
  return { severity: "error", file, line, key, code: code ?? null, text: findingText(finding as Finding) };
}
