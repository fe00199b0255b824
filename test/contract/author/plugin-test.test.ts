/** `plugin test`: the samples pass; what differs is shown; --update writes it down; what a plugin does wrong is told and ends nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { mairust, temporaryFolder, write } from "./author.ts";

const samples = join(packageRoot(), "plugins");
/** They ask a server: below, and in `test/contract/plugins/rspamd.test.ts`. */
const NEED_A_SERVER = new Set(["rspamd", "python-ai-classifier"]);
const START_MS = 30_000;
const POLL_MS = 20;

interface Entry {
  readonly severity: string;
  readonly code: string | null;
}

for (const name of readdirSync(samples)) {
  if (!existsSync(join(samples, name, "plugin.toml"))) continue;
  test(`the fixtures of ${name} are in order${NEED_A_SERVER.has(name) ? "" : ", and pass"}`, async () => {
    const linted = JSON.parse((await mairust(["plugin", "lint", join(samples, name), "-f", "json"])).out);
    const errors = linted.entries.filter(
      ({ severity, code }: Entry) => severity === "error" && code !== "not_built",
    );
    assert.deepEqual(errors, []);
    if (NEED_A_SERVER.has(name)) return;
    const { code, out, err } = await mairust(["plugin", "test", join(samples, name)]);
    assert.equal(code, 0, out + err);
  });
}

test("the fixtures of python-ai-classifier pass with its fake model, as its README says", async t => {
  const folder = join(temporaryFolder(), "classifier");
  cpSync(join(samples, "python-ai-classifier"), folder, { recursive: true });
  const port = await freePort();
  // As with Ollama, on a port that is free here.
  const manifest = readFileSync(join(folder, "plugin.toml"), "utf8")
    .replace('network = "outbound-limited"', 'network = "local-only"')
    .replace("api.openai.com:443", `127.0.0.1:${port}`)
    .replace("https://api.openai.com/v1", `http://127.0.0.1:${port}/v1`);
  write(folder, "plugin.toml", manifest);
  const fixtures = readdirSync(join(folder, "fixtures")).filter(name => name.endsWith(".toml"));
  for (const name of fixtures) {
    const text = readFileSync(join(folder, "fixtures", name), "utf8");
    write(folder, `fixtures/${name}`, text.replace("11434", String(port)));
  }
  const model = spawn("python3", ["fake_model.py", String(port)], { cwd: folder, stdio: "ignore" });
  t.after(() => model.kill("SIGKILL"));
  await untilListening(port);
  const { code, out, err } = await mairust(["plugin", "test", folder, "--bare"]);
  assert.equal(code, 0, out + err);
  assert.match(out, new RegExp(`${fixtures.length} passed in`, "u"));
});

async function untilListening(port: number): Promise<void> {
  const deadline = deadlineAfter(START_MS);
  const listens = () =>
    new Promise<boolean>(resolve => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
    });
  while (!(await listens())) {
    assert.ok(deadline.remainingMs() > 0, "the fake model does not listen");
    await sleep(POLL_MS);
  }
  deadline.dispose();
}

function project(): string {
  const folder = join(temporaryFolder(), "project");
  cpSync(join(samples, "hello-world"), folder, { recursive: true });
  return folder;
}

test("what differs is shown with what was expected, denied items too; the exit code is 1", async () => {
  const folder = project();
  write(
    folder,
    "fixtures/wrong.toml",
    'message = "invoice.eml"\n[grants]\nread_headers = ["Subject"]\n[expect]\naction = "hold"\ntags = ["x"]\n',
  );
  const { code, out } = await mairust(["plugin", "test", folder, "--fixture", "wrong"]);
  assert.equal(code, 1);
  assert.match(
    out,
    /^FAILED {2}wrong {2}\d+ ms\n {4}action {7}expected {2}hold\n {17}got {7}deliver\n {4}tags {9}expected {2}x\n {17}got {7}none\n {4}denied {7}expected {2}none\n {17}got {7}tags \(.*granted\), folder \(.*granted\)\n/u,
  );
  assert.match(out, /0 passed, 1 failed in \d+ ms\n$/u);
});

test("--update writes what the plugin answers below what stands there, and only where it differs", async () => {
  const folder = project();
  const passing = readFileSync(join(folder, "fixtures/greeting.toml"), "utf8");
  write(
    folder,
    "fixtures/old.toml",
    '# Why.\nmessage = "invoice.eml"\n\n[expect]\naction = "hold"\n[expect.metadata]\nscore = 1\n',
  );
  write(folder, "fixtures/new.eml", "Subject: invoice\n\nx\n");
  const without = await mairust(["plugin", "test", folder]);
  assert.equal(without.code, 1);
  assert.match(
    without.out,
    /new .*\n {4}expect {7}expected {2}a table \[expect\]\n.*none; --update writes what/u,
  );
  const updated = await mairust(["plugin", "test", folder, "--update"]);
  assert.equal(updated.code, 0, updated.out);
  assert.match(updated.out, /5 passed, 2 updated in/u);
  assert.equal(
    readFileSync(join(folder, "fixtures/old.toml"), "utf8"),
    '# Why.\nmessage = "invoice.eml"\n\n[expect]\naction = "deliver"\ntags = [ "hello", "invoice" ]\nfolder = "Invoices"\nexplanation = "the subject holds \\"invoice\\""\n',
  );
  assert.equal(readFileSync(join(folder, "fixtures/greeting.toml"), "utf8"), passing);
  assert.equal((await mairust(["plugin", "test", folder])).code, 0);
});

