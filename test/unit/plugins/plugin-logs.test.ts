import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Log } from "../../../src/core/ports/log.ts";
import { createPluginLogs } from "../../../src/plugins/plugin-logs.ts";

const root = mkdtempSync(join(tmpdir(), "mairust-plugin-logs-"));
after(() => rmSync(root, { recursive: true, force: true }));

function setUp(logDir: string) {
  const lines: string[] = [];
  const write = (event: string, fields?: object) => lines.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  const now = () => new Date("2026-03-01T12:00:01Z");
  return { lines, logs: createPluginLogs({ logDir, log, now }) };
}

test("what a plugin writes is in its own file with the time, and nowhere in the log of the service", async () => {
  const { lines, logs } = setUp(root);
  logs.write("com.example.a", "Subject: CANARY");
  logs.write("com.example.b", "other");
  await logs.close();
  const file = (id: string) => readFileSync(join(root, "plugins", `${id}.log`), "utf8");
  assert.equal(file("com.example.a"), "2026-03-01T12:00:01.000Z Subject: CANARY\n");
  assert.equal(file("com.example.b"), "2026-03-01T12:00:01.000Z other\n");
  assert.deepEqual(lines, []);
});

test("a folder that cannot be made is one error; the lines are counted", async () => {
  writeFileSync(join(root, "taken"), "");
  const { lines, logs } = setUp(join(root, "taken"));
  for (let i = 0; i < 10; i++) for (const id of ["com.example.a", "com.example.b"]) logs.write(id, "CANARY");
  logs.dropped("com.example.a", 5);
  while (!lines.some(line => line.startsWith("plugin_log_failed"))) await new Promise(setImmediate);
  await logs.close();
  assert.equal(lines.filter(line => line.startsWith("plugin_log_failed")).length, 1);
  const lost = lines.filter(line => line.startsWith("plugin_log_dropped"));
  const fields = lost.map(line => JSON.parse(line.slice(line.indexOf("{"))));
  const sum = (id: string) => fields.filter(f => f.plugin === id).reduce((n, f) => n + f.lines, 0);
  assert.deepEqual([sum("com.example.a"), sum("com.example.b")], [15, 10]);
  assert.ok(lost.length <= 4, lines.join("\n"));
  assert.ok(!lines.join().includes("CANARY"));
});
