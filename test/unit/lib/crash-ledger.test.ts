import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CONTENT_FIELD, CrashLedger } from "../../lib/crash-ledger.ts";

const ACCOUNT = "one@example.test";
const dir = mkdtempSync(join(tmpdir(), "mr-ledger-"));
after(() => rmSync(dir, { recursive: true }));

const content = (id: string) => ({
  id,
  bytes: Buffer.from(`${CONTENT_FIELD}: ${id}\r\n\r\nbody of ${id}\r\n`),
});
const prefix = `Return-Path: <a@example.org>\r\nDelivered-To: ${ACCOUNT}\r\nReceived: from x (y)\r\n\tby z\r\n`;
const found = (...ids: string[]) => new Map([[ACCOUNT, ids]]);

function ledger(): CrashLedger {
  const made = new CrashLedger(join(dir, "ledger.jsonl"));
  for (const id of ["A", "B"]) made.addContent(content(id));
  return made;
}

test("judge() finds what was accepted and is not there", () => {
  const made = ledger();
  made.accepted(ACCOUNT, "A", "Q1");
  made.accepted(ACCOUNT, "B", "Q2");
  assert.deepEqual(made.judge(found("B")).lost, [`${ACCOUNT} A: 0 of 1`]);
  assert.match(readFileSync(join(dir, "ledger.jsonl"), "utf8"), /"contentId":"A","delivery":"Q1"/u);
});

test("judge() finds what is there more often than it was tried", () => {
  const made = ledger();
  made.accepted(ACCOUNT, "A", "Q1");
  made.accepted(ACCOUNT, "A", "Q1");
  assert.deepEqual(made.judge(found("A", "A")).duplicates, [`${ACCOUNT} A: 2 of 1`]);
  assert.deepEqual(made.judge(found("A", "B")).duplicates, [`${ACCOUNT} B: 1 of 0`]);
});

test("judge() wants the same bytes as often as they were accepted under other queue ids", () => {
  const made = ledger();
  made.accepted(ACCOUNT, "A", "Q1");
  made.accepted(ACCOUNT, "A", "Q2");
  assert.equal(made.judge(found("A")).lost.length, 1);
  assert.equal(made.judge(found("A", "A")).lost.length, 0);
  assert.equal(made.judge(found("A", "A", "A")).duplicates.length, 1);
});

test("judge() takes an unanswered delivery either way", () => {
  const made = ledger();
  made.tried(ACCOUNT, "A", "Q1");
  for (const ids of [[], ["A"]]) {
    const { lost, duplicates, uncertain, uncertainFound } = made.judge(found(...ids));
    assert.deepEqual({ lost, duplicates, uncertain }, { lost: [], duplicates: [], uncertain: 1 });
    assert.equal(uncertainFound, ids.length);
  }
});

test("identify() wants the sent bytes exactly, behind trace fields of this account and nothing else", () => {
  const made = ledger();
  const { bytes } = content("A");
  const look = (...parts: (string | Buffer)[]) =>
    made.identify({ account: ACCOUNT, uid: 1, bytes: Buffer.concat(parts.map(part => Buffer.from(part))) });
  assert.deepEqual(look(prefix, bytes), { id: "A" });
  assert.deepEqual(look(prefix, "Received: by postfix\r\n", bytes), { id: "A" });
  const wrong = [
    look(prefix, bytes, "more\r\n"),
    look(prefix, bytes.subarray(0, -3)),
    look(prefix, Buffer.from(bytes.toString().replace("body", "bodY"))),
    look(prefix, "X-Other: field\r\n", bytes),
    look(prefix.replace(ACCOUNT, "two@example.test"), bytes),
    look(prefix, content("C").bytes),
    look(bytes),
  ];
  for (const one of wrong) assert.ok("problem" in one, JSON.stringify(one));
});
