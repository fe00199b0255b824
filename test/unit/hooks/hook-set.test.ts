import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { compileHooks, groupsBehind, type HookRow } from "../../../src/hooks/hook-set.ts";
import { HOOK_POINTS } from "../../../src/wire/config/hooks.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { pluginOf, rowOf, TAGGER } from "./rig.ts";

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
    rowOf("e", { point: "post_receive", timeout_ms: 120_000 }),
    rowOf("f", { point: "pre_send", timeout_ms: 120_000 }),
    rowOf("bad name"),
  ]);
  for (const [i, text] of [
    /"a": the name is taken/,
    /"b": .*5001, at most 5000/,
    /"c": there is no plugin "missing"/,
    /"d": .*pattern/,
    /"f": .*120000, at most 5000 at pre_send/,
    /"bad name": /,
  ].entries()) {
    assert.match(found[i] ?? "", text);
  }
  assert.equal(found.length, 6);
});

test("hooks may stand at all four points, hold mail when they fail, and be late", () => {
  const rows = HOOK_POINTS.map((point, i) =>
    rowOf(`h${i}`, { point, on_error: "hold", on_timeout: "allow", late: "apply" }),
  );
  assert.deepEqual(problems(rows), []);
});

const compiled = (row: Partial<HookRow>, plugin: Partial<HookPlugin> = {}) => {
  const one = rowOf("a", row);
  const hook = compileHooks([one], { find: () => pluginOf("a", () => ({}), TAGGER, plugin) })
    .get(one.point)
    ?.flat()[0];
  assert.ok(hook);
  return hook;
};

test("only mail that a time-out lets go can meet a late answer, and then the wall time does not count", () => {
  const late = { late: "apply", on_timeout: "allow", timeout_ms: 500, late_timeout_ms: 9000 } as const;
  const times = (row: Partial<HookRow>) => {
    const { timeoutMs, lateTimeoutMs } = compiled(row, { wallTimeMs: 200 });
    return [timeoutMs, lateTimeoutMs];
  };
  assert.deepEqual(times(late), [500, 9000]);
  assert.deepEqual(times({ ...late, late: "drop" }), [200, undefined]);
  for (const on_timeout of ["tempfail", "reject", "hold"] as const)
    assert.deepEqual(times({ ...late, on_timeout }), [200, undefined]);
  assert.deepEqual(times({ ...late, point: "post_receive" }), [200, undefined]);
  assert.deepEqual(times({ ...late, late_timeout_ms: 500 }), [200, undefined]);
});

test("what a hook needs comes from its plugin's grants, its filter, and what it may decide", () => {
  const NOTHING = { headers: false, body: false, hold: false };
  const needs = (grants: PermissionsInput, row: Partial<HookRow> = {}) =>
    compileHooks([rowOf("a", row)], { find: () => pluginOf("a", () => ({}), grants) })
      .get(row.point ?? "pre_delivery")
      ?.flat()[0]?.needs;
  const { filter } = rowOf("a");
  assert.deepEqual(needs({}), NOTHING);
  assert.deepEqual(needs({ read_headers: [] }), { ...NOTHING, headers: true });
  assert.deepEqual(needs({}, { filter: { ...filter, header: { "x-a": "" } } }), {
    ...NOTHING,
    headers: true,
  });
  assert.deepEqual(needs({ read_body: "preview" }), { ...NOTHING, body: true });
  assert.deepEqual(needs({ read_attachments: "metadata" }), { ...NOTHING, body: true });
  for (const size of ["size_min_bytes", "size_max_bytes"])
    assert.deepEqual(needs({}, { filter: { ...filter, [size]: 1 } }), { ...NOTHING, body: true });
  const hold = { ...NOTHING, hold: true };
  assert.deepEqual(needs({ decide: ["hold"] }), hold);
  assert.deepEqual(needs({ decide: ["reject"] }), NOTHING);
  assert.deepEqual(needs({}, { on_timeout: "hold" }), hold);
  assert.deepEqual(needs({}, { on_error: "hold" }), hold);
  assert.deepEqual(needs({ decide: ["hold"] }, { on_error: "hold", mode: "shadow" }), NOTHING);
  assert.deepEqual(needs({ decide: ["hold"] }, { on_error: "hold", point: "post_receive" }), NOTHING);
});

test("a hook that may edit mail that is sent needs its body and its recipients, where it is enforced", () => {
  const grants = { append_text: true, add_recipients: true };
  const needs = (row: Partial<HookRow>) => {
    const found = compileHooks([rowOf("a", row)], { find: () => pluginOf("a", () => ({}), grants) });
    const { appendText, addRecipients } = found.get(row.point ?? "pre_send")?.flat()[0]?.needs ?? {};
    return [appendText, addRecipients];
  };
  assert.deepEqual(needs({ point: "pre_send", mode: "enforce" }), [true, true]);
  assert.deepEqual(needs({ point: "pre_send", mode: "shadow" }), [undefined, undefined]);
  assert.deepEqual(needs({ point: "pre_receive", mode: "enforce" }), [undefined, undefined]);
});

test("behind a place is what runs after it; hooks that run together with it are not behind it", () => {
  const rows = [
    rowOf("a", { parallel: true }),
    rowOf("b"),
    rowOf("c", { parallel: true }),
    rowOf("z", { priority: 200 }),
  ];
  const groups = compileHooks(rows, plugins).get("pre_delivery") ?? [];
  const behind = (name: string, priority = 100) =>
    groupsBehind(groups, { name, priority }).map(group => group.map(hook => hook.name).join("+"));
  assert.deepEqual(
    groups.map(group => group.map(hook => hook.name).join("+")),
    ["a+c", "b", "z"],
  );
  assert.deepEqual(behind("c"), ["b", "z"]);
  assert.deepEqual(behind("b"), ["z"]);
  assert.deepEqual(behind("z", 200), []);
  // A hook that is gone: order alone tells.
  assert.deepEqual(behind("aa"), ["c", "b", "z"]);
  assert.deepEqual(behind("gone", 150), ["z"]);
});

test("a hook that is off is not checked further", () => {
  assert.deepEqual(problems([rowOf("a", { enabled: false, plugin: "missing" })]), []);
});

test("the name of a hook can stand in a header field", () => {
  for (const name of ["a\r\nBcc: x", "", "x".repeat(65), "é"])
    assert.equal(problems([rowOf(name)]).length, 1, name);
});

test("a canary needs the header, whatever its plugin may read: the Message-ID says on which side a message is", () => {
  const blind = { grants: grantsOf({}) };
  assert.equal(compiled({ mode: "enforce" }, blind).needs.headers, false);
  assert.equal(compiled({ mode: "canary" }, blind).needs.headers, true);
  assert.equal(compiled({ mode: "canary", on_error: "hold" }, blind).needs.hold, true);
});
