/** Who goes before whom when a plugin is disabled with all that need it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dependants } from "../../../src/plugins/lifecycle-plan.ts";

const [A, B, C, D] = ["com.example.a", "com.example.b", "com.example.c", "com.example.d"] as const;

test("who needs another one that goes as well goes before it, in whichever order they are found", () => {
  const needs: readonly (readonly [string, string[]])[] = [
    [B, [`${A}>=1.0.0`, `${C}>=1.0.0`]],
    [C, [A]],
    [D, [B]],
    [A, []],
  ];
  const manifests = (order: typeof needs) => new Map(order.map(([id, depends]) => [id, { depends }]));
  for (const order of [needs, [...needs].reverse()])
    assert.deepEqual(dependants(A, manifests(order)), [D, B, C]);
  assert.deepEqual(dependants(D, manifests(needs)), []);
});
