/** The Python lines of `plugins/README.md` that check a signature: they take what we send, and nothing else. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { signatureHeaders } from "../../../src/runtimes/http-signature.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";

const readme = readFileSync(join(packageRoot(), "plugins/README.md"), "utf8");
const example = /```python\n(?<code>[\s\S]*?)```/u.exec(readme)?.groups?.code ?? "";
const secret = `whsec_${Buffer.from(TEST_SECRET).toString("base64")}`;
const OTHER = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;

function isOurs(key: string, headers: Record<string, string>, body: string): boolean {
  const run = `${example}\nimport json, sys\nasked = json.load(sys.stdin)\nprint(is_mairust(asked[0], asked[1], asked[2].encode()))`;
  const input = JSON.stringify([key, headers, body]);
  return execFileSync("python3", ["-I", "-c", run], { input, encoding: "utf8" }).trim() === "True";
}

test("the example takes a request of ours, and refuses another secret, another body, and an old one", () => {
  const body = '{"subject":"会議"}';
  const sign = (timestamp: number) =>
    signatureHeaders({ pluginId: "com.example.a", callId: "x", body: Buffer.from(body), timestamp }, [
      TEST_SECRET,
    ]);
  const now = Math.floor(Date.now() / 1000);
  assert.equal(isOurs(secret, sign(now), body), true);
  assert.equal(isOurs(OTHER, sign(now), body), false);
  assert.equal(isOurs(secret, sign(now), `${body} `), false);
  assert.equal(isOurs(secret, { ...sign(now), "x-mairust-timestamp": String(now + 1) }, body), false);
  assert.equal(isOurs(secret, sign(now - 400), body), false);
  assert.equal(isOurs(secret, sign(now + 400), body), false);
});
