/** What a reload says it applies is what it applies: each live key with the place that reads it at use. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { diffConfig, LIVE } from "../../../../src/platform/config/diff.ts";
import { childOf, ROOT, type SchemaNode } from "../../../../src/platform/config/schema-node.ts";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { loadText } from "./temporary-files.ts";

type Reader = readonly [file: string, reads: RegExp];

const RELOAD_LOG: Reader = ["src/compose/reload.ts", /log\.configure\(/u];
/** A reload loads plugins and hooks anew when a key of theirs changed. */
const RELOAD_HOOKS: Reader = ["src/compose/reload.ts", /HOOK_KEYS = .*hooks\|plugin\|plugins/u];
const RELOAD_DOMAINS: Reader = ["src/compose/reload.ts", /DOMAIN_KEYS = .*domains\|defaults/u];
const RELOAD_TLS: Reader = ["src/compose/reload.ts", /tls\.prepare\(next\.config\.tls\)/u];
const atUse = (file: string, key: string): Reader => [
  file,
  // Behind an arrow, `return` of a getter, or in the work of a timer; never in a component's own start.
  new RegExp(`(?:=>[^;]*|return )settings\\.config\\.${key.replaceAll(".", "\\.")}\\b`, "u"),
];

/** Where each live key is read after a reload. */
const READ_AT: Readonly<Record<string, readonly Reader[]>> = {
  "log.level": [RELOAD_LOG],
  "log.format": [RELOAD_LOG],
  "log.hash_addresses": [RELOAD_LOG],
  hooks: [RELOAD_HOOKS],
  plugin: [RELOAD_HOOKS],
  "plugins.folders": [RELOAD_HOOKS, ["src/plugins/find-plugins.ts", /config\.plugins\.folders/u]],
  "plugins.enabled": [RELOAD_HOOKS, ["src/plugins/discovery.ts", /\benabled\.includes/u]],
  "plugins.allow": [RELOAD_HOOKS, ["src/plugins/discovery.ts", /\ballow\.includes/u]],
  "plugins.deny": [RELOAD_HOOKS, ["src/plugins/discovery.ts", /\bdeny\.includes/u]],
  "plugins.allow_unsigned": [RELOAD_HOOKS, ["src/plugins/enable.ts", /plugins\.allow_unsigned\.includes/u]],
  "plugins.allow_unsandboxed": [
    RELOAD_HOOKS,
    ["src/plugins/transport-spec.ts", /plugins\.allow_unsandboxed\.includes/u],
  ],
  "plugins.require_limits": [RELOAD_HOOKS, ["src/plugins/transport-spec.ts", /plugins\.require_limits/u]],
  "plugins.auto_approve": [
    ["src/compose/plugin-lifecycle.ts", /auto_approve: rule \} = this\.#parts\.settings\.config\.plugins/u],
  ],
  "plugins.health_interval_s": [
    atUse("src/compose/hooks.ts", "plugins.health_interval_s"),
    ["src/compose/plugin-care.ts", /settings\.config\.plugins\.health_interval_s/u],
  ],
  domains: [RELOAD_DOMAINS],
  defaults: [RELOAD_DOMAINS],
  "limits.message_bytes": [
    atUse("src/compose/mail-path.ts", "limits.message_bytes"),
    atUse("src/compose/listeners.ts", "limits.message_bytes"),
  ],
  "limits.received_headers": [atUse("src/compose/mail-path.ts", "limits.received_headers")],
  "limits.min_free_disk_mb": [atUse("src/compose/storage.ts", "limits.min_free_disk_mb")],
  "limits.mime_depth": [atUse("src/compose.ts", "limits.mime_depth")],
  "limits.mime_parts": [atUse("src/compose.ts", "limits.mime_parts")],
  "retention.events_days": [
    ["src/compose/storage.ts", /=> \{\n +const \{ retention, lmtp \} = settings\.config;/u],
  ],
  "loss_proof.allow_kill": [atUse("src/compose.ts", "loss_proof.allow_kill")],
  "lmtp.redelivery_window_s": [atUse("src/compose.ts", "lmtp.redelivery_window_s")],
  "lmtp.chain_timeout_ms": [atUse("src/compose/listeners.ts", "lmtp.chain_timeout_ms")],
  "lmtp.late_reject": [atUse("src/compose/mail-path.ts", "lmtp.late_reject")],
  "milter.chain_timeout_ms": [atUse("src/compose/listeners.ts", "milter.chain_timeout_ms")],
  "lmtp.detail_folder": [atUse("src/compose/mail-path.ts", "lmtp.detail_folder")],
  "edits.signed_mail": [atUse("src/compose/mail-path.ts", "edits.signed_mail")],
  "hold.approvers": [atUse("src/compose/holds.ts", "hold.approvers")],
  "hold.expire_days": [atUse("src/compose/holds.ts", "hold.expire_days")],
  "hold.notify_owner": [atUse("src/compose/holds.ts", "hold.notify_owner")],
  "tls.cert_file": [RELOAD_TLS],
  "tls.key_file": [RELOAD_TLS],
  "outbound.smtp": [atUse("src/compose/holds.ts", "outbound.smtp")],
};

test("every live key is read at use, by the place that is named here", () => {
  assert.deepEqual([...LIVE].sort(), Object.keys(READ_AT).sort());
  for (const [key, readers] of Object.entries(READ_AT)) {
    let node: SchemaNode | undefined = ROOT;
    for (const segment of key.split(".")) node = node === undefined ? undefined : childOf(node, segment);
    assert.notEqual(node, undefined, `${key} is no key`);
    for (const [file, reads] of readers)
      assert.match(readFileSync(join(packageRoot(), file), "utf8"), reads, `${key} in ${file}`);
  }
});

test("what is read when a component starts waits for a restart", async t => {
  const before = (await loadText(t, "")).config;
  const toml =
    "drain_timeout_s = 5\n[limits]\nmin_free_disk_mb = 5\npayload_bytes_in_flight = 2000000\nmime_parts = 7";
  assert.deepEqual(diffConfig(before, (await loadText(t, toml)).config), {
    live: ["limits.min_free_disk_mb", "limits.mime_parts"],
    restart: ["drain_timeout_s", "limits.payload_bytes_in_flight"],
  });
});
