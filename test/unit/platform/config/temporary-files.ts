/** Configuration files for one test; gone when it ends. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { type LoadedConfig, type LoadOptions, loadConfig } from "../../../../src/platform/config/load.ts";
import { ConfigError, originText } from "../../../../src/platform/config/problem.ts";

/** @returns a folder with the given files in it */
export function folderWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "mairust-config-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** Load one file, with no environment but the given one. */
export function loadText(t: TestContext, toml: string, options: LoadOptions = {}): Promise<LoadedConfig> {
  const folder = folderWith(t, { "mairust.toml": toml });
  return loadConfig({ configFile: join(folder, "mairust.toml"), env: {}, ...options });
}

/** @returns the problems as "place key: text", the place of a file without its folder */
export async function problemsOf(loading: Promise<LoadedConfig>): Promise<readonly string[]> {
  try {
    await loading;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(
      ({ origin, key, text }) => `${originText(origin).replace(/^.*\//, "")} ${key}: ${text}`,
    );
  }
  return [];
}
