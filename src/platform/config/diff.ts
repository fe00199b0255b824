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

/**
 * Keys whose new value counts at once: read at each use, or put into effect by the reload itself. Of a key with tables below it
 * all of them. A test holds this list together with the places that read them; whatever is not here waits for a restart.
 */
export const LIVE: readonly string[] = [
  "log.level",
  "log.format",
  "log.hash_addresses",
  "hooks",
  "plugin",
  "plugins.folders",
  "plugins.enabled",
  "plugins.allow",
  "plugins.deny",
  "plugins.allow_unsigned",
  "plugins.allow_unsandboxed",
  "plugins.require_limits",
  "plugins.auto_approve",
  "plugins.health_interval_s",
  "domains",
  "defaults",
  "limits.message_bytes",
  "limits.received_headers",
  "limits.min_free_disk_mb",
  "limits.mime_depth",
  "limits.mime_parts",
  "retention.events_days",
  "loss_proof.allow_kill",
  "lmtp.redelivery_window_s",
  "lmtp.chain_timeout_ms",
  "lmtp.detail_folder",
  "hold.approvers",
  "hold.expire_days",
  "hold.notify_owner",
  "edits.signed_mail",
  "outbound.smtp",
  "lmtp.late_reject",
  "milter.chain_timeout_ms",
  "tls.cert_file",
  "tls.key_file",
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
