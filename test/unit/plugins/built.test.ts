import assert from "node:assert/strict";
import { test } from "node:test";
import { missingInThisVersion, unenforcedLimits } from "../../../src/plugins/built.ts";
import { type Manifest, manifestSchema } from "../../../src/wire/manifest.ts";
import { permissionsSchema } from "../../../src/wire/permissions.ts";

const manifestWith = (change: Partial<Manifest>): Manifest => ({
  id: "com.example.a",
  name: "A",
  version: "1.0.0",
  entry: { type: "hook", protocol: "script", command: ["a"] },
  hooks: { on: ["pre_delivery"] },
  ...change,
});

test("limits that nothing enforces are named", () => {
  const limits: NonNullable<Manifest["limits"]> = {
    cpu_ms: 1,
    memory_mb: 1,
    wall_time_ms: 1,
    network: "none",
    network_allow: ["a.example:443"],
  };
  assert.deepEqual(unenforcedLimits(manifestWith({ limits })), [
    "cpu_ms",
    "memory_mb",
    "network",
    "network_allow",
  ]);
  assert.deepEqual(unenforcedLimits(manifestWith({})), []);
  // wall_time_ms is enforced, persistent_dir is refused: every limit of the schema is one of the three.
  const known = Object.keys(manifestSchema.properties.limits.properties);
  assert.deepEqual(known.sort(), [...Object.keys(limits), "persistent_dir"].sort());
});

test("what nothing reads in a manifest is refused by name", () => {
  const missing = (change: Partial<Manifest>) => missingInThisVersion(manifestWith(change), {}).join();
  assert.equal(missing({}), "");
});

test("a grant works or is refused by name", () => {
  const refused = new Set(["send_mail"]);
  for (const name of Object.keys(permissionsSchema.properties)) {
    const most = { read_body: "full", read_attachments: "full", decide: ["hold"] }[name] ?? true;
    const text = missingInThisVersion(manifestWith({}), { [name]: most }).join();
    assert.equal(text, refused.has(name) ? `the grant ${name}` : "", name);
  }
});
