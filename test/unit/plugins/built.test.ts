import assert from "node:assert/strict";
import { test } from "node:test";
import { missingInThisVersion } from "../../../src/plugins/built.ts";
import type { Manifest } from "../../../src/wire/manifest.ts";
import { permissionsSchema } from "../../../src/wire/permissions.ts";

const manifestWith = (change: Partial<Manifest>): Manifest => ({
  id: "com.example.a",
  name: "A",
  version: "1.0.0",
  entry: { type: "hook", protocol: "script", command: ["a"] },
  hooks: { on: ["pre_delivery"] },
  ...change,
});

test("what nothing reads in a manifest is refused by name", () => {
  const missing = (change: Partial<Manifest>) => missingInThisVersion(manifestWith(change), {}).join();
  assert.equal(missing({}), "");
  assert.equal(missing({ logging: { level: "debug" } }), "[logging]");
});

test("a grant works or is refused by name", () => {
  const refused = new Set(["send_mail"]);
  for (const name of Object.keys(permissionsSchema.properties)) {
    const most = { read_body: "full", read_attachments: "full", decide: ["hold"] }[name] ?? true;
    const text = missingInThisVersion(manifestWith({}), { [name]: most }).join();
    assert.equal(text, refused.has(name) ? `the grant ${name}` : "", name);
  }
});
