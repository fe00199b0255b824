/** The SDKs as processes: what is printed, what throws, what is no request, how it ends; the hello worlds and tests of their pages. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { blocks } from "../../lib/readme.ts";
import { drive, driveOne, SDK_FIXTURES, SDKS, type Sdk } from "../../lib/sdk-plugins.ts";

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const call = (more: object = {}) => ({
  ...{ api: "mairust.hook/1", call_id: "1", hook: "pre_delivery", mode: "enforce", attempt: 1 },
  ...{ deadline_ms: 5000, plugin: { id: "x", version: "1" }, received_at: "", size_bytes: 1, settings: {} },
  ...more,
});

async function run(
  { program }: Sdk,
  file: string,
  args: readonly string[],
  input: readonly (object | string)[],
) {
  const lines = input.map(one => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join("");
  const { stdout, stderr, exitCode } = await execa(program, [file, ...args], {
    cwd: dirname(file),
    env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8" },
    extendEnv: false,
    input: lines,
    reject: false,
  });
  const answers: unknown[] = stdout === "" ? [] : stdout.split("\n").map(line => JSON.parse(line));
  return { answers, stderr, exitCode };
}

const behaving = (sdk: Sdk, args: readonly string[], input: readonly (object | string)[]) =>
  run(sdk, join(SDK_FIXTURES, `behaving.${sdk.ending}`), args, input);

const HELLO = { mairust: 1, plugin: "com.example.behaving", version: "1.0.0", api: ["1"] };
const VOID = { call_id: "1", action: "error" };

for (const sdk of SDKS) {
  test(`${sdk.name}: a worker stays in step with its host, whatever the plugin prints or throws`, async () => {
    const { answers, stderr, exitCode } = await behaving(
      sdk,
      [],
      [
        { mairust: 1 },
        call({ settings: { do: "print" } }),
        call({ settings: { do: "throw" } }),
        call({ hook: "pre_send" }),
        "no request",
        "[]",
        call({ settings: { do: "nobody knows" } }),
        { health: true },
        call({ deadline_ms: 60_000, settings: { do: "deadline" } }),
      ],
    );
    assert.equal(exitCode, 0, stderr);
    const last = answers.pop();
    assert.deepEqual(answers, [
      ...[HELLO, { call_id: "1", tags: { add: ["printed"] } }, VOID, VOID],
      ...[{ action: "error" }, { action: "error" }, VOID, { status: "ok" }],
    ]);
    const left = Number((last as { explanation: string }).explanation);
    assert.ok(left > 10_000 && left <= 60_000, String(left));
    for (const printed of stderr.match(/^printed .*/gmu) ?? assert.fail())
      assert.match(printed, /^printed (by|to)/u);
    const logged = stderr.split("\n").filter(line => line.startsWith("{"));
    const [bug, point] = logged.map(line => JSON.parse(line));
    assert.equal(bug.level, "error");
    assert.equal(bug.call_id, "1");
    assert.match(bug.error, /a bug/u);
    assert.match(point.error, /no handler for "pre_send"/u);
    // It left by itself, in order, when its input ended.
    assert.equal(JSON.parse(logged.at(-1) ?? "").message, "leaving");
  });

  test(`${sdk.name}: a process for each call answers once, and fails for what is no request`, async () => {
    const one = await behaving(sdk, ["spawn"], [call({ settings: { do: "print" } })]);
    assert.deepEqual([one.exitCode, one.answers], [0, [{ call_id: "1", tags: { add: ["printed"] } }]]);
    const none = await behaving(sdk, ["spawn"], ["no request"]);
    assert.deepEqual([none.exitCode, none.answers], [1, []]);
    assert.match(none.stderr, /standard input is no request/u);
  });

  test(`${sdk.name}: what is printed before run() is no answer either, when the host has started it`, async () => {
    const folder = project(sdk, { node: 'console.log("early");\n', python: 'print("early", flush=True)\n' });
    const { stdout, stderr } = await execa(sdk.program, [join(folder, `main.${sdk.ending}`)], {
      env: { PATH: "/usr/bin:/bin", MAIRUST_PLUGIN_ID: "com.example.hello" },
      extendEnv: false,
      input: `${JSON.stringify({ mairust: 1 })}\n`,
    });
    assert.deepEqual(JSON.parse(stdout), { ...HELLO, plugin: "com.example.hello", version: "2.1.0" });
    assert.match(stderr, /early/u);
  });

  test(`${sdk.name}: hello world has at most ten lines, and is a plugin`, async () => {
    const code = helloOf(sdk);
    assert.ok(code.trimEnd().split("\n").length <= 10, code);
    const folder = project(sdk);
    const subject = (value: string) => call({ headers: [{ name: "Subject", value }] });
    const { answers } = await run(
      sdk,
      join(folder, `main.${sdk.ending}`),
      [],
      [{ mairust: 1 }, subject("Invoice 7"), subject("請求書"), subject("hello"), call()],
    );
    const tagged = { call_id: "1", tags: { add: ["invoice"] } };
    assert.deepEqual(answers, [
      { mairust: 1, plugin: "com.example.hello", version: "2.1.0", api: ["1"] },
      ...[tagged, tagged, { call_id: "1" }, { call_id: "1" }],
    ]);
  });

  test(`${sdk.name}: the page's test of it runs, and finds a hook point without a handler`, async () => {
    const folder = project(sdk);
    const language = sdk.name === "Node" ? "js" : "python";
    const code = blocks(page(sdk), language).at(-1) ?? "";
    const print = {
      js: "console.log(JSON.stringify(answer))",
      python: "import json; print(json.dumps(answer))",
    };
    const file = join(folder, `test.${sdk.ending}`);
    writeFileSync(file, `${code}\n${print[language]}\n`);
    const { answers } = await run(sdk, file, [], []);
    assert.deepEqual(answers, [
      { call_id: "0190a000-0000-7000-8000-000000000001", tags: { add: ["invoice"] } },
    ]);
    const manifest = join(folder, "plugin.toml");
    writeFileSync(
      manifest,
      readFileSync(manifest, "utf8").replace('"pre_delivery"', '"pre_delivery", "pre_send"'),
    );
    const missing = await run(sdk, file, [], []);
    assert.notEqual(missing.exitCode, 0);
    assert.match(missing.stderr, /no handler for "pre_send"/u);
  });

  test(`${sdk.name}: the log has levels and two forms, and no line that the host would cut`, async () => {
    const long = "\u0001".repeat(5000);
    const lines = [
      ["debug", "hidden", {}],
      ["info", "shown", { n: 1 }],
      ["error", long, {}],
      ["warn", "a\nb", {}],
    ];
    const json = (await drive(sdk, [{ do: "log", level: "info", format: "json", lines }])).stderr.split("\n");
    assert.deepEqual(JSON.parse(json[0] ?? ""), { level: "info", message: "shown", call_id: "1", n: 1 });
    assert.equal(JSON.parse(json[1] ?? "").cut, true);
    assert.equal(JSON.parse(json[2] ?? "").message, "a\nb");
    assert.ok(json.every(line => line.length <= 4000));
    const text = (await drive(sdk, [{ do: "log", level: "trace", format: "text", lines }])).stderr.split(
      "\n",
    );
    assert.deepEqual(text.slice(0, 2), ['debug hidden call_id="1"', 'info shown call_id="1" n=1']);
    assert.equal(text[3], 'warn a b call_id="1"');
    assert.ok(text.every(line => line.length <= 4000));
  });

  test(`${sdk.name}: a deadline ends, and nothing is asked after it`, async () => {
    const said = await driveOne(sdk, { do: "deadline", ms: 80 });
    assert.deepEqual(said, [false, 0, true, "timeout", "DeadlineExceeded"]);
  });

  test(`${sdk.name}: a budget sums up what several requests cost, and says when it is enough`, async () => {
    const spend = [
      { input_tokens: 50, output_tokens: 5, cost_usd: 0.5, model: "m" },
      { input_tokens: 100, output_tokens: 10, cost_usd: 0.25, model: "m" },
    ];
    const limits = { calls: 3, tokens: 150 };
    assert.deepEqual(await driveOne(sdk, { do: "budget", limits, spend }), {
      allowed: [true, false],
      threw: "BudgetExceeded",
      usage: { input_tokens: 150, output_tokens: 15, cost_usd: 0.75, model: "m" },
    });
  });
}

