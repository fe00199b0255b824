import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DataFraming } from "../../../../src/protocols/lmtp/framing.ts";
import { SMUGGLED_COMMANDS, SMUGGLED_ENDINGS } from "../../../lib/smuggling.ts";

interface Framed {
  readonly content: string;
  /** Bytes after the end of DATA, or undefined when it did not end. */
  readonly rest: string | undefined;
}

/** Read by the letter of RFC 5321: split at CRLF, take one leading dot off, stop at a lone dot. Slow, whole input only. */
function model(wire: string): Framed {
  let content = "";
  let at = 0;
  for (;;) {
    const crlf = wire.indexOf("\r\n", at);
    const line = crlf < 0 ? wire.slice(at) : wire.slice(at, crlf);
    if (crlf >= 0 && line === ".") return { content, rest: wire.slice(crlf + 2) };
    if (crlf < 0) {
      // An unfinished line: "." and ".\r" may still become the end.
      const held = line === "." || line === ".\r";
      return { content: content + (held ? "" : line.replace(/^\./u, "")), rest: undefined };
    }
    content += `${line.replace(/^\./u, "")}\r\n`;
    at = crlf + 2;
  }
}

/** Feed `wire` cut into chunks of the given sizes, repeated. */
function frame(wire: string, sizes: readonly number[]): Framed {
  const bytes = Buffer.from(wire, "latin1");
  const framing = new DataFraming();
  let content = "";
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1);
    const chunk = bytes.subarray(at, at + size);
    const { content: part, end } = framing.push(chunk);
    content += part.toString("latin1");
    if (end >= 0) return { content, rest: bytes.subarray(at + end).toString("latin1") };
    at += chunk.length;
  }
  return { content, rest: undefined };
}

const WHOLE = [1_000_000];

test("DataFraming gives the same as the model for any bytes and any chunking", () => {
  const piece = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom("\r", "\n", ".", "\r\n", "\r\n.", "\r\n..", ".\r\n", "..", "\r\n.\r", "\0"),
    },
    {
      weight: 2,
      arbitrary: fc.string({
        unit: fc.integer({ min: 0, max: 255 }).map(n => String.fromCharCode(n)),
        maxLength: 90,
      }),
    },
  );
  const wire = fc.array(piece, { maxLength: 60 }).map(parts => parts.join(""));
  const sizes = fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(wire, sizes, (text, cuts) => {
      const expected = model(text);
      assert.deepEqual(frame(text, WHOLE), expected);
      assert.deepEqual(frame(text, cuts), expected);
    }),
    { numRuns: 2000 },
  );
});

test("DataFraming gives back what a conforming sender stuffed", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("a", ".", "..", "\r\n", "\n", "\r", "\0", "\xff"), { maxLength: 40 }),
      lines => {
        const message = `${lines.join("")}\r\n`;
        const stuffed = message.replace(/(^|\r\n)\./gu, "$1..");
        assert.deepEqual(frame(`${stuffed}.\r\nQUIT\r\n`, [3, 1, 7]), { content: message, rest: "QUIT\r\n" });
      },
    ),
    { numRuns: 500 },
  );
});

for (const ending of SMUGGLED_ENDINGS) {
  test(`${JSON.stringify(ending)} does not end DATA, wherever it is cut`, () => {
    const wire = `Subject: x\r\n\r\nbody${ending}${SMUGGLED_COMMANDS}`;
    const whole = frame(`${wire}.\r\n`, WHOLE);
    assert.equal(whole.rest, "");
    assert.deepEqual(whole, model(`${wire}.\r\n`));
    assert.ok(whole.content.endsWith(SMUGGLED_COMMANDS));
    for (const sizes of [[1], [2], [3], [5, 1]]) assert.deepEqual(frame(`${wire}.\r\n`, sizes), whole);
    const start = wire.indexOf(ending);
    for (let cut = start; cut <= start + ending.length + 1; cut += 1) {
      assert.deepEqual(frame(`${wire}.\r\n`, [cut, 1_000_000]), whole, `cut at ${cut}`);
    }
  });
}

test("CRLF . CRLF ends DATA at once, also as the very first line, and split anywhere", () => {
  for (const sizes of [WHOLE, [1], [2], [3], [4]]) {
    assert.deepEqual(frame(".\r\nQUIT\r\n", sizes), { content: "", rest: "QUIT\r\n" });
    assert.deepEqual(frame("a\r\n.\r\n", sizes), { content: "a\r\n", rest: "" });
  }
});

test("a dot after a bare LF or a bare CR is content", () => {
  assert.deepEqual(frame("b\n..c\r..d\r\n.\r\n", WHOLE), { content: "b\n..c\r..d\r\n", rest: "" });
});

test("a chunk without a dot at a line start is passed on without a copy", () => {
  const chunk = Buffer.from(`${"Header: value.with.dots\r\n".repeat(100)}x`);
  const { content } = new DataFraming().push(chunk);
  assert.equal(content.buffer, chunk.buffer);
  assert.equal(content.byteOffset, chunk.byteOffset);
  assert.equal(content.length, chunk.length);
});

test("the final chunk of a message is passed on without a copy", () => {
  const chunk = Buffer.from("Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
  const { content, end } = new DataFraming().push(chunk);
  assert.equal(content.buffer, chunk.buffer);
  assert.equal(content.toString(), "Subject: x\r\n\r\nbody\r\n");
  assert.equal(end, chunk.length - 6);
});

test("four megabytes of dotted lines take no more steps than bytes", () => {
  // The library needed 116 ms per 256 KiB, 1.9 s for this; a regression of that kind breaks the unit tests' one-second rule.
  const chunk = Buffer.from("..\r\n".repeat(16_384), "latin1");
  const framing = new DataFraming();
  let bytes = 0;
  for (let i = 0; i < 64; i += 1) bytes += framing.push(chunk).content.length;
  assert.equal(bytes, 64 * 16_384 * 3);
});
