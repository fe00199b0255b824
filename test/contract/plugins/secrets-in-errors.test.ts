/** S6 without a service: secrets in files that commands read, when these are right, and when they are refused. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { run } from "../../lib/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-secrets-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const SECRET = "canary5ecret0fThisTest";

async function said(...args: readonly string[]) {
  const { code, stdout, stderr } = await run(args);
  return { code, text: stdout.toString() + stderr };
}

test("a signing key is its owner's alone: in its file, and in no output and no package", async () => {
  const plugin = join(folder, "plugin");
  const key = join(folder, "plugin.key");
  const made = join(folder, "a.mairust-plugin");
  mkdirSync(plugin);
  writeFileSync(join(plugin, "main.sh"), "exit 1\n");
  writeFileSync(
    join(plugin, "plugin.toml"),
    'id = "com.example.signed"\nname = "x"\nversion = "1.0.0"\n[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["sh", "main.sh"]\n[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true\n',
  );
  const outputs = [await said("plugin", "keygen", key)];
  assert.equal(statSync(key).mode & 0o777, 0o600);
  const secret = readFileSync(key, "utf8").split("\n")[1] ?? "";
  assert.ok(secret.length > 40);
  outputs.push(await said("plugin", "package", plugin, "--out", made));
  outputs.push(await said("plugin", "sign", made, "--key", key));
  outputs.push(await said("plugin", "verify", made, "--key", `${key}.pub`));
  for (const { code, text } of outputs) assert.equal(code, 0, text);
  // Given where a public key is meant, and left lying in the plugin's folder.
  outputs.push(await said("plugin", "verify", made, "--key", key));
  writeFileSync(join(plugin, "helper.txt"), readFileSync(key));
  outputs.push(await said("plugin", "package", plugin, "--out", join(folder, "b.mairust-plugin")));
  assert.notEqual(outputs.at(-1)?.code, 0, "a private key does not go into a package");
  for (const { text } of outputs) assert.ok(!text.includes(secret), text);
  assert.ok(!gunzipSync(readFileSync(made)).includes(secret));
});

test("a configuration with secrets that is refused does not say them", async () => {
  const config = join(folder, "mairust.toml");
  for (const line of [
    `database.url = "${SECRET}://u:${SECRET}@/x"`,
    `database.url = ["${SECRET}"]`,
    `database.url = "${SECRET}`,
    `database.url = ${SECRET}`,
    `plugin."com.example.a".settings = { key = "${SECRET}" }\nplugin."com.example.a".none = 1`,
    `plugin."com.example.a".settings = "${SECRET}"`,
  ]) {
    writeFileSync(config, `${line}\n`);
    const { code, text } = await said("--config", config, "config", "check");
    assert.notEqual(code, 0, line);
    assert.ok(!text.includes(SECRET), `${line}: ${text}`);
  }
});
