import assert from "node:assert/strict";
import { test } from "node:test";
import { exportExit } from "../../../src/cli/commands/export.ts";
import { importExit } from "../../../src/cli/commands/import.ts";
import { asCommandError, CommandError, EXIT } from "../../../src/cli/exit-codes.ts";
import { eachAccount, exitCodeOfAll } from "../../../src/cli/many-accounts.ts";
import type { TransferProgress } from "../../../src/wire/transfer-calls.ts";

const silent = { step: () => undefined, end: () => undefined };

test("one account that fails does not stop the others, and results keep their order", async () => {
  const work = async (account: string) => {
    if (account === "b") throw new CommandError(EXIT.notAllowed, "login refused");
    return account.toUpperCase();
  };
  const results = await eachAccount(["a", "b", "c"], 2, silent, work, asCommandError);
  assert.deepEqual(
    results.map(({ report, error, exitCode }) => [report, error, exitCode]),
    [
      ["A", "", 0],
      [undefined, "login refused", 77],
      ["C", "", 0],
    ],
  );
});

test("no more accounts run at a time than asked for", async () => {
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running -= 1;
  };
  await eachAccount(["a", "b", "c", "d", "e"], 2, silent, work, asCommandError);
  assert.equal(most, 2);
});

test("progress is of all accounts; what did not begin counts like the others", async () => {
  const steps: TransferProgress[] = [];
  const progress = { step: (step: TransferProgress) => void steps.push(step), end: () => undefined };
  const work = async (_: string, i: number, onProgress: (step: TransferProgress) => void) =>
    onProgress({ mailbox: "INBOX", done: 10, total: i === 0 ? 20 : 10, bytes: 5 });
  await eachAccount(["a", "b"], 1, progress, work, asCommandError);
  assert.deepEqual(
    steps.map(({ done, total, bytes, accounts_done: ended }) => [done, total, bytes, ended]),
    [
      [10, 40, 5, 0],
      [20, 20, 10, 1],
    ],
  );
});

test("the exit code of all is the worst: failed before changed before done", () => {
  assert.equal(exitCodeOfAll([EXIT.ok, EXIT.ok]), 0);
  assert.equal(exitCodeOfAll([EXIT.ok, EXIT.changed]), 2);
  assert.equal(exitCodeOfAll([EXIT.changed, EXIT.notAllowed]), 1);
});

test("import and export end the same way: what failed comes before what changed meanwhile", () => {
  const report = { mailboxes: [], skipped: {}, problems: [], notes: [], seconds: 0 };
  const counts = { found: 3, copied: 1, already: 1, copied_bytes: 1, gone: 0 };
  for (const [failed, changed, code] of [
    [0, false, 0],
    [0, true, 2],
    [1, false, 1],
    [1, true, 1],
  ] as const) {
    assert.equal(importExit({ ...report, failed: failed > 0 ? { broken: failed } : {}, changed }), code);
    const mailbox = { ...counts, mailbox: "INBOX", folder: "INBOX", failed };
    assert.equal(exportExit({ mailboxes: [mailbox], changed }), code);
  }
});
