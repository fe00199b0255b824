/** `mairust-export.json` in the root of an exported Maildir: that it is ours to add to, and what its folder names do not show. */
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";

export const MARKER_NAME = "mairust-export.json";
const FORMAT = 1;
const MAX_MARKER_BYTES = 16 * 1024 * 1024;

export interface ExportMarker {
  readonly format: typeof FORMAT;
  readonly account: string;
  /** Name of a directory (`.A.B`) → mailbox, where the directory cannot say it. */
  readonly folders: Readonly<Record<string, string>>;
  readonly subscribed: readonly string[];
}

/** @returns undefined: there is none, or none of ours */
export async function readMarker(root: string): Promise<ExportMarker | undefined> {
  const path = join(root, MARKER_NAME);
  const info = await lstat(path).catch(() => undefined);
  if (info === undefined || !info.isFile() || info.size > MAX_MARKER_BYTES) return undefined;
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return isMarker(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMarker(value: unknown): value is ExportMarker {
  if (typeof value !== "object" || value === null) return false;
  const { format, account, folders, subscribed }: Partial<Record<keyof ExportMarker, unknown>> = value;
  return (
    format === FORMAT &&
    typeof account === "string" &&
    typeof folders === "object" &&
    folders !== null &&
    Object.values(folders).every(name => typeof name === "string") &&
    Array.isArray(subscribed) &&
    subscribed.every(name => typeof name === "string")
  );
}

export function markerText(marker: Omit<ExportMarker, "format">): string {
  return `${JSON.stringify({ format: FORMAT, ...marker }, undefined, 2)}\n`;
}
