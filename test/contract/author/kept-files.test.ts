/** What a plugin keeps in a trial: nobody else on the host has a say in where that is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { notHere } from "../../lib/not-here.ts";
import { temporaryFolder, write } from "./author.ts";

const ID = "com.example.keeper";

test("a link that somebody planted among temporary files is not followed, and nothing is left there", t => {
  const [temporary, work, target] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  mkdirSync(join(target, "precious"), { mode: 0o755 });
  mkdirSync(join(temporary, "mairust-author", "plugin-data"), { recursive: true });
  symlinkSync(join(target, "precious"), join(temporary, "mairust-author", "plugin-data", ID));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(packageRoot(), "build", "src", "start.cjs"), "plugin", ...args], {
      cwd: work,
      env: { PATH: process.env.PATH, TMPDIR: temporary },
      encoding: "utf8",
    });
  assert.equal(run("init", "keeper", "--lang", "node", "--kind", "tag", "--id", ID).status, 0);
  const manifest = readFileSync(join(work, "keeper", "plugin.toml"), "utf8");
  write(join(work, "keeper"), "plugin.toml", manifest.replace("[limits]", "[limits]\npersistent_dir = true"));
  // The plugin has a user of its own.
  chmodSync(work, 0o755);
  const before = statSync(join(target, "precious"));
  const tried = run("trigger", "keeper", "--sample", "invoice");
  if (/without a sandbox/u.test(tried.stderr)) return t.skip(notHere("this host has no sandbox"));
  assert.equal(tried.status, 0, tried.stderr);
  const now = statSync(join(target, "precious"));
  assert.deepEqual([now.mode, now.uid, now.gid], [before.mode, before.uid, before.gid]);
  assert.deepEqual(
    readdirSync(temporary).filter(name => name.startsWith("mairust-author-")),
    [],
  );
});
