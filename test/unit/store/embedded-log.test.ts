import assert from "node:assert/strict";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Log } from "../../../src/core/ports/log.ts";
import { ServerLog } from "../../../src/store/embedded-log.ts";

const MB = 1024 * 1024;

function withLog(body: (path: string, log: ServerLog, warnings: string[]) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "mairust-log-"));
  const warnings: string[] = [];
  const quiet: Log = {
    debug() {},
    info() {},
    warn: event => void warnings.push(event),
    error() {},
    child: () => quiet,
  };
  const path = join(folder, "postgres.log");
  const log = new ServerLog(path, quiet);
  try {
    body(path, log, warnings);
  } finally {
    log.close();
    rmSync(folder, { recursive: true });
  }
}

test("a long server log goes to its copy and begins anew", () =>
  withLog((path, log, warnings) => {
    writeFileSync(path, "begin");
    truncateSync(path, 9 * MB);
    log.open();
    assert.equal(statSync(path).size, 0);
    assert.equal(readFileSync(`${path}.1`).subarray(0, 5).toString(), "begin");
    assert.deepEqual(warnings, []);
  }));

test("a copy that cannot be made harms nobody, is told once, and the log stays bounded", () =>
  withLog((path, log, warnings) => {
    // A folder in its place fails as a full disk does.
    mkdirSync(`${path}.1`);
    writeFileSync(path, "");
    truncateSync(path, 9 * MB);
    log.open();
    log.open();
    assert.equal(statSync(path).size, 9 * MB, "kept while it may");
    assert.equal(warnings.length, 1);
    truncateSync(path, 17 * MB);
    log.open();
    assert.equal(statSync(path).size, 0);
  }));

test("the end of a log that cannot be read is empty", () =>
  withLog((path, log, warnings) => {
    writeFileSync(path, "FATAL:  it broke\n");
    const fd = log.open();
    assert.equal(log.tail(), "FATAL:  it broke");
    closeSync(fd);
    assert.equal(log.tail(), "");
    assert.equal(warnings.length, 1);
  }));
