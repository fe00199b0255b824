import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { test } from "node:test";
import { LineReader } from "../../../src/runtimes/line-reader.ts";
import { MAX_LOG_BYTES_PER_SECOND, readStderr, StderrLines } from "../../../src/runtimes/stderr-lines.ts";
import { awake } from "../hooks/awake.ts";

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

test("StderrLines counts a flood without looking at it, and what began in it goes with it", () => {
  const { lines, dropped, clock, stderr } = stderrRig();
  stderr.push(Buffer.from("x\n".repeat(100)));
  for (let i = 0; i < 1000; i++) stderr.push(Buffer.from(`${"y\n".repeat(1000)}half`));
  stderr.push(Buffer.from("\xe8", "latin1"));
  clock.now = 1000;
  stderr.push(Buffer.from(" of a line\nnext é\n"));
  stderr.end();
  // The last one of the flood ended when the second was over.
  assert.deepEqual(
    [lines.slice(99), dropped],
    [
      ["x", "next é"],
      [1_000_000, 1],
    ],
  );
});

test("readStderr() leaves in the pipe what is too much for a second", async () => {
  const { stderr } = stderrRig();
  const chunk = Buffer.alloc(65_536, "y\n");
  let read = 0;
  const endless = new Readable({
    read() {
      read += chunk.length;
      this.push(chunk);
    },
  });
  readStderr(endless, stderr);
  while (!endless.isPaused()) await new Promise(setImmediate);
  assert.ok(
    read >= MAX_LOG_BYTES_PER_SECOND && read < MAX_LOG_BYTES_PER_SECOND + 10 * chunk.length,
    String(read),
  );
  const before = read;
  await awake(once(endless, "resume"));
  while (read === before) await new Promise(setImmediate);
  endless.destroy();
});
