import assert from "node:assert/strict";
import { test } from "node:test";
import { Options } from "../../../src/cli/command.ts";
import { progressOf } from "../../../src/cli/progress.ts";
import { captured } from "./terminal.ts";

const STEP = { mailbox: "仕事", done: 50, total: 200, bytes: 2048 };

test("progress is a bar on a terminal, JSON lines when asked for, and nothing when piped; standard output stays free", () => {
  const terminal = captured({ isTerminal: true, columns: 100 });
  const bar = progressOf(terminal, new Options({}));
  bar.step(STEP);
  bar.step({ ...STEP, done: 60 });
  bar.end();
  assert.match(terminal.complained(), /\[#{6}-{18}\] 25% 50\/200 .*仕事/u);
  assert.match(terminal.complained(), /30% 60\/200 .*\n$/u, "the last state is shown, however fast it came");
  assert.equal(terminal.printed(), "");

  const piped = captured();
  const json = progressOf(piped, new Options({ progress: "json" }));
  json.step(STEP);
  json.end();
  const [event] = piped.complained().split("\n");
  const { seconds: _, eta: __, ...rest } = JSON.parse(event ?? "");
  assert.deepEqual(rest, { event: "progress", ...STEP });

  const quiet = captured();
  const none = progressOf(quiet, new Options({}));
  none.step(STEP);
  none.end();
  assert.equal(quiet.complained(), "");
  assert.throws(() => progressOf(quiet, new Options({ progress: "bar" })), { exitCode: 64 });
});
