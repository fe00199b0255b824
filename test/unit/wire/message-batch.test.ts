import assert from "node:assert/strict";
import { test } from "node:test";
import {
  abandonFrame,
  BatchSyntaxError,
  dataFrames,
  endFrame,
  headFrame,
  lastFrame,
  MAX_FRAME_BYTES,
  readBatch,
} from "../../../src/wire/message-batch.ts";

async function* cut(bytes: Buffer, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, size = bytes.length): Promise<string[]> {
  const out: string[] = [];
  for await (const frame of readBatch(cut(bytes, size))) {
    const text =
      frame.kind === "data"
        ? Buffer.from(frame.bytes).toString()
        : frame.kind === "head"
          ? JSON.stringify(frame.json)
          : frame.kind;
    if (frame.kind === "data" && out.at(-1)?.startsWith("data:")) out.push(`${out.pop()}${text}`);
    else out.push(frame.kind === "data" ? `data:${text}` : text);
  }
  return out;
}

test("a batch reads back however it is cut", async () => {
  const batch = Buffer.concat([
    headFrame({ key: "日本" }),
    ...dataFrames(Buffer.from("hello")),
    ...dataFrames(Buffer.from(" world")),
    endFrame(),
    headFrame({}),
    endFrame(),
    headFrame({ key: "x" }),
    abandonFrame(),
    lastFrame(),
  ]);
  const expected = [
    '{"key":"日本"}',
    "data:hello world",
    "end",
    "{}",
    "end",
    '{"key":"x"}',
    "abandon",
    "last",
  ];
  for (let size = 1; size <= batch.length; size += 1)
    assert.deepEqual(await read(batch, size), expected, `${size}`);
});

test("a batch that is cut off, goes on after its end, or has frames that are none is refused", async () => {
  const whole = Buffer.concat([headFrame({}), ...dataFrames(Buffer.from("x")), endFrame(), lastFrame()]);
  for (let length = 0; length < whole.length; length += 1)
    await assert.rejects(read(whole.subarray(0, length), 3), BatchSyntaxError, `${length} octets`);
  await assert.rejects(read(Buffer.concat([whole, endFrame()])), BatchSyntaxError);
  await assert.rejects(read(Buffer.from([0x51, 0, 0, 0, 0])), BatchSyntaxError);
  await assert.rejects(read(Buffer.from([0x48, 0, 0, 0, 1, 0x7b])), BatchSyntaxError);
  await assert.rejects(read(Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff, 0])), BatchSyntaxError);
});

test("long data is cut into frames that fit", () => {
  const frames = [...dataFrames(Buffer.alloc(MAX_FRAME_BYTES * 2 + 1))];
  assert.deepEqual(
    frames.map(frame => frame.length - 5),
    [MAX_FRAME_BYTES, MAX_FRAME_BYTES, 1],
  );
});
