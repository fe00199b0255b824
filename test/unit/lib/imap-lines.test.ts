import assert from "node:assert/strict";
import { test } from "node:test";
import { ImapLines } from "../../lib/clients/imap-lines.ts";

function client() {
  const lines: string[] = [];
  return { lines, asked: new ImapLines(line => lines.push(line), true) };
}

test("the answer to an earlier command is no refusal of a promised literal", () => {
  const { lines, asked } = client();
  asked.feed(Buffer.from("DONE\r\n8 UID SEARCH BODY {3}\r\n"));
  asked.answered("7 OK IDLE completed");
  asked.go();
  asked.feed(Buffer.from("abc\r\n9 NOOP\r\n"));
  assert.deepEqual(lines, ["DONE", "8 UID SEARCH BODY {3}", "9 NOOP"]);
});

test("a refused literal is followed by the next command", () => {
  const { lines, asked } = client();
  asked.feed(Buffer.from("8 APPEND INBOX {3}\r\n"));
  asked.answered("8 NO not here");
  assert.deepEqual(lines, ["8 APPEND INBOX {3}"]);
  asked.feed(Buffer.from("9 NOOP\r\n"));
  assert.deepEqual(lines, ["8 APPEND INBOX {3}", "9 NOOP"]);
});
