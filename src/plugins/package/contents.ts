/**
 * `manifest.json`: what is in a package, and so what its signatures are about. One form only: two readers of the same bytes cannot
 * understand two things (JSON with a key twice, say), and what is built twice is the same.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { keyText } from "../../platform/config/problem.ts";
import type { Manifest } from "../../wire/manifest.ts";
import { type PackageContents, packageContentsSchema } from "../../wire/plugin-package.ts";
import { findingText } from "../problem.ts";
import { checkSchema } from "../schema-check.ts";
import { pathProblem } from "./paths.ts";
import { type Problems, quoted } from "./problems.ts";

export const PLUGIN_FILE = "plugin.toml";
export const CONTENTS_FILE = "manifest.json";
export const SIGNATURES_FILE = "manifest.json.sig";
/** Octets of `manifest.json`: all files it may list, with the longest names. */
export const MAX_CONTENTS_BYTES = 256 * 1024;
/** What a manifest that does not say speaks. */
const FIRST_API = "1";

/** Files are hashed this many octets at a time: mail does not wait for a package. */
const TURN_BYTES = 1024 * 1024;

/** The one form of our JSON files. */
export function canonicalJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * @param file  its name, for problems
 * @returns     undefined: problems were added
 */
export function parseCanonical(bytes: Uint8Array, file: string, schema: object, problems: Problems): unknown {
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    problems.add(`${file} is no JSON in UTF-8`);
    return undefined;
  }
  const findings = checkSchema(schema, value);
  for (const { path, ...finding } of findings)
    problems.add(
      `${file}: ${path.length === 0 ? "" : `${keyText(path)}: `}${findingText({ path, ...finding })}`,
    );
  if (findings.length > 0) return undefined;
  if (canonicalJson(inOrder(schema, value)) === text) return value;
  problems.add(
    `${file} is not written as "mairust plugin package" writes it (two spaces, fixed order of keys)`,
  );
  return undefined;
}

/** The keys in the order of the schema: what {@link canonicalJson} of it must give is what stood there. */
function inOrder(schema: object, value: unknown): unknown {
  const { properties, items } = schema as {
    readonly properties?: Readonly<Record<string, object>>;
    readonly items?: object;
  };
  if (Array.isArray(value)) return items === undefined ? value : value.map(one => inOrder(items, one));
  if (properties === undefined || typeof value !== "object" || value === null) return value;
  const table = value as Readonly<Record<string, unknown>>;
  const keys = Object.keys(properties).filter(key => Object.hasOwn(table, key));
  return Object.fromEntries(keys.map(key => [key, inOrder(properties[key] ?? {}, table[key])]));
}

/** @returns undefined: problems were added */
export function parseContents(bytes: Uint8Array, problems: Problems): PackageContents | undefined {
  if (bytes.length > MAX_CONTENTS_BYTES) {
    problems.add(`${CONTENTS_FILE} has ${bytes.length} bytes, at most ${MAX_CONTENTS_BYTES} are allowed`);
    return undefined;
  }
  const contents = parseCanonical(bytes, CONTENTS_FILE, packageContentsSchema, problems) as
    | PackageContents
    | undefined;
  if (contents === undefined) return undefined;
  let before = "";
  for (const { path } of contents.files) {
    const why = isOwn(path) ? "it may not list itself or its signatures" : pathProblem(path);
    if (why !== undefined) problems.add(`${CONTENTS_FILE}: ${quoted(path)}: ${why}`);
    if (path <= before)
      problems.add(
        `${CONTENTS_FILE}: ${quoted(path)} is not behind ${quoted(before)}: sorted, and each once`,
      );
    before = path;
  }
  return contents;
}

/** Files that a package has beside those that it lists. */
export function isOwn(path: string): boolean {
  return path === CONTENTS_FILE || path === SIGNATURES_FILE;
}

/** What a package with these files lists. */
export async function contentsOf(
  manifest: Manifest,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<PackageContents> {
  const listed: PackageContents["files"] = [];
  for (const path of [...files.keys()].filter(one => !isOwn(one)).sort()) {
    const bytes = files.get(path) ?? new Uint8Array(0);
    listed.push({ path, size: bytes.length, sha256: await sha256(bytes) });
  }
  return { id: manifest.id, version: manifest.version, api: apiOf(manifest), files: listed };
}

export function apiOf({ compat }: Manifest): string {
  return compat?.api ?? FIRST_API;
}

/** In hexadecimal; other work gets its turn in between. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += TURN_BYTES) {
    if (at > 0) await setImmediate();
    hash.update(bytes.subarray(at, at + TURN_BYTES));
  }
  return hash.digest("hex");
}
