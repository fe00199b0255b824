import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type InputHandler, InputSplitter } from "../../../../src/protocols/lmtp/input.ts";

const LINE_BYTES = 30;

/** Collects what comes out; "DATA" leads to content. `waits` makes every answer come later. */
function collect(wire: string, sizes: readonly number[], waits: boolean): Promise<string[]> {
  const events: string[] = [];
  const later = (next: () => void) => (waits ? setImmediate(next) : next());
  const handler: InputHandler = {
    command(line, next) {
      const text = line.toString("latin1");
      events.push(`C ${text}`);
      if (text === "DATA") splitter.startContent();
      later(next);
    },
    faultyLine(fault, next) {
      events.push(`F ${fault}`);
      later(next);
    },
    content(bytes) {
      const last = events.at(-1);
      if (last?.startsWith("D ")) events[events.length - 1] = last + bytes.toString("latin1");
      else events.push(`D ${bytes.toString("latin1")}`);
      return waits ? new Promise(resolve => setImmediate(resolve)) : undefined;
    },
    contentEnd(next) {
      events.push("E");
      later(next);
    },
    closed: () => false,
  };
  const splitter = new InputSplitter(handler, LINE_BYTES);
  const bytes = Buffer.from(wire, "latin1");
  return new Promise(resolve => {
    const feed = (at: number, turn: number) => {
      if (at >= bytes.length) return resolve(events);
      const size = sizes[turn % sizes.length] ?? 1;
      splitter.push(bytes.subarray(at, at + size), () => setImmediate(feed, at + size, turn + 1));
    };
    feed(0, 0);
  });
}

test("commands and contents come out in order however the wire is cut and whoever waits", async () => {
  const wire = "LHLO x\r\nDATA\r\nbody\r\n..\r\n.\r\nMAIL\r\nDATA\r\n.\r\nlf\nRSET\r\n";
  const expected = [
    "C LHLO x",
    "C DATA",
    "D body\r\n.\r\n",
    "E",
    "C MAIL",
    "C DATA",
    "E",
    "F bare_lf",
    "C RSET",
  ];
  for (const sizes of [[1000], [1], [2, 3], [7]]) {
    for (const waits of [false, true]) assert.deepEqual(await collect(wire, sizes, waits), expected);
  }
});

test("a line of the limit is taken, one byte more is a fault, cut anywhere", async () => {
  const wire = `${"a".repeat(LINE_BYTES)}\r\n${"b".repeat(LINE_BYTES + 1)}\r\n${"c".repeat(500)}\r\nd\r\n`;
  const expected = [`C ${"a".repeat(LINE_BYTES)}`, "F too_long", "F too_long", "C d"];
  for (const sizes of [[1000], [1], [7], [31]]) assert.deepEqual(await collect(wire, sizes, false), expected);
});

test("the same events come out for any chunking of any wire", async () => {
  const piece = fc.constantFrom(
    "DATA\r\n",
    "x\r\n",
    ".\r\n",
    "\n",
    "\r",
    ".",
    "..\r\n",
    "long ".repeat(8),
    "\0",
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 25 }).map(parts => parts.join("")),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
      async (wire, sizes) => {
        assert.deepEqual(await collect(wire, sizes, false), await collect(wire, [100_000], false));
      },
    ),
    { numRuns: 100 },
  );
});

test("ten thousand commands in one chunk do not deepen the stack", async () => {
  assert.equal((await collect("X\r\n".repeat(10_000), [1_000_000], false)).length, 10_000);
});