test("both pages and both files have the same parts in the same order", () => {
  const [node, python] = SDKS.map(sdk => [...page(sdk).matchAll(/^## (.*)$/gmu)].map(([, title]) => title));
  assert.deepEqual(node, python);
  const index = readFileSync(join(packageRoot(), "plugins/sdk/README.md"), "utf8");
  assert.deepEqual(
    [...index.matchAll(/^\d+\. \[(.*?)\]/gmu)].map(([, title]) => title),
    node,
  );
  const parts = SDKS.map(({ file }) =>
    [...readFileSync(file, "utf8").matchAll(/^(?:\/\/|#) -{80,} (\w+)$/gmu)].map(([, part]) => part),
  );
  assert.deepEqual(parts[0], parts[1]);
  assert.ok(parts[0]?.includes("verdict"));
});

const page = ({ file }: Sdk) => readFileSync(join(dirname(file), "README.md"), "utf8");
const helloOf = (sdk: Sdk) => blocks(page(sdk), sdk.name === "Node" ? "js" : "python")[0] ?? "";

const MANIFEST = `id = "com.example.hello" # an id
name = "Hello"
version = '2.1.0'
description = "id = \\"com.example.other\\""
[entry]
type = "hook"
protocol = "script"
[hooks]
on = ["pre_delivery"]
`;

/** The page's hello world with its SDK beside it. @param before  lines that come first, after the import of the SDK */
function project(
  sdk: Sdk,
  before: { readonly node: string; readonly python: string } = { node: "", python: "" },
) {
  const folder = mkdtempSync(join(tmpdir(), "mr-sdk-"));
  folders.push(folder);
  cpSync(sdk.file, join(folder, `mairust.${sdk.ending}`));
  const [first = "", ...rest] = helloOf(sdk).split("\n");
  const more = sdk.name === "Node" ? before.node : before.python;
  writeFileSync(join(folder, `main.${sdk.ending}`), [first, more, ...rest].join("\n"));
  writeFileSync(join(folder, "plugin.toml"), MANIFEST);
  return folder;
}
