import assert from "node:assert/strict";
import { test } from "node:test";
import { childOf, ROOT, type SchemaNode } from "../../../../src/platform/config/schema-node.ts";
import { findNotBuilt, NOT_BUILT } from "../../../../src/wire/config/not-built.ts";

const refused: ReadonlyArray<readonly [readonly (string | number)[], unknown]> = [
  [["blobs", "driver"], "s3"],
  [["blobs", "s3", "bucket"], "x"],
  [["blobs", "client_side_key_file"], "/k"],
  [
    ["api", "listen"],
    ["inet:127.0.0.1:1", "tls:0.0.0.0:443"],
  ],
  [["queue", "driver"], "nats"],
  [["otel", "enabled"], true],
  [["api", "public_url"], "http://127.0.0.1:8025"],
  [["api", "trust_proxy"], true],
  ...["send_mail"].map(name => [["plugin", "com.example.x", "grants", name], true] as const),
];

test("what is not built is refused", () => {
  for (const [path, value] of refused) assert.notEqual(findNotBuilt(path, value), undefined, path.join("."));
});

test("the harmless values of the same keys are allowed", () => {
  const allowed: typeof refused = [
    [["roles"], ["lmtp"]],
    [["blobs", "driver"], "fs"],
    [["blobs", "client_side_key_file"], ""],
    [["imap", "writable"], "flags"],
    [
      ["imap", "client_listen"],
      ["inet:127.0.0.1:1", "tls:0.0.0.0:993"],
    ],
    [["tls", "key_file"], "/k"],
    [["api", "listen"], ["inet:127.0.0.1:1"]],
    [["domains", "a.example", "stage"], "mirror"],
    [["domains", "a.example", "relay", "lmtp"], "unix:/l"],
    [["defaults", "stage"], "observe"],
    [["domains", "a.example", "quota_mb"], 1],
    [["otel", "enabled"], false],
    [["hooks", 0, "point"], "pre_delivery"],
    [["hooks", 0, "mode"], "shadow"],
    [["lmtp", "late_reject"], "hold"],
    [["metrics", "listen"], ["inet:127.0.0.1:9"]],
    [["api", "trust_proxy"], false],
    [["hooks", 0, "filter", "direction"], "inbound"],
    [["hooks", 0, "filter", "authenticated"], false],
    [["plugin", "com.example.x", "grants", "read_body"], "full"],
    [["plugin", "com.example.x", "grants", "read_attachments"], "full"],
    [
      ["plugin", "com.example.x", "grants", "decide"],
      ["reject", "tempfail", "hold"],
    ],
    ...["write_tags", "write_flags", "write_metadata", "write_headers", "move_message"].map(
      name => [["plugin", "com.example.x", "grants", name], true] as const,
    ),
    [["plugin", "com.example.x", "grants", "send_mail"], false],
  ];
  for (const [path, value] of allowed) assert.equal(findNotBuilt(path, value), undefined, path.join("."));
});

test("every entry names a key that the schema has", () => {
  for (const { key } of NOT_BUILT) {
    const named = key.at(-1) === "*" ? key.slice(0, -1) : key;
    let node: SchemaNode | undefined = ROOT;
    for (const segment of named) node = node === undefined ? undefined : childOf(node, segment);
    assert.notEqual(node, undefined, key.join("."));
  }
});
