/** What `hook` and `ledger` make of their options, and how a result looks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Options } from "../../../src/cli/command.ts";
import { TEST_COLUMNS } from "../../../src/cli/commands/hook.ts";
import { LEDGER_COLUMNS } from "../../../src/cli/commands/ledger.ts";
import { hookKeys } from "../../../src/cli/hook-keys.ts";
import { printRecord, printRows } from "../../../src/cli/output.ts";
import { captured } from "./terminal.ts";

const keysOf = (values: Readonly<Record<string, unknown>>) => hookKeys(new Options(values));

test("options become the keys of [[hooks]], and nothing that was not said", () => {
  assert.deepEqual(keysOf({}), {});
  assert.deepEqual(
    keysOf({
      plugin: "com.example.x",
      point: "pre_send",
      priority: "7",
      timeout: "900",
      onError: "allow",
      recipient: ".*@x",
      set: [
        "parallel=true",
        "mode=shadow",
        "filter.header.X-Spam=yes",
        'filter.sender="a = b"',
        "canary_percent=5",
        "demote.min_calls=7",
      ],
      unset: ["late", "filter.direction"],
      disable: true,
    }),
    {
      plugin: "com.example.x",
      point: "pre_send",
      priority: 7,
      timeout_ms: 900,
      on_error: "allow",
      filter: { recipient: ".*@x", header: { "X-Spam": "yes" }, sender: "a = b", direction: null },
      parallel: true,
      mode: "shadow",
      canary_percent: 5,
      demote: { min_calls: 7 },
      late: null,
      enabled: false,
    },
  );
});

test("what cannot be a key, and a number that is none, is a usage error or is told by the service", () => {
  for (const wrong of [
    { set: ["parallel"] },
    { set: ["=x"] },
    { set: ["a.b=1"] },
    { unset: ["filter.header.a.b"] },
  ])
    assert.throws(() => keysOf(wrong), { exitCode: 64 });
  assert.throws(() => keysOf({ enable: true, disable: true }), { exitCode: 64 });
  assert.deepEqual(keysOf({ priority: "many" }), { priority: "many" });
});

const ENTRY = {
  at: "2026-11-21T01:02:03.000Z",
  call_id: "c",
  attempt: 1,
  message_id: "m1",
  queue_id: "4Q",
  point: "pre_delivery",
  hook: "spam\u001b",
  plugin: "com.example.x",
  plugin_version: "1",
  mode: "enforce",
  fields: ["headers", "body_preview"],
  grants: { read_headers: ["subject", "from"], read_body: "preview", write_tags: true },
  bytes: 2048,
  digest: "ab",
  destination: "http://127.0.0.1:8081",
  recipients: 1,
};

test("a line of the ledger: when, to whom, what, how much, where, by which grants", () => {
  const terminal = captured({ columns: 400 });
  printRows(terminal, "table", [ENTRY], LEDGER_COLUMNS);
  const [, line = ""] = terminal.printed().split("\n");
  assert.deepEqual(line.split(/ {2,}/u), [
    "2026-11-21 01:02:03",
    "com.example.x",
    "spam\\x1b",
    "enforce",
    "headers,body_preview",
    "2.0 KiB",
    "http://127.0.0.1:8081",
    "read_headers=subject,from read_body=preview write_tags",
    "4Q",
    "m1",
  ]);
});

test("the result of a test shows a plugin's words escaped", () => {
  const terminal = captured({ columns: 400 });
  const result = {
    ...{
      hook: "spam",
      plugin: "p",
      point: "pre_receive",
      call_id: "c",
      matches: false,
      outcome: "ok",
      ms: 3,
      fields: [],
    },
    ...{
      bytes: 300,
      verdict: "reject",
      reply: { code: 550, text: "no" },
      reason: "\u001b[2Jx",
      explanation: null,
    },
    ...{ tags: { add: ["a"], remove: ["b"] }, folder: null, denied: [{ item: "flags", why: "not granted" }] },
    ...{ problem: null, policy: null },
  };
  printRecord(terminal, "table", result, TEST_COLUMNS);
  const out = terminal.printed();
  assert.match(out, /filter +would pass this message by\n/u);
  assert.match(
    out,
    /reply +550 no\nreason +\\x1b\[2Jx\n[\s\S]*tags +a -b\n[\s\S]*denied +flags: not granted\n/u,
  );
  assert.match(out, /sent +300 B: the envelope of the call alone\n/u);
});
