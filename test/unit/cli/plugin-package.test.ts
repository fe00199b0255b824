/** `plugin package`, `keygen`, `sign` and `verify` without a service: what they write, print and end with. */
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runCommandLine } from "../../../src/cli/run.ts";
import { packageEngines } from "../../../src/compose/packages.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { captured, surroundings } from "./terminal.ts";

const dir = mkdtempSync(join(tmpdir(), "mr-cli-package-"));
const plugin = join(dir, "plugin");
const file = join(dir, "made.mairust-plugin");
const key = join(dir, "dev.key");
after(() => rmSync(dir, { recursive: true, force: true }));

async function run(...args: readonly string[]) {
  const terminal = captured({ columns: 200 });
  const standalone = { packages: () => Promise.resolve(packageEngines) };
  const code = await runCommandLine(["plugin", ...args], surroundings(terminal, standalone));
  return { code, out: terminal.printed(), err: terminal.complained() };
}

before(async () => {
  cpSync(join(packageRoot(), "plugins/keyword-reject"), plugin, { recursive: true });
  assert.equal((await run("keygen", key)).code, 0);
  assert.equal((await run("package", plugin, "--out", file)).code, 0);
});

test("keygen writes a key that only its owner can read, and never over another", async () => {
  assert.equal(statSync(key).mode & 0o777, 0o600);
  const before = readFileSync(key);
  const again = await run("keygen", key);
  assert.deepEqual([again.code, again.err], [73, `mairust: ${key} is there already; nothing was written\n`]);
  assert.deepEqual(readFileSync(key), before);
  rmSync(`${key}.pub`);
  assert.equal((await run("keygen", key)).code, 73);
  assert.ok(!existsSync(`${key}.pub`));
  rmSync(key);
  writeFileSync(`${key}.pub`, "mine");
  assert.equal((await run("keygen", key)).code, 73);
  assert.deepEqual([existsSync(key), readFileSync(`${key}.pub`, "utf8")], [false, "mine"]);
  rmSync(`${key}.pub`);
  const { code, out } = await run("keygen", key);
  assert.equal(code, 0);
  assert.match(out, /^[0-9a-f]{64}\n$/u);
});

test("package says what it made and what it left out, and writes over nothing unless told so", async () => {
  const args = ["package", plugin, "--out", file];
  const refused = await run(...args);
  assert.deepEqual([refused.code, refused.out], [73, ""]);
  const bytes = readFileSync(file);
  const forced = await run(...args, "--force", "-f", "table");
  assert.equal(forced.code, 0);
  assert.match(
    forced.out,
    /^package +\S+made\.mairust-plugin\nplugin +com\.example\.mairust\.keyword-reject\nversion +1\.0\.0\n/u,
  );
  assert.equal(forced.err, "left out: fixtures/\n");
  assert.deepEqual(readFileSync(file), bytes);
  const dry = await run("package", plugin, "--out", join(dir, "dry"), "--dry-run");
  assert.match(dry.err, /nothing was written/u);
  assert.deepEqual(
    readdirSync(dir).filter(name => name.startsWith("dry") || name.startsWith("made.")),
    ["made.mairust-plugin"],
  );
});

test("a folder that cannot become a package is refused with every reason on its own line", async () => {
  const bad = join(dir, "bad");
  cpSync(plugin, bad, { recursive: true });
  writeFileSync(join(bad, "a b"), "");
  writeFileSync(join(bad, "dev.key"), readFileSync(key));
  const { code, err } = await run("package", bad, "--out", join(dir, "bad.mairust-plugin"));
  assert.equal(code, 65);
  assert.match(err, /^mairust: \S+bad:\n {2}"a b": .*\n {2}"dev\.key": it holds a private key/u);
  assert.ok(!existsSync(join(dir, "bad.mairust-plugin")));
});

test("a signed package verifies with its key, and with no other", async () => {
  const unsigned = await run("verify", file);
  assert.deepEqual([unsigned.code, unsigned.err], [0, "nobody signed it\n"]);
  assert.equal((await run("verify", file, "--key", `${key}.pub`)).code, 1);
  const signed = await run("sign", file, "--key", key);
  assert.equal(signed.code, 0, signed.err);
  assert.match(signed.err, /^signed with ed25519 key [0-9a-f]{64}\n$/u);
  const good = await run("verify", file, "--key", `${key}.pub`, "-f", "table");
  assert.equal(good.code, 0);
  assert.match(good.out, /developer +[0-9a-f]{64} +ed25519 +good\n$/u);
  assert.match((await run("verify", file, "-f", "table")).out, /good, by the key in the package/u);
  const other = join(dir, "other.key");
  await run("keygen", other);
  const wrong = await run("verify", file, "--key", `${other}.pub`);
  assert.deepEqual([wrong.code, wrong.err], [1, `mairust: ${other}.pub did not sign it\n`]);
  const json = JSON.parse((await run("verify", file, "--key", `${key}.pub`, "-f", "json")).out);
  assert.deepEqual(
    [json.id, json.signatures[0].verdict],
    ["com.example.mairust.keyword-reject", "given key"],
  );
});

test("a damaged package, a missing one, a wrong key and a wrong role each have their exit code", async () => {
  const cut = join(dir, "cut");
  writeFileSync(cut, readFileSync(file).subarray(0, 1000));
  assert.deepEqual(await run("verify", cut), { code: 77, out: "", err: `mairust: ${cut}: it is cut off\n` });
  assert.equal((await run("verify", join(dir, "none"))).code, 66);
  assert.equal((await run("verify", dir)).code, 66);
  assert.equal((await run("sign", file)).code, 64);
  assert.equal((await run("sign", file, "--key", `${key}.pub`)).code, 65);
  assert.equal((await run("sign", file, "--key", key, "--role", "king")).code, 64);
  const huge = join(dir, "huge");
  writeFileSync(huge, Buffer.alloc(8_500_000));
  assert.match((await run("verify", huge)).err, /has more than 8\.0 MiB/u);
});
