/** A plugin's log: which lines are kept, how they are written, and how the end of the file is read. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { logLine } from "../../../src/plugins/log-lines.ts";
import { readPluginLog } from "../../../src/plugins/read-log.ts";

const AT = new Date("2026-01-02T03:04:05.678Z");
const TIME = AT.toISOString();

test("without [logging] every line is written as it came", () => {
  assert.equal(
    logLine('{"level":"trace","message":"x"}', undefined, AT),
    `${TIME} {"level":"trace","message":"x"}`,
  );
});

test("what is below the level is not written; a line that says no level is info", () => {
  const kept = (line: string, level: "debug" | "info" | "warn") => logLine(line, { level }, AT) !== undefined;
  assert.equal(kept("plain words", "info"), true);
  assert.equal(kept("plain words", "warn"), false);
  assert.equal(kept("WARN: disk", "warn"), true);
  assert.equal(kept("debug x", "info"), false);
  assert.equal(kept('{"level":"error","message":"x"}', "warn"), true);
  assert.equal(kept('{"level":"debug","message":"x"}', "info"), false);
  assert.equal(kept('{"level":"debug","message":"x"}', "debug"), true);
  // What only looks like a line of ours is text.
  for (const odd of ['{"level":"debug"}', "{broken", '{"level":7,"message":"x"}', "{}"])
    assert.equal(kept(odd, "info"), true, odd);
});

test("text and json hold the same, one line each, and a plugin cannot write our members", () => {
  const line = JSON.stringify({ level: "warn", message: "over\nbudget", at: "1970", call_id: "c", n: [1] });
  assert.equal(
    logLine(line, { format: "json" }, AT),
    JSON.stringify({ at: TIME, call_id: "c", n: [1], level: "warn", message: "over\nbudget" }),
  );
  const text = logLine("warn over budget", { format: "text" }, AT);
  assert.equal(text, `${TIME} warn over budget`);
  assert.equal(logLine(line, { format: "text" }, AT)?.includes("\n"), false);
});

test("the end of the log, then what came after, also when the file was rotated meanwhile", async t => {
  const dir = mkdtempSync(join(tmpdir(), "mr-read-log-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const read = (lines: number, after?: number) => readPluginLog(dir, "com.example.a", { lines, after });
  assert.deepEqual(await read(10), { lines: [], end: 0 });
  mkdirSync(join(dir, "plugins"));
  const path = join(dir, "plugins", "com.example.a.log");
  writeFileSync(path, "one\ntwo\nthree\nhalf");
  assert.deepEqual(await read(2), { lines: ["two", "three"], end: 14 });
  assert.deepEqual(await read(10, 14), { lines: [], end: 14 });
  appendFileSync(path, " done\nfive\nsix\n");
  assert.deepEqual(await read(2, 14), { lines: ["half done", "five"], end: 29 });
  assert.deepEqual(await read(2, 29), { lines: ["six"], end: 33 });
  writeFileSync(path, "new\n");
  assert.deepEqual(await read(2, 33), { lines: ["new"], end: 4 });
  writeFileSync(path, `${"x".repeat(2_000_000)}\nlast\n`);
  assert.deepEqual((await read(5)).lines, ["last"]);
});
