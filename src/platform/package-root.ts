/** Finds the folder that holds package.json, and through it `migrations/`, `postfix/`, `dovecot/`, `plugins/`: the same from source and from `build/`. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MairustError } from "../core/errors.ts";

/** @returns the absolute path of the package's folder */
export function packageRoot(): string {
  for (let dir = dirname(fileURLToPath(import.meta.url)); dir !== dirname(dir); dir = dirname(dir)) {
    if (existsSync(join(dir, "package.json"))) return dir;
  }
  throw new MairustError("internal", "Cannot find package.json above the running code");
}

/** @returns `version` of package.json */
export function packageVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"));
  return typeof parsed === "object" && parsed !== null && "version" in parsed
    ? String(parsed.version)
    : "0.0.0";
}
