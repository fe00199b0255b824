/**
 * Who may import whom, and what may stand where: rules as data, and the check that reads them.
 * Text based: it looks at import lines and at a few patterns, which is all the rules need.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** Folder of `src/` → folders of ours that it may import besides itself. Longest matching key wins. `*`: anything. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  core: ["wire"],
  platform: ["core", "wire"],
  "protocols/lmtp": ["core", "wire", "platform"],
  "protocols/imap": ["core", "wire", "platform"],
  "protocols/milter": ["core", "wire", "platform"],
  delivery: ["core", "wire", "platform"],
  hooks: ["core", "wire", "platform"],
  plugins: ["core", "wire", "platform"],
  runtimes: ["core", "wire", "platform"],
  author: ["core", "wire", "platform", "plugins", "hooks", "runtimes"],
  store: ["core", "wire", "platform"],
  jobs: ["core", "wire", "platform"],
  transfer: ["core", "wire", "platform"],
  services: ["core", "wire", "platform"],
  api: ["core", "wire", "platform", "services"],
  cli: ["wire", "platform"],
  loss: ["core", "wire", "platform", "delivery", "transfer"],
  mailhost: ["core", "wire", "platform"],
  site: ["core", "wire", "platform"],
  demo: ["core", "wire", "platform", "mailhost"],
  "compose.ts": ["*"],
  compose: ["*"],
  "start.cts": ["main.ts"],
  "main.ts": ["cli", "platform", "compose.ts", "compose", "demo", "loss"],
};

/** Packages that one file alone may import: each dependency stands behind one file. */
export const ONLY_IN: Readonly<Record<string, string>> = {
  postgres: "store/db.ts",
  pino: "platform/",
  "prom-client": "platform/",
  "rotating-file-stream": "platform/rotating-log.ts",
  fastify: "api/",
  "smtp-server": "protocols/lmtp/",
  re2js: "core/",
  commander: "cli/",
  tweetnacl: "plugins/",
  mailauth: "delivery/",
};

export interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
  /** Path prefixes below `src/` where it may stand. */
  readonly allowedIn: readonly string[];
}

export const BANS: readonly Ban[] = [
  { pattern: /\bprocess\.env\b/u, what: "process.env", allowedIn: ["platform/config/", "start.cts"] },
  { pattern: /\bprocess\.exit\(/u, what: "process.exit()", allowedIn: ["main.ts"] },
  { pattern: /^(?:export )?let /mu, what: "module-level let", allowedIn: [] },
  { pattern: /(?<![.\w])(?:setTimeout|setInterval)\(/u, what: "a bare timer", allowedIn: ["platform/"] },
  { pattern: /\bexport default\b/u, what: "a default export", allowedIn: [] },
  { pattern: /@ts-ignore|@ts-nocheck|@ts-expect-error/u, what: "a type escape", allowedIn: [] },
];

/** `core` is pure: it imports no module of Node. */
const PURE = ["core", "wire"];
const MAX_LINES = 400;

interface Source {
  /** Path below the root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Code without comments, line breaks kept. */
  readonly code: string;
  readonly imports: readonly string[];
}

/** @returns one sentence per violation; empty when the tree keeps the rules */
export function checkArchitecture(root: string): readonly string[] {
  const sources = readSources(root);
  return [...sources.flatMap(source => checkFile(source)), ...findCycles(sources)];
}

function readSources(root: string): readonly Source[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(
      entry => entry.isFile() && /\.c?ts$/u.test(entry.name) && !entry.parentPath.includes("node_modules"),
    )
    .map(entry => {
      const path = relative(root, join(entry.parentPath, entry.name));
      const text = readFileSync(join(root, path), "utf8");
      const code = text
        .replace(/\/\*[\s\S]*?\*\//gu, comment => comment.replace(/[^\n]/gu, ""))
        .replace(/(^|[^:"'`\\])\/\/[^\n]*/gu, "$1");
      return { path, text, code, imports: importsOf(code) };
    });
}

function importsOf(code: string): readonly string[] {
  const patterns = [
    /\bfrom\s+["']([^"']+)["']/gu,
    /\bimport\s*\(\s*["']([^"']+)["']/gu,
    /^\s*import\s+["']([^"']+)["']/gmu,
  ];
  return patterns.flatMap(pattern => [...code.matchAll(pattern)].map(match => match[1] ?? ""));
}

function checkFile(source: Source): readonly string[] {
  const problems: string[] = [];
  const folder = ruleFolder(source.path);
  if (folder === undefined) problems.push(`${source.path}: stands in no known folder`);
  for (const name of source.imports) problems.push(...checkImport(source.path, folder, name));
  for (const ban of BANS) {
    if (ban.pattern.test(source.code) && !ban.allowedIn.some(prefix => source.path.startsWith(prefix))) {
      problems.push(`${source.path}: uses ${ban.what}`);
    }
  }
  if (!/^(?:#![^\n]*\n)?\/\*\*/u.test(source.text))
    problems.push(`${source.path}: does not open with a module comment`);
  const lines = source.text.split("\n").length;
  if (lines > MAX_LINES) problems.push(`${source.path}: has ${lines} lines, more than ${MAX_LINES}`);
  return problems;
}

function checkImport(path: string, folder: string | undefined, name: string): readonly string[] {
  if (!name.startsWith(".")) return checkPackage(path, name);
  if (!/\.[a-z]+$/u.test(name)) return [`${path}: imports "${name}" without its extension`];
  const target = normalize(join(dirname(path), name));
  const targetFolder = ruleFolder(target);
  if (folder === undefined || targetFolder === folder) return [];
  const allowed = MAY_IMPORT[folder] ?? [];
  if (allowed.includes("*") || (targetFolder !== undefined && allowed.includes(targetFolder))) return [];
  return [`${path}: may not import ${target} (${folder} → ${targetFolder ?? "outside"})`];
}

function checkPackage(path: string, name: string): readonly string[] {
  if (name.startsWith("node:")) {
    return PURE.includes(path.split("/")[0] ?? "")
      ? [`${path}: imports ${name}, but its folder is pure`]
      : [];
  }
  const packageName = name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
  const home = ONLY_IN[packageName];
  return home !== undefined && !path.startsWith(home)
    ? [`${path}: imports ${name}, which only ${home} may`]
    : [];
}

function ruleFolder(path: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter(key => path === key || path.startsWith(`${key}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function findCycles(sources: readonly Source[]): readonly string[] {
  const edges = new Map(
    sources.map(source => [
      source.path,
      // A type-only import is gone at run time, but it ties two files together all the same.
      source.imports
        .filter(name => name.startsWith("."))
        .map(name => normalize(join(dirname(source.path), name))),
    ]),
  );
  const done = new Set<string>();
  const problems: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      problems.push(`import cycle: ${[...trail.slice(at), path].join(" → ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return problems;
}
