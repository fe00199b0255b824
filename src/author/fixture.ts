/**
 * The fixtures of a plugin: `fixtures/<name>.eml`, and `<name>.toml` beside it with envelope, settings and the verdict that is expected
 * (`wire/plugin-fixture.ts`). A message without a TOML file is a fixture that expects nothing yet.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { MairustError, messageOf } from "../core/errors.ts";
import { keyText } from "../platform/config/problem.ts";
import { indexPositions, parseToml, TomlSyntaxError } from "../platform/config/toml.ts";
import { ManifestError } from "../plugins/problem.ts";
import { checkSchema } from "../plugins/schema-check.ts";
import { type FixtureFile, fixtureSchema } from "../wire/plugin-fixture.ts";
import { mailBytes } from "./message-facts.ts";

export const FIXTURES_FOLDER = "fixtures";
/** Most fixtures of one plugin. */
const MAX_FIXTURES = 1000;
/** Largest message of a fixture. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const MAX_FILE_CHARACTERS = 1024 * 1024;

export interface Fixture {
  readonly name: string;
  /** Absolute path of `<name>.toml`, which may not be there yet. */
  readonly file: string;
  /** "" when there is no file yet. */
  readonly source: string;
  readonly message: Uint8Array;
  readonly content: FixtureFile;
}

/**
 * @param names  only these; empty: all, in the order of their names
 * @throws {MairustError} `not_found`: a fixture, or the message of one; `too_many`; {@link ManifestError}: a file with errors, all of them
 */
export async function readFixtures(folder: string, names: readonly string[]): Promise<readonly Fixture[]> {
  const dir = join(folder, FIXTURES_FOLDER);
  const there = await fixtureNames(dir);
  const missing = names.find(name => !there.includes(name));
  if (missing !== undefined) {
    const known = there.length === 0 ? "there are none" : `there are ${there.join(", ")}`;
    throw new MairustError("not_found", `Cannot find fixture "${missing}" in "${dir}": ${known}`);
  }
  const wanted = names.length === 0 ? there : there.filter(name => names.includes(name));
  const fixtures: Fixture[] = [];
  for (const name of wanted) fixtures.push(await readFixture(dir, name));
  return fixtures;
}

async function fixtureNames(dir: string): Promise<readonly string[]> {
  const files = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const toml = files.filter(file => file.endsWith(".toml")).map(file => file.slice(0, -".toml".length));
  const mail = files.filter(file => file.endsWith(".eml")).map(file => file.slice(0, -".eml".length));
  const all = [...new Set([...toml, ...mail])].sort();
  if (all.length > MAX_FIXTURES)
    throw new MairustError(
      "too_many",
      `Cannot read "${dir}": ${all.length} fixtures, at most ${MAX_FIXTURES}`,
    );
  return all;
}

async function readFixture(dir: string, name: string): Promise<Fixture> {
  const file = join(dir, `${name}.toml`);
  const source = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const content = await parseFixture(source, file);
  return {
    name,
    file,
    source,
    content,
    message: await readMessage(dir, content.message ?? `${name}.eml`, file),
  };
}

/** @throws {ManifestError} */
async function parseFixture(source: string, file: string): Promise<FixtureFile> {
  const refuse = (line: number, found: string) =>
    new ManifestError(file, [{ file, line, key: "", path: [], found, allowed: "TOML" }], "fixture");
  if (source.length > MAX_FILE_CHARACTERS) throw refuse(1, `${source.length} characters`);
  try {
    const document = parseToml(source);
    const findings = checkSchema(fixtureSchema, document);
    // The schema has seen it.
    if (findings.length === 0) return document as unknown as FixtureFile;
    const positions = await indexPositions(source);
    const problems = findings.map(finding => ({
      ...finding,
      file,
      line: positions.find(finding.path).line,
      key: keyText(finding.path),
    }));
    throw new ManifestError(file, problems, "fixture");
  } catch (error) {
    if (error instanceof TomlSyntaxError) throw refuse(error.position.line, error.message);
    throw error;
  }
}

async function readMessage(dir: string, name: string, file: string): Promise<Uint8Array> {
  const path = join(dir, name);
  try {
    const { size } = await stat(path);
    if (size > MAX_MESSAGE_BYTES)
      throw new MairustError(
        "message_too_large",
        `Cannot read "${path}": ${size} bytes, at most ${MAX_MESSAGE_BYTES}`,
      );
    return mailBytes(await readFile(path));
  } catch (error) {
    if (error instanceof MairustError) throw error;
    const text = `Cannot read the message of fixture "${file}": ${messageOf(error)}`;
    throw new MairustError("not_found", text, { cause: error });
  }
}
