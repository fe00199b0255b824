import assert from "node:assert/strict";
import { test } from "node:test";
import { continueDecision } from "../../../src/core/continue-decision.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { HookDecision } from "../../../src/core/ports/hooks.ts";

const entry = (hook: string) => ({ plugin_id: hook, hook, changes: ["tags"] });

test("what two chains decided adds up; the later folder and the later tags count", () => {
  const first: HookDecision = {
    ...DELIVER,
    action: "hold",
    folder: "A",
    tags: ["a", "b"],
    flags: { system: 1, keywords: ["x"] },
    metadata: { one: 1 },
    headers: [["X-A", "1"]],
    addBcc: ["a@example.test"],
    provenance: [entry("a")],
  };
  const next: HookDecision = {
    ...DELIVER,
    folder: "B",
    tags: ["a", "c"],
    flags: { system: 4, keywords: ["w", "x"] },
    metadata: { two: 2 },
    headers: [["X-B", "2"]],
    addBcc: ["a@example.test"],
    provenance: [entry("a"), entry("b")],
  };
  assert.deepEqual(continueDecision(first, next), {
    ...DELIVER,
    folder: "B",
    tags: ["a", "c"],
    flags: { system: 5, keywords: ["w", "x"] },
    metadata: { one: 1, two: 2 },
    headers: [
      ["X-A", "1"],
      ["X-B", "2"],
    ],
    addBcc: ["a@example.test"],
    provenance: [entry("a"), entry("b")],
  });
  assert.deepEqual(continueDecision(first, { ...next, provenance: [entry("b")] }).provenance, [
    entry("a"),
    entry("b"),
  ]);
});

test("a refusal keeps what had been decided before it, and says who refused", () => {
  const by = { priority: 1, name: "strict", pluginId: "p", reason: "no" };
  const reply = { code: 550, enhanced: "5.7.1", text: "no" };
  const refused = continueDecision(
    { ...DELIVER, folder: "A", tags: ["a"] },
    { ...DELIVER, action: "reject", by, reply },
  );
  assert.deepEqual([refused.action, refused.by, refused.folder, refused.tags], ["reject", by, "A", ["a"]]);
});
