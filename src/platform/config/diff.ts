/** What a reload can apply at once, and what waits for a restart. */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../../wire/config/schema.ts";
import { type KeyPath, keyText } from "./problem.ts";
import { isTable, ROOT, type SchemaNode, shapeOf } from "./schema-node.ts";

export interface ConfigDiff {
  /** Dotted keys whose new value applies now. */
  readonly live: readonly string[];
  /** Dotted keys whose new value needs a restart. */
  readonly restart: readonly string[];
}

/** Sections, or keys, that are read anew for each message or connection. */
const LIVE: readonly string[] = [
  "log",
  "hooks",
  "plugin",
  "plugins",
  "domains",
  "defaults",
  "limits",
  "retention",
  "lmtp.redelivery_window_s",
  "lmtp.chain_timeout_ms",
  "lmtp.detail_folder",
  "drain_timeout_s",
];

/** @returns the keys that differ: of named tables and hooks the keys inside, of a table that came or went its own */
export function diffConfig(before: Config, after: Config): ConfigDiff {
  const changed: string[] = [];
  compare(ROOT, before, after, [], changed);
  const live = changed.filter(isLive);
  return { live, restart: changed.filter(key => !isLive(key)) };
}

function isLive(key: string): boolean {
  return LIVE.some(prefix => key === prefix || key.startsWith(`${prefix}.`) || key.startsWith(`${prefix}[`));
}

function compare(node: SchemaNode, before: unknown, after: unknown, path: KeyPath, changed: string[]): void {
  if (isDeepStrictEqual(before, after)) return;
  const shape = shapeOf(node);
  if (isTable(before) && isTable(after) && shape.kind !== "leaf") {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    for (const name of names) {
      const child =
        shape.kind === "table"
          ? shape.properties[name]
          : shape.kind === "named_tables"
            ? shape.entry
            : undefined;
      if (child !== undefined) compare(child, before[name], after[name], [...path, name], changed);
    }
  } else changed.push(keyText(path));
}
