import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type AppliedMigration,
  compare,
  type Migration,
  readMigrations,
} from "../../../src/store/migrate.ts";

const file = (version: number, checksum = `c${version}`): Migration => ({
  version,
  name: "x",
  text: "",
  checksum,
  breaking: false,
});
const applied = (version: number, breaking = false, checksum = `c${version}`): AppliedMigration => ({
  version,
  name: "x",
  checksum,
  breaking,
  applied_at: new Date(0),
});

test("compare() finds what is pending, newer, or in the way", () => {
  const files = [file(1), file(2), file(3)];
  assert.deepEqual(compare([], files).pending, files);
  assert.deepEqual(compare([applied(1)], files).pending, files.slice(1));
  assert.equal(compare([applied(1)], files).problem, undefined);
  const newer = compare([applied(1), applied(2), applied(3), applied(4)], files);
  assert.deepEqual([newer.newer.length, newer.problem], [1, undefined]);
  assert.match(
    compare([applied(1), applied(2), applied(3), applied(4, true)], files).problem ?? "",
    /0004_x was applied by a newer version/,
  );
  assert.match(
    compare([applied(1, false, "other")], files).problem ?? "",
    /0001_x was changed after it was applied/,
  );
  assert.match(compare([applied(1), applied(3)], files).problem ?? "", /0002_x is missing/);
});

test("readMigrations() takes numbered files in order and refuses anything else", () => {
  const folder = mkdtempSync(join(tmpdir(), "mairust-migrations-"));
  writeFileSync(join(folder, "0001_first.sql"), "-- breaking\r\nselect 1;\r\n");
  writeFileSync(join(folder, "0002_second.sql"), "select 2;\n");
  const [first, second] = readMigrations(folder);
  assert.deepEqual([first?.name, first?.breaking, first?.text], ["first", true, "-- breaking\nselect 1;\n"]);
  assert.deepEqual([second?.version, second?.breaking], [2, false]);
  for (const [name, text] of [
    ["0004_gap.sql", ""],
    ["notes.txt", ""],
    ["0003_ends.sql", "select 1;\n COMMIT;\n"],
  ] as const) {
    writeFileSync(join(folder, name), text);
    assert.throws(() => readMigrations(folder), { code: "data_invalid" }, name);
    rmSync(join(folder, name));
  }
  rmSync(folder, { recursive: true });
});

test("the migrations of this package can be read", () => {
  assert.ok(readMigrations().length > 0);
});
