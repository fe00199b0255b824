/** What commands print: four formats, widths, escapes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Column, confirm, formatOf, printRecord, printRows } from "../../../src/cli/output.ts";
import { columnsOf, fit, parseSize, printable, printableJson, sizeText } from "../../../src/cli/text.ts";
import { timelineLines } from "../../../src/cli/timeline.ts";
import { captured } from "./terminal.ts";

interface Row {
  readonly name: string;
  readonly size: number | null;
}
const COLUMNS: readonly Column<Row>[] = [
  { title: "NAME", value: row => row.name, min: 6 },
  { title: "SIZE", value: row => row.size, right: true },
];
const ROWS: readonly Row[] = [
  { name: "請求書", size: 5 },
  { name: "a\tb\u001b[2J", size: null },
];

test("a table lines up wide characters and escapes controls", () => {
  const terminal = captured();
  printRows(terminal, "table", ROWS, COLUMNS);
  assert.equal(terminal.printed(), "NAME           SIZE\n請求書            5\na\\x09b\\x1b[2J\n");
});

test("tab output has no head, one line per row and no tab from within", () => {
  const terminal = captured();
  printRows(terminal, "tab", ROWS, COLUMNS);
  assert.equal(terminal.printed(), "請求書\t5\na\\x09b\\x1b[2J\t\n");
});

test("json and jsonl hold the rows as they are, with direction controls escaped", () => {
  const terminal = captured();
  printRows(terminal, "jsonl", [{ name: "\u202ex\u009b", size: 1 }], COLUMNS);
  assert.equal(terminal.printed(), '{"name":"\\u202ex\\u009b","size":1}\n');
  assert.deepEqual(JSON.parse(terminal.printed()), { name: "\u202ex\u009b", size: 1 });
});

test("a table is cut to the line where a column allows it", () => {
  const terminal = captured({ columns: 16 });
  printRows(terminal, "table", [{ name: "a long name that does not fit", size: 1 }], COLUMNS);
  assert.equal(terminal.printed(), "NAME        SIZE\na long na…     1\n");
});

test("a record is a list of lines in a table, and one object in json", () => {
  const table = captured();
  printRecord(table, "table", { name: "x", size: 2 }, COLUMNS);
  assert.equal(table.printed(), "NAME  x\nSIZE  2\n");
  const json = captured();
  printRecord(json, "json", { name: "x", size: 2 }, COLUMNS);
  assert.deepEqual(JSON.parse(json.printed()), { name: "x", size: 2 });
});

test("the format is a table on a terminal and tabs when piped", () => {
  assert.equal(formatOf(undefined, captured({ isTerminal: true })), "table");
  assert.equal(formatOf(undefined, captured()), "tab");
  assert.equal(formatOf("jsonl", captured({ isTerminal: true })), "jsonl");
});

test("what is destructive needs --yes where nobody can be asked", async () => {
  await confirm(captured(), true, "This removes all.");
  await assert.rejects(confirm(captured(), false, "This removes all."), /This removes all\. Say --yes/u);
});

test("printable() shows every control, and leaves other text alone", () => {
  assert.equal(printable("a\r\nb\u0000\u009b\u2028\ufeff"), "a\\x0d\\x0ab\\x00\\x9b\\u{2028}\\u{feff}");
  assert.equal(printable("日本語 grüße 🎉"), "日本語 grüße 🎉");
  assert.equal(printableJson("\u2066"), '"\\u2066"');
});

test("fit() and columnsOf() count columns, not characters", () => {
  assert.equal(columnsOf("日本e\u0301"), 5);
  assert.equal(fit("日本語", 5), "日本…");
  assert.equal(fit("日本", 4), "日本");
});

test("sizes are read and shown in powers of 1024", () => {
  assert.deepEqual(["none", "10", "2K", "5m", "1GiB", "1.5G", "-1", ""].map(parseSize), [
    0,
    10,
    2048,
    5_242_880,
    1_073_741_824,
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual([0, 1023, 1536, 5_242_880].map(sizeText), ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]);
});

test("a timeline has one line per event, relative times, and nothing that moves the cursor", () => {
  const event = { message_id: "m", queue_id: "4Q", recipient: null };
  const lines = timelineLines(captured(), {
    id: "4Q",
    matched: "queue_id",
    truncated: false,
    events: [
      {
        ...event,
        at: "2026-11-21T00:00:00.000Z",
        kind: "received",
        data: { mail_from: "a@b\u001b", size_bytes: 2048, recipients: 1 },
      },
      {
        ...event,
        at: "2026-11-21T00:00:00.012Z",
        kind: "hook_call",
        recipient: "taro@example.test",
        data: {
          hook: "hello",
          mode: "enforce",
          outcome: "ok",
          verdict: "deliver",
          ms: 2,
          tags: { add: ["x"] },
          reason: "line\r\nbreak",
        },
      },
      {
        ...event,
        at: "2026-11-21T00:00:00.020Z",
        kind: "stored",
        recipient: "taro@example.test",
        data: { mailbox: "INBOX", uid: 7 },
      },
      { ...event, at: "2026-11-21T00:00:01.000Z", kind: "job", data: { "odd\nname": "\u202e", empty: null } },
    ],
  });
  assert.deepEqual(lines, [
    "2026-11-21T00:00:00.000Z  queue id 4Q  id m",
    "       +0 ms  received   from <a@b\\x1b>, 2.0 KiB, 1 recipient, client unknown",
    "      +12 ms  hook_call  hello (enforce): deliver in 2 ms, tags x: line\\x0d\\x0abreak → taro@example.test",
    "      +20 ms  stored     in INBOX, UID 7 → taro@example.test",
    "    +1000 ms  job        odd\\x0aname=\\u{202e}",
  ]);
});
