/**
 * `plugin test --update`: the verdict of a plugin becomes the expectation of a fixture. Only `[expect]` and what stands below it is
 * written; comments and tables above stay. The file is replaced as a whole.
 */
import { rename, writeFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { stringify } from "smol-toml";
import { MairustError } from "../core/errors.ts";
import { parseToml, TomlSyntaxError, type TomlTable } from "../platform/config/toml.ts";
import type { PluginVerdict } from "../wire/author-calls.ts";
import { expectationOf } from "./compare.ts";
import type { Fixture } from "./fixture.ts";

export async function writeExpectation({ file, source }: Fixture, verdict: PluginVerdict): Promise<void> {
  const made = withExpectation(source, verdict);
  // A text of several lines may look like a table: what cannot be told apart is left to the author.
  const read = checkedToml(made);
  if (!isDeepStrictEqual({ ...read, expect: undefined }, { ...checkedToml(source), expect: undefined }))
    throw new MairustError(
      "data_invalid",
      `Cannot update "${file}": its [expect] cannot be told from the rest`,
    );
  const temporary = `${file}.new`;
  await writeFile(temporary, made);
  await rename(temporary, file);
}

/** undefined: it is no TOML. */
function checkedToml(text: string): TomlTable | undefined {
  try {
    return parseToml(text);
  } catch (error) {
    if (error instanceof TomlSyntaxError) return undefined;
    throw error;
  }
}

/** @param source  of a fixture, without errors. @returns the same with another `[expect]` */
export function withExpectation(source: string, verdict: PluginVerdict): string {
  const before = withoutExpectation(source).trimEnd();
  const table = stringify({ expect: expectationOf(verdict) });
  return before === "" ? table : `${before}\n\n${table}`;
}

/** A table runs to the next header; `[expect.metadata]` belongs to it. */
function withoutExpectation(source: string): string {
  let inside = false;
  const kept: string[] = [];
  for (const line of source.split("\n")) {
    const header = /^\s*\[\s*([A-Za-z0-9_-]+|"[^"]*")/u.exec(line)?.[1];
    if (header !== undefined) inside = header.replaceAll('"', "") === "expect";
    // `expect.action = …` above all tables.
    if (!inside && !/^\s*expect\s*[.=]/u.test(line)) kept.push(line);
  }
  return kept.join("\n");
}