test("--update leaves a fixture alone in which it cannot tell the expectation from the rest", async () => {
  const folder = project();
  const odd = 'message = "invoice.eml"\ndescription = """\n[expect]\n"""\n[expect]\naction = "hold"\n';
  write(folder, "fixtures/odd.toml", odd);
  const { code, out } = await mairust(["plugin", "test", folder, "--fixture", "odd", "--update"]);
  assert.equal(code, 1);
  assert.match(out, /its \[expect\] cannot be told from the rest/u);
  assert.equal(readFileSync(join(folder, "fixtures/odd.toml"), "utf8"), odd);
});

test("a broken fixture is told with file, line and what is allowed", async () => {
  const folder = project();
  write(folder, "fixtures/broken.toml", 'message = "invoice.eml"\n[expect]\nacton = "hold"\n');
  const { code, err } = await mairust(["plugin", "test", folder]);
  assert.equal(code, 65);
  assert.match(
    err,
    /broken\.toml:3: expect\.acton: found an unknown key, allowed: .*\(did you mean "action"\?\)/u,
  );
  write(folder, "fixtures/broken.toml", "");
  assert.match(
    (await mairust(["plugin", "test", folder])).err,
    /Cannot read the message of fixture .*broken\.toml/u,
  );
  const unknown = await mairust(["plugin", "test", folder, "--fixture", "nosuch"]);
  assert.equal(unknown.code, 66);
});

test("grants beyond the manifest, a point that it does not name and settings of another type fail the fixture", async () => {
  const folder = project();
  for (const [name, content, said] of [
    ["a", '[grants]\nread_body = "full"', /grants: read_body beyond what the manifest asks for/u],
    ["b", 'point = "pre_send"', /hooks\.on of its manifest does not name pre_send/u],
    ["c", "[settings]\ntag = 7", /settings\.tag: found 7/u],
    ["d", "[grants]\nwrite_tags = true", /PERM_DEP_TAGS/u],
  ] as const) {
    const message = content.startsWith("[")
      ? `message = "invoice.eml"\n${content}\n`
      : `message = "invoice.eml"\n${content}\n`;
    write(folder, `fixtures/${name}.toml`, `${message}[expect]\n`);
    const { code, out } = await mairust(["plugin", "test", folder, "--fixture", name]);
    assert.equal(code, 1);
    assert.match(out, said);
  }
});

test("a plugin that crashes, hangs or talks nonsense is a verdict, with what it wrote; the next call is made all the same", async () => {
  const folder = project();
  const hello =
    'process.stdout.write(JSON.stringify({ mairust: 1, plugin: "com.example.mairust.hello-world", version: "1.0.0", api: ["1"] }) + "\\n");';
  write(
    folder,
    "main.mjs",
    `import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const { mairust, call_id: id, settings } = JSON.parse(line);
  if (mairust) { ${hello} continue; }
  console.error("now " + settings.tag);
  if (settings.tag === "crash") process.exit(3);
  if (settings.tag === "hang") await new Promise(() => setInterval(() => {}, 1000));
  if (settings.tag === "nonsense") { process.stdout.write("nonsense\\n"); continue; }
  process.stdout.write(JSON.stringify({ call_id: id }) + "\\n");
}
`,
  );
  for (const [name, outcome] of [
    ["crash", "error"],
    ["hang", "timeout"],
    ["nonsense", "malformed"],
    ["well", "ok"],
  ])
    write(
      folder,
      `fixtures/z-${name}.toml`,
      `message = "invoice.eml"\ntimeout_ms = 1000\n[settings]\ntag = "${name}"\n[expect]\noutcome = "${outcome}"\n`,
    );
  const args = ["crash", "hang", "nonsense", "well"].flatMap(name => ["--fixture", `z-${name}`]);
  const { code, out } = await mairust(["plugin", "test", folder, ...args, "-f", "json"]);
  assert.equal(code, 0, out);
  const report = JSON.parse(out);
  const crash = report.fixtures[0].call;
  assert.match(crash.verdict.problem, /exit code 3/u);
  assert.ok(crash.log.includes("now crash"), JSON.stringify(crash.log));
});

test("a plugin that does not start is told with what it wrote: exit 75; without fixtures: exit 66", async () => {
  const folder = project();
  write(folder, "main.mjs", 'throw new Error("broken from the start");\n');
  const { code, err } = await mairust(["plugin", "test", folder]);
  assert.equal(code, 75, err);
  assert.match(err, /it wrote:\n[\s\S]*\| Error: broken from the start/u);
  const bare = project();
  for (const name of readdirSync(join(bare, "fixtures"))) unlinkSync(join(bare, "fixtures", name));
  const empty = await mairust(["plugin", "test", bare]);
  assert.equal(empty.code, 66);
  assert.match(empty.err, /it has no fixtures; put a message into fixtures\/NAME\.eml/u);
  const nowhere = join(bare, "nowhere");
  mkdirSync(nowhere);
  assert.match((await mairust(["plugin", "test", nowhere])).err, /the folder holds no plugin\.toml/u);
});
