/** `plugin dev` as a process of its own: a verdict soon after each save, through every mistake, and nothing left after Ctrl-C. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { deadlineAfter, sleep, within } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { temporaryFolder } from "./author.ts";

/** For a slow machine; what is asked of a usual one is told by the test. */
const PATIENCE_MS = 30_000;
const running: ChildProcess[] = [];
after(() => {
  for (const child of running) child.kill("SIGKILL");
});

interface Dev {
  readonly folder: string;
  readonly child: ChildProcess;
  /** The next event of this kind; others are passed by. */
  next(kind: string): Promise<Record<string, unknown>>;
}

function develop(...args: string[]): Dev {
  const folder = join(temporaryFolder(), "project");
  cpSync(join(packageRoot(), "plugins/hello-world"), folder, { recursive: true });
  for (const file of ["plugin.toml", "main.mjs"]) {
    const text = readFileSync(join(folder, file), "utf8");
    writeFileSync(join(folder, file), text.replace("com.example.mairust.hello-world", ID));
  }
  const start = join(packageRoot(), "build/src/start.cjs");
  const child = spawn(process.execPath, [start, "plugin", "dev", folder, "-f", "jsonl", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  const lines = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]();
  const find = async (kind: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`it ended before "${kind}"`);
      const event = JSON.parse(value) as Record<string, unknown>;
      if (event.kind === kind) return event;
    }
  };
  return { folder, child, next: kind => within(find(kind), deadlineAfter(PATIENCE_MS)) };
}

/** No other test has a plugin of this id. */
const ID = `com.example.dev-${process.pid}`;

/** Processes of the plugin, in whatever sandbox. */
function processesOf(id: string): readonly string[] {
  const isOne = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`MAIRUST_PLUGIN_ID=${id}\0`);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc").filter(name => /^\d+$/u.test(name) && isOne(name));
}

test("plugin dev gives a verdict after each save, says what is broken and goes on, and leaves no process", async t => {
  const { folder, child, next } = develop();
  const main = join(folder, "main.mjs");
  const good = readFileSync(main, "utf8");
  const first = await next("tested");
  assert.equal((first.report as { failed: number }).failed, 0);

  const savedAt = performance.now();
  writeFileSync(main, good.replace('"invoice"', '"x"').replace("settings.greeting_tag]", '"changed"]'));
  assert.deepEqual((await next("changed")).files, ["main.mjs"]);
  const changed = await next("tested");
  t.diagnostic(`from the save to the verdict: ${Math.round(performance.now() - savedAt)} ms`);
  assert.ok((changed.report as { failed: number }).failed > 0);

  writeFileSync(main, "throw new Error('not yet');\n");
  assert.match(String((await next("broken")).problems), /not yet/u);
  writeFileSync(main, good);
  assert.equal(((await next("tested")).report as { failed: number }).failed, 0);

  const manifest = join(folder, "plugin.toml");
  const valid = readFileSync(manifest, "utf8");
  writeFileSync(manifest, valid.replace("write_tags", "write_tag"));
  assert.match(
    String((await next("broken")).problems),
    /plugin\.toml:\d+: permissions\.write_tag: found an unknown key/u,
  );
  writeFileSync(manifest, valid);
  await next("tested");

  // Ctrl-C while a call hangs: the plugin and what it started go too.
  writeFileSync(
    main,
    good
      .replace("function judge({", "setInterval(() => {}, 1000);\nfunction judge({")
      .replace("const add", "console.error('hanging'); for (;;);\n  const add"),
  );
  assert.match(String((await next("log")).line), /hanging/u);
  assert.notDeepEqual(processesOf(ID), []);
  child.kill("SIGINT");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
  for (const end = performance.now() + 20_000; processesOf(ID).length > 0 && performance.now() < end; )
    await sleep(20);
  assert.deepEqual(processesOf(ID), []);
});

test("plugin dev --sample shows one call after each save", async () => {
  const { child, next } = develop("--sample", "invoice");
  const { report } = await next("tried");
  assert.deepEqual((report as { verdict: { tags: string[] } }).verdict.tags, ["hello", "invoice"]);
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
});
