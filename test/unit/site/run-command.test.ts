import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "../../../src/site/run-command.ts";

test("a command that says more than is kept fails with a code of its own: it may be asked for less", async () => {
  await assert.rejects(runCommand("head", ["-c", String(17 * 1024 * 1024), "/dev/zero"]), {
    code: "too_many",
  });
});
