/**
 * Reads `plugin.toml`: shape, rules, and for every error the file, line, key, what was found and what is allowed; all errors at
 * once. Positions are looked up only when there is an error.
 */

import { keyText } from "../platform/config/problem.ts";
import { indexPositions, parseToml, TomlSyntaxError, type TomlTable } from "../platform/config/toml.ts";
import { type Manifest, manifestSchema } from "../wire/manifest.ts";
import { manifestFindings } from "./manifest-rules.ts";
import { type Finding, type KeyPath, ManifestError } from "./problem.ts";
import { checkSchema } from "./schema-check.ts";

/** Largest manifest, in UTF-16 units. */
export const MAX_MANIFEST_CHARACTERS = 256 * 1024;

/**
 * @param source  text of the file
 * @param file    its name, for errors
 * @throws {ManifestError} with every problem
 */
export async function parseManifest(source: string, file: string): Promise<Manifest> {
  if (source.length > MAX_MANIFEST_CHARACTERS) {
    throw syntaxError(file, 1, `${source.length} characters`, `at most ${MAX_MANIFEST_CHARACTERS}`);
  }
  const document = parseDocument(source, file);
  const shape = checkSchema(manifestSchema, document);
  const findings = [...shape, ...ruleFindings(document, shape)];
  if (findings.length > 0) throw new ManifestError(file, await locate(findings, source, file));
  // Its shape was checked above.
  return document as unknown as Manifest;
}

/** Stand in for what a broken manifest lacks, so that the rules can still look at the rest of it. */
const PLACEHOLDERS: TomlTable = {
  id: "plugin.without.id",
  name: "?",
  version: "0.0.0",
  entry: { type: "service", protocol: "container" },
};
/** Rounds of taking out what is wrong: a missing key takes its table with it, which may be missed in turn. */
const MAX_PRUNE_ROUNDS = 4;

/** Rules need the right shapes: what has none is taken out first, and nothing is said about it twice. */
function ruleFindings(document: TomlTable, shape: readonly Finding[]): readonly Finding[] {
  const pruned: KeyPath[] = [];
  let candidate: TomlTable = document;
  let wrong = shape;
  for (let round = 0; wrong.length > 0 && round < MAX_PRUNE_ROUNDS; round++) {
    const paths = wrong.map(({ path, found }) =>
      found === "nothing" && path.length > 1 ? path.slice(0, -1) : path,
    );
    pruned.push(...paths);
    candidate = { ...PLACEHOLDERS, ...without(candidate, paths) };
    wrong = checkSchema(manifestSchema, candidate);
  }
  if (wrong.length > 0) return [];
  const isPruned = ({ path }: Finding) =>
    pruned.some(gone => gone.every((segment, i) => path[i] === segment));
  // What had another shape was taken out, or is a placeholder.
  return manifestFindings(candidate as unknown as Manifest).filter(finding => !isPruned(finding));
}

/** A copy without the values at `paths`. */
function without(document: TomlTable, paths: readonly KeyPath[]): TomlTable {
  const copy: Record<string, unknown> = structuredClone(document);
  // Backwards, so that what is taken out of a list does not move what is still to go.
  for (const path of paths.toReversed()) {
    let table: unknown = copy;
    for (const segment of path.slice(0, -1)) table = isTable(table) ? table[segment] : undefined;
    const last = path.at(-1);
    if (Array.isArray(table) && typeof last === "number") table.splice(last, 1);
    else if (isTable(table) && last !== undefined) delete table[last];
  }
  return copy;
}

/** Lists too. */
function isTable(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null;
}

function parseDocument(source: string, file: string): TomlTable {
  try {
    return parseToml(source);
  } catch (error) {
    if (error instanceof TomlSyntaxError) throw syntaxError(file, error.position.line, error.message, "TOML");
    throw error;
  }
}

function syntaxError(file: string, line: number, found: string, allowed: string): ManifestError {
  return new ManifestError(file, [{ file, line, key: "", path: [], found, allowed }]);
}

async function locate(findings: readonly Finding[], source: string, file: string) {
  const positions = await indexPositions(source).catch((error: unknown) => {
    if (error instanceof TomlSyntaxError) throw syntaxError(file, error.position.line, error.message, "TOML");
    throw error;
  });
  return findings
    .map(finding => ({
      ...finding,
      file,
      line: positions.find(finding.path).line,
      key: keyText(finding.path),
    }))
    .sort((a, b) => a.line - b.line);
}
