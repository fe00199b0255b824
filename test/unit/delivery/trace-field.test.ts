import assert from "node:assert/strict";
import { test } from "node:test";
import { messageId } from "../../../src/core/ids.ts";
import { TRACE_LIFETIME_S, TraceFields } from "../../../src/delivery/trace-field.ts";

const ID = messageId("0190a000-0000-7000-8000-00000000000a");
const NOW = new Date("2026-01-01T00:00:00Z");
const fields = new TraceFields(() => [Buffer.alloc(32, 1)]);
const block = (value: string, name = "X-MaiRust-Trace") =>
  Buffer.from(`Received: x\r\n${name}: ${value}\r\nSubject: s\r\n\r\n`);

test("what was written is read again, also folded", () => {
  for (const recorded of [true, false]) {
    const value = fields.value({ id: ID, recorded }, "4jWYws4dLczJk7C", NOW) ?? "";
    for (const text of [value, value.replaceAll("; ", ";\r\n\t")]) {
      assert.deepEqual(fields.find(block(text), "4jWYws4dLczJk7C", NOW), { id: ID, recorded });
    }
  }
});

test("it holds for its queue id, its time and its key alone", () => {
  const value = fields.value({ id: ID, recorded: true }, "Q1", NOW) ?? "";
  const later = (s: number) => new Date(NOW.getTime() + s * 1000);
  assert.notEqual(fields.find(block(value), "Q1", later(TRACE_LIFETIME_S - 1)), undefined);
  assert.equal(fields.find(block(value), "Q1", later(TRACE_LIFETIME_S)), undefined);
  assert.equal(fields.find(block(value), "Q2", NOW), undefined);
  assert.equal(fields.find(block(value), "", NOW), undefined);
  assert.equal(new TraceFields(() => [Buffer.alloc(32, 2)]).find(block(value), "Q1", NOW), undefined);
  assert.equal(fields.find(block(value, "X-MaiRust-Tracey"), "Q1", NOW), undefined);
});

test("a queue id that cannot stand in the field gets none", () => {
  for (const queueId of ["", "a;b", "a b", "é", "x".repeat(129)]) {
    assert.equal(fields.value({ id: ID, recorded: true }, queueId, NOW), undefined, queueId);
  }
});

test("no bytes make it throw", () => {
  const value = fields.value({ id: ID, recorded: true }, "Q1", NOW) ?? "";
  for (let i = 0; i < value.length; i++) {
    for (const spoilt of [
      value.slice(0, i),
      `${value.slice(0, i)}\0${value.slice(i + 1)}`,
      `${value}${value.slice(i)}`,
    ]) {
      assert.equal(fields.find(block(spoilt), "Q1", NOW), undefined, spoilt);
    }
  }
  assert.equal(fields.find(block("x".repeat(10_000)), "Q1", NOW), undefined);
});

test("a field that a key of before made holds beside those of the current one", () => {
  const value = fields.value({ id: ID, recorded: true }, "Q1", NOW) ?? "";
  const rotated = new TraceFields(() => [Buffer.alloc(32, 2), Buffer.alloc(32, 1)]);
  assert.equal(rotated.find(block(value), "Q1", NOW)?.id, ID);
  const mine = rotated.value({ id: ID, recorded: true }, "Q1", NOW) ?? "";
  assert.equal(rotated.find(block(mine), "Q1", NOW)?.id, ID);
  assert.equal(fields.find(block(mine), "Q1", NOW), undefined);
});
