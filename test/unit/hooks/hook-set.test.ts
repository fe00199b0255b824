import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { compileHooks, type HookRow } from "../../../src/hooks/hook-set.ts";
import { pluginOf, rowOf } from "./rig.ts";

const plugins = { find: (id: string) => (id === "missing" ? undefined : pluginOf(id, () => ({}))) };

function problems(rows: readonly HookRow[]): readonly string[] {
  try {
    compileHooks(rows, plugins);
    return [];
  } catch (error) {
    assert.ok(error instanceof MairustError && error.code === "config_invalid");
    return error.context.problems as readonly string[];
  }
}

test("every problem of all rows is told at once", () => {
  const found = problems([
    rowOf("a"),
    rowOf("a"),
    rowOf("b", { timeout_ms: 5001 }),
    rowOf("c", { plugin: "missing" }),
    rowOf("d", { filter: { ...rowOf("d").filter, recipient: "(" } }),
    rowOf("e", { point: "post_receive" }),
    rowOf("f", { mode: "canary" }),
    rowOf("g", { late: "apply" }),
    rowOf("h", { on_error: "hold" }),
    rowOf("bad name"),
  ]);
  for (const [i, text] of [
    /"a": the name is taken/,
    /"b": .*5001, at most 5000/,
    /"c": there is no plugin "missing"/,
    /"d": .*pattern/,
  ].entries()) {
    assert.match(found[i] ?? "", text);
  }
  for (const [i, text] of [
    /hook point post_receive/,
    /mode canary/,
    /late answers/,
    /holding mail/,
  ].entries()) {
    assert.match(found[i + 4] ?? "", new RegExp(`${text.source}: not built`));
  }
  assert.equal(found.length, 9);
});

test("a hook that is off is not checked further", () => {
  assert.deepEqual(problems([rowOf("a", { enabled: false, plugin: "missing" })]), []);
});

test("the name of a hook can stand in a header field", () => {
  for (const name of ["a\r\nBcc: x", "", "x".repeat(65), "é"])
    assert.equal(problems([rowOf(name)]).length, 1, name);
});
