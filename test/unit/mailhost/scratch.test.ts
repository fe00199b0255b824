import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  checkMailhostDir,
  freePort,
  MAILHOST_DIR_BYTES,
  makeScratch,
} from "../../../src/mailhost/scratch.ts";

test("makeScratch() passes over a folder that is long, closed or missing", async () => {
  const root = await mkdtemp(join(tmpdir(), "mrt"));
  try {
    await chmod(root, 0o755);
    const long = join(root, "x".repeat(MAILHOST_DIR_BYTES));
    const closed = join(root, "closed");
    const open = join(root, "open");
    for (const dir of [long, closed, open]) await mkdir(dir);
    await chmod(closed, 0o700);
    const scratch = await makeScratch([join(root, "missing"), long, closed, open]);
    assert.ok(scratch.dir.startsWith(`${open}/mr`), scratch.dir);
    assert.equal((await stat(scratch.dir)).mode & 0o777, 0o755);
    await scratch.remove();
    await assert.rejects(stat(scratch.dir), { code: "ENOENT" });
    await assert.rejects(makeScratch([long, closed]), { code: "invalid_state" });
  } finally {
    await rm(root, { recursive: true });
  }
});

test("checkMailhostDir() names the reason why a folder cannot hold a mail server", async () => {
  const root = await mkdtemp(join(tmpdir(), "mrt"));
  try {
    await assert.rejects(checkMailhostDir(join(root, "x".repeat(200))), /has \d+ bytes, at most 60/);
    await assert.rejects(checkMailhostDir("relative"), /not absolute/);
    await assert.rejects(checkMailhostDir(root), /is closed to other users/);
    await assert.rejects(checkMailhostDir(join(root, "missing")), /is no folder/);
  } finally {
    await rm(root, { recursive: true });
  }
});

test("freePort() gives a loopback port that nobody listens on", async () => {
  const port = await freePort();
  assert.ok(port > 0);
  const error = await new Promise(resolve => connect(port, "127.0.0.1").once("error", resolve));
  assert.equal((error as NodeJS.ErrnoException).code, "ECONNREFUSED");
});

test("freePort() never gives a port twice, and none that the system gives to others", async () => {
  const ports: number[] = [];
  for (let i = 0; i < 400; i++) ports.push(await freePort());
  assert.equal(new Set(ports).size, ports.length);
  assert.ok(Math.max(...ports) < 32_768);
});
