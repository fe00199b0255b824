import assert from "node:assert/strict";
import { test } from "node:test";
import { LineReader } from "../../../src/runtimes/line-reader.ts";
import { StderrLines } from "../../../src/runtimes/stderr-lines.ts";

test("LineReader gives the same lines whatever the chunks", () => {
  const source = Buffer.from("one\r\ntwo\n\nthree é\nrest");
  for (let size = 1; size <= source.length; size++) {
    const lines: string[] = [];
    const reader = new LineReader(100, line => lines.push(Buffer.from(line).toString()));
    for (let i = 0; i < source.length; i += size) reader.push(source.subarray(i, i + size));
    assert.deepEqual(lines, ["one", "two", "", "three é"]);
  }
});

test("LineReader refuses a line that is too long, also one that never ends", () => {
  const reader = new LineReader(10, () => {});
  reader.push(Buffer.from("0123456789\n"));
  assert.throws(() => reader.push(Buffer.from("0123456789a\n")), { code: "plugin_failed" });
  const endless = new LineReader(10, () => {});
  endless.push(Buffer.from("01234"));
  assert.throws(() => endless.push(Buffer.from("567890")), { code: "plugin_failed" });
});

function stderrRig() {
  const lines: string[] = [];
  const dropped: number[] = [];
  const clock = { now: 0 };
  const stderr = new StderrLines(
    { onLog: line => lines.push(line), onLogDropped: count => dropped.push(count) },
    () => clock.now,
  );
  return { lines, dropped, clock, stderr };
}

test("StderrLines keeps characters that chunks split, and shows controls", () => {
  const { lines, stderr } = stderrRig();
  const source = Buffer.from("請求\r\n\x1b[31mred\u202e\ttab\nlast");
  for (const octet of source) stderr.push(Buffer.from([octet]));
  stderr.end();
  assert.deepEqual(lines, ["請求", "\\u{1b}[31mred\\u{202e} tab", "last"]);
});

test("StderrLines cuts long lines and holds no more than one", () => {
  const { lines, stderr } = stderrRig();
  for (let i = 0; i < 100; i++) stderr.push(Buffer.from("x".repeat(1000)));
  stderr.push(Buffer.from("\nnext\n"));
  assert.deepEqual(
    lines.map(line => line.length),
    [4096, 4],
  );
});

test("StderrLines drops and counts what is over 100 lines a second", () => {
  const { lines, dropped, clock, stderr } = stderrRig();
  stderr.push(Buffer.from("x\n".repeat(250)));
  clock.now = 1000;
  stderr.push(Buffer.from("y\n"));
  assert.deepEqual([lines.length, lines.at(-1), dropped], [101, "y", [150]]);
});
