/**
 * The attacks in every tier that this machine offers: as root tiers 3 and 1 here, and 2 and 1 in a process of another user; else 2 and 1
 * here. What is skipped is a test of its own, with the reason.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { findUser } from "../../../../src/runtimes/sandbox/host-tools.ts";
import { attackTests } from "./attacks.ts";

const isRoot = process.getuid?.() === 0;
const MAIN = new URL("as-user.js", import.meta.url).pathname;

for (const tier of isRoot ? ([3, 1] as const) : ([2, 1] as const)) await attackTests(tier);

test("tier 3", { skip: isRoot ? false : "this is not root" }, () => {});
for (const tier of [2, 1]) {
  test(`tier ${tier} as an ordinary user`, { skip: isRoot ? false : "it ran above" }, async t => {
    const user = findUser("nobody");
    assert.ok(user !== undefined, "there is no user nobody");
    const readable = spawn(process.execPath, ["--check", MAIN], { ...user, cwd: "/", stdio: "ignore" });
    const [code] = await once(readable, "exit");
    if (code !== 0) return t.skip(`user nobody may not read ${MAIN}`);
    const child = spawn(
      process.execPath,
      ["--enable-source-maps", "--test-reporter=tap", MAIN, String(tier)],
      {
        ...user,
        cwd: "/",
        env: { PATH: "/usr/bin:/bin", TMPDIR: "/tmp" },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", chunk => (said += String(chunk)));
    const [exit] = await once(child, "close");
    for (const line of said.split("\n").filter(one => /^ *(not ok|ok) /u.test(one)))
      t.diagnostic(line.trim());
    assert.equal(exit, 0, said);
    assert.match(said, /# fail 0/);
  });
}
