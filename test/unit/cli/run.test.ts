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

test("help takes the whole name of a command, and names the defaults that matter", async () => {
  const { code, out } = await run("help", "msg", "add");
  assert.equal(code, 0);
  assert.match(out, /^Usage: mairust msg add [\s\S]*--mailbox[\s\S]*Examples:/u);
  assert.match((await run("help", "account", "alias")).out, /^Usage: mairust account alias /u);
  const all = (await run("help")).out;
  assert.match(all, /^Usage: mairust \[options\]/u);
  assert.match(all, /default: table on a terminal, else tab/u);
  assert.doesNotMatch(all, /default: \[\]/u);
  assert.doesNotMatch(all, /^ {2}[a-z]+ *$/mu, "a command says nothing of itself");
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
    [
      ["msg", "add", "--account", "a@b.test", "--date", "2026-02-30T00:00:00Z"],
      /--date: .* is no RFC 3339 time/u,
    ],
    [["msg", "add", "--account", "a@b.test", "--flags", "\\Recent"], /--flags: no system flag/u],
    [["help", "msg", "ad"], /there is no command "msg ad"/u],
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

test("a file that --config names and that is not there ends with 78, and has no line", async () => {
  const { code, err } = await run("config", "check", "--config", "/nonexistent.toml");
  assert.equal(code, EXIT.configuration);
  assert.match(err, /^mairust: \/nonexistent\.toml: cannot be read/u);
});

test("config check -f json gives the problems as data, and an empty list when there are none", async () => {
  const args = ["config", "check", "-f", "json", "-o", "log.level=loud", "-o", "log.levl=info"];
  const { code, out, err } = await run(...args, "--config", "/nonexistent.toml");
  assert.deepEqual([code, err], [EXIT.configuration, ""]);
  const [missing, ...others] = JSON.parse(out);
  assert.deepEqual(
    [missing.origin, missing.file, missing.line, missing.key],
    ["/nonexistent.toml", "/nonexistent.toml", null, ""],
  );
  const none = { file: null, line: null, column: null };
  assert.deepEqual(others, [
    {
      origin: "-o log.level",
      ...none,
      key: "log.level",
      text: 'found "loud"; allowed: one of "debug", "info", "warn", "error"',
    },
    { origin: "-o log.levl", ...none, key: "log.levl", text: 'unknown key; did you mean "log.level"?' },
  ]);
  const good = await run("config", "check", "-f", "json");
  assert.deepEqual([good.code, JSON.parse(good.out)], [0, []]);
});

test("groups of commands have --help with an example of each command", async () => {
  for (const group of ["account", "account alias", "config", "domain", "migrate", "msg"]) {
    const { code, out } = await run(...group.split(" "), "--help");
    assert.equal(code, 0, group);
    const [, examples = ""] = out.split("Examples:\n");
    const lines = examples.trimEnd().split("\n");
    assert.equal(lines.length, COMMANDS.filter(c => c.usage.startsWith(`${group} `)).length, group);
    for (const line of lines) assert.ok(line.startsWith(`  mairust ${group} `), line);
  }
});

test("migrate beside a service that uses the embedded database ends with 75 and says what to do", async () => {
  for (const args of [["status"], ["up"]]) {
    const terminal = captured();
    const inUse = Object.assign(new Error("Cannot use x: it is in use"), { code: "invalid_state" });
    const busy = surroundings(terminal, { migrations: () => Promise.reject(inUse) });
    const code = await runCommandLine(["migrate", ...args, "-o", "log.level=info"], busy);
    assert.equal(code, EXIT.tryLater);
    assert.match(terminal.complained(), /stop the service first/u);
    // With a server of its own nobody is in the way: it is another state that does not fit.
    const own = ["migrate", ...args, "-o", "database.url=postgres://u@h/d"];
    assert.equal(await runCommandLine(own, busy), EXIT.changed);
  }
});

test("config check without a file names the one that it looked for", async () => {
  const { code, out } = await run("config", "check");
  assert.equal(code, 0);
  assert.match(
    out,
    /^the configuration is valid: \d+ keys set \((no file: there is no )?\/etc\/mairust\/mairust\.toml/u,
  );
});

test("config show prints TOML, and with -f the same as data", async () => {
  const toml = await run("config", "show", "-n", "--origin", "-o", "log.level=debug");
  assert.equal(toml.out, 'log.level = "debug"  # -o log.level\n');
  const json = await run("config", "show", "-n", "-o", "log.level=debug", "-f", "json");
  assert.deepEqual(JSON.parse(json.out), [{ key: "log.level", value: "debug", origin: "-o log.level" }]);
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
