import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { openRotatingLog, RETRY_MS } from "../../../src/platform/rotating-log.ts";

const root = mkdtempSync(join(tmpdir(), "mairust-rotating-"));
after(() => rmSync(root, { recursive: true, force: true }));

const nothing = () => {};

test("lines are written, the file is rotated by size, the old ones are compressed, and the oldest goes", async () => {
  const path = join(root, "deep/er/x.log");
  const options = { path, maxBytes: 1000, maxFiles: 3, onError: assert.fail, onDropped: assert.fail };
  const lines: string[] = [];
  // Opened again for each batch, as after a restart.
  for (let batch = 0; batch < 5; batch++) {
    const log = openRotatingLog(options);
    for (let i = 0; i < 12; i++) {
      const line = `${batch}.${i} ${"x".repeat(90)}`;
      lines.push(line);
      log.write(line);
    }
    await log.close();
  }
  assert.deepEqual(readdirSync(join(root, "deep/er")).sort(), ["x.log", "x.log.1.gz", "x.log.2.gz"]);
  const kept = ["x.log.2.gz", "x.log.1.gz"].map(name =>
    gunzipSync(readFileSync(join(root, "deep/er", name))),
  );
  const text = [...kept.map(String), readFileSync(path, "utf8")].join("");
  assert.ok(text.length > 2000 && text.length < 3400, `${text.length}`);
  assert.ok(`${lines.join("\n")}\n`.endsWith(text));
  assert.equal(statSync(path).mode & 0o007, 0);
});

test("what cannot be opened is told once, its lines are counted, and it is tried again later", async () => {
  writeFileSync(join(root, "file"), "");
  const path = join(root, "file", "x.log");
  const clock = { ms: 0 };
  const seen = { errors: 0, dropped: 0 };
  const log = openRotatingLog({
    path,
    now: () => clock.ms,
    onError: () => seen.errors++,
    onDropped: () => seen.dropped++,
  });
  for (let i = 0; i < 5; i++) log.write("lost");
  while (seen.errors === 0 || seen.dropped < 5) await new Promise(setImmediate);
  for (let i = 0; i < 5; i++) log.write("lost");
  assert.deepEqual(seen, { errors: 1, dropped: 10 });
  rmSync(join(root, "file"));
  clock.ms += RETRY_MS;
  log.write("kept");
  await log.close();
  assert.equal(readFileSync(path, "utf8"), "kept\n");
  assert.deepEqual(seen, { errors: 1, dropped: 10 });
});

test("a disk that does not keep up costs lines, not memory; a closed log takes none", async () => {
  const seen = { dropped: 0 };
  const log = openRotatingLog({
    path: join(root, "flood.log"),
    onError: nothing,
    onDropped: () => seen.dropped++,
  });
  for (let i = 0; i < 3000; i++) log.write("x".repeat(1000));
  assert.ok(seen.dropped > 1900 && seen.dropped < 2000, `${seen.dropped}`);
  await log.close();
  const before = seen.dropped;
  log.write("too late");
  assert.equal(seen.dropped, before + 1);
});
