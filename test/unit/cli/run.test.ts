/** The command line without a service: help, usage errors, exit codes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { CommandError, EXIT, exitCodeOf } from "../../../src/cli/exit-codes.ts";
import { runCommandLine } from "../../../src/cli/run.ts";
import { captured, surroundings } from "./terminal.ts";

async function run(...args: string[]) {
  const terminal = captured();
  const code = await runCommandLine(args, surroundings(terminal));
  return { code, out: terminal.printed(), err: terminal.complained() };
}

const namesOf = (usage: string) => usage.split(" ").filter(word => !/^[<[]/u.test(word));

test("every command has --help with examples that begin with its name", async () => {
  for (const { usage, examples } of COMMANDS) {
    const { code, out } = await run(...namesOf(usage), "--help");
    assert.equal(code, 0, usage);
    assert.match(out, /Examples:\n {2}mairust /u, usage);
    assert.ok(
      examples.length > 0 && examples.every(line => line.startsWith(namesOf(usage).join(" "))),
      usage,
    );
  }
});

test("every command that changes something has --dry-run, every destructive one --yes", () => {
  const flags = (usage: string) => COMMANDS.find(c => c.usage === usage)?.options?.map(o => o.flags) ?? [];
  const changing = COMMANDS.filter(c => /^(reload|migrate up|msg add)|\b(add|rm|quota)\b/u.test(c.usage));
  assert.ok(changing.length >= 9);
  for (const { usage } of changing) assert.ok(flags(usage).includes("--dry-run"), usage);
  for (const { usage } of COMMANDS.filter(c => /\brm\b/u.test(c.usage)))
    assert.ok(flags(usage).includes("--yes"), usage);
});

test("wrong usage ends with 64 and says what is meant", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["domain", "add"], /missing required argument/u],
    [["domian"], /unknown command 'domian'[\s\S]*domain/u],
    [["domain", "list", "--colour"], /unknown option/u],
    [["domain", "list", "-f", "xml"], /table, json, jsonl, tab/u],
    [["msg", "raw"], /give an id/u],
    [["msg", "add"], /--account is missing/u],
    [["domain", "add", "x.example", "--quota", "much"], /no size/u],
    [["config", "show", "-n", "-d"], /exclude each other/u],
    [["account", "list", "--limit", "0", "--config", "/dev/null"], /--limit takes/u],
  ];
  for (const [args, says] of cases) {
    const { code, err } = await run(...args);
    assert.equal(code, EXIT.usage, `${args.join(" ")}: ${err}`);
    assert.match(err, says);
  }
  assert.equal((await run()).code, EXIT.usage);
});

test("a service that is away ends with 69 and names the socket", async () => {
  const { code, err } = await run("domain", "list", "-o", "runtime_dir=/nonexistent/mairust");
  assert.equal(code, EXIT.serviceAway);
  assert.match(err, /away: cannot reach \/nonexistent\/mairust\/api\.sock \(there is no such socket\)/u);
});

test("a wrong configuration ends with 78 and every problem", async () => {
  const { code, err } = await run("serve", "-o", "log.levl=info", "-o", "imap.connections=many");
  assert.equal(code, EXIT.configuration);
  assert.match(err, /log\.levl: unknown key; did you mean "log\.level"\?/u);
  assert.match(err, /imap\.connections/u);
  assert.match(err, /2 problems/u);
});

test("a file that --config names and that is not there ends with 78", async () => {
  assert.equal((await run("config", "check", "--config", "/nonexistent.toml")).code, EXIT.configuration);
});

test("config show prints TOML, and with -f the same as data", async () => {
  const toml = await run("config", "show", "-n", "--origin", "-o", "log.level=debug");
  assert.equal(toml.out, 'log.level = "debug"  # -o log.level\n');
  const json = await run("config", "show", "-n", "-o", "log.level=debug", "-f", "json");
  assert.deepEqual(JSON.parse(json.out), [{ key: "log.level", value: '"debug"', origin: "-o log.level" }]);
});

test("an unknown error code is a bug, 70", () => {
  assert.equal(exitCodeOf("E_SOMETHING"), EXIT.bug);
  assert.equal(exitCodeOf("toString"), EXIT.bug);
  assert.equal(exitCodeOf("unknown_account"), EXIT.noUser);
});

test("whatever a command throws is printed without control characters", async () => {
  const terminal = captured();
  const failing = surroundings(terminal, {
    migrations: () => Promise.reject(new CommandError(EXIT.tryLater, "bad \u001b[31m\u202e text")),
  });
  const code = await runCommandLine(["migrate", "status", "-o", "log.level=info"], failing);
  assert.equal(code, EXIT.tryLater);
  assert.equal(terminal.complained(), "mairust: bad \\x1b[31m\\u{202e} text\n");
});
