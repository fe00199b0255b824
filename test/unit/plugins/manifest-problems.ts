/** A small manifest, and what is wrong with one. */
import assert from "node:assert/strict";
import { parseManifest } from "../../../src/plugins/manifest.ts";
import { ManifestError } from "../../../src/plugins/problem.ts";

export const MINIMAL = `id = "com.example.a"
name = "A"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["a"]
[hooks]
on = ["pre_delivery"]
`;

/** The problems of a manifest, as `line key`. */
export async function problems(source: string): Promise<readonly string[]> {
  try {
    await parseManifest(source, "plugin.toml");
    return [];
  } catch (error) {
    assert.ok(error instanceof ManifestError, String(error));
    return error.problems.map(
      ({ line, key, code }) => `${line} ${key}${code === undefined ? "" : ` ${code}`}`,
    );
  }
}
