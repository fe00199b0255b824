/**
 * One line of a plugin's stderr as its log file holds it, after `[logging]` of its manifest. A line that is a JSON object with `level`
 * and `message`, or that begins with a level, has that level; any other is `info`. The text is the plugin's own: controls were made
 * visible before, and a line stays one line.
 */
import type { Manifest } from "../wire/manifest.ts";

const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
type Level = (typeof LEVELS)[number];

interface Said {
  readonly level: Level;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** @returns undefined: its level is below what the manifest wants */
export function logLine(line: string, logging: Manifest["logging"], at: Date): string | undefined {
  const { level: least = "info", format } = logging ?? {};
  // Without a wish everything is written, as it came.
  if (logging === undefined) return `${at.toISOString()} ${line}`;
  const said = read(line);
  if (LEVELS.indexOf(said.level) < LEVELS.indexOf(least)) return undefined;
  if (format === "json") {
    const { level, message, fields } = said;
    return JSON.stringify({ ...fields, at: at.toISOString(), level, message });
  }
  const fields = Object.entries(said.fields).map(
    ([key, value]) => `${oneLine(key)}=${JSON.stringify(value)}`,
  );
  return [at.toISOString(), said.level, oneLine(said.message), ...fields].join(" ");
}

function read(line: string): Said {
  const json = readJson(line);
  if (json !== undefined) return json;
  const [word = "", ...rest] = line.split(" ");
  const level = levelOf(word.replace(/:$/u, ""));
  return level === undefined
    ? { level: "info", message: line, fields: {} }
    : { level, message: rest.join(" "), fields: {} };
}

function readJson(line: string): Said | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { level, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
    const known = levelOf(level);
    return known !== undefined && typeof message === "string" ? { level: known, message, fields } : undefined;
  } catch {
    // It only begins like one.
    return undefined;
  }
}

/** JSON may hold what would end the line, or move a terminal's cursor. */
const oneLine = (text: string) => text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/gu, "?");

const levelOf = (word: unknown): Level | undefined =>
  LEVELS.find(level => typeof word === "string" && level === word.toLowerCase());
