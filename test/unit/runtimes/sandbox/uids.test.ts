import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PluginUids } from "../../../../src/runtimes/sandbox/uids.ts";

function fileOf(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "mairust-uids-"));
  t.after(() => rmSync(dir, { recursive: true }));
  return join(dir, "below", "uids.json");
}

test("each plugin has a number of its own, until there are none", () => {
  const uids = new PluginUids([61_000, 61_004], undefined);
  const ids = ["a.a", "b.b", "c.c", "d.d", "e.e"];
  const given = ids.map(id => uids.of(id));
  assert.deepEqual([...new Set(given)].sort(), [61_000, 61_001, 61_002, 61_003, 61_004]);
  assert.deepEqual(
    ids.map(id => uids.of(id)),
    given,
  );
  assert.equal(uids.of("f.f"), undefined);
});

test("numbers are remembered, whatever comes first after a restart", t => {
  const file = fileOf(t);
  const before = new PluginUids([61_000, 61_002], file);
  const [a, b, c] = [before.of("a.a"), before.of("b.b"), before.of("c.c")];
  const after = new PluginUids([61_000, 61_002], file);
  assert.deepEqual([after.of("c.c"), after.of("b.b"), after.of("a.a")], [c, b, a]);
});

test("what is no number of the range is not believed", t => {
  const file = fileOf(t);
  new PluginUids([61_000, 61_999], file).of("a.a");
  writeFileSync(file, '{"a.a":0,"b.b":"x","c.c":61005.5,"d.d":61005}');
  const uids = new PluginUids([61_000, 61_999], file);
  assert.equal(uids.of("d.d"), 61_005);
  for (const id of ["a.a", "b.b", "c.c"]) assert.ok((uids.of(id) ?? 0) >= 61_000);
  writeFileSync(file, "nonsense");
  assert.ok((new PluginUids([61_000, 61_999], file).of("a.a") ?? 0) >= 61_000);
});
