import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import {
  databaseError,
  dropsConnection,
  isForeignKeyViolation,
  isSerializationFailure,
  isUniqueViolation,
  sqlstateOf,
} from "../../../src/store/db-errors.ts";

const from = (code: string, more: object = {}) =>
  databaseError(Object.assign(new Error("text"), { code, ...more }), "test");

test("what may heal by itself is store_unavailable, and the connection goes where it is of no use", () => {
  const cases: ReadonlyArray<readonly [code: string, expected: string, drops: boolean]> = [
    ["CONNECTION_CLOSED", "store_unavailable", true],
    ["ENOENT", "store_unavailable", true],
    ["ECONNREFUSED", "store_unavailable", true],
    ["57P01", "store_unavailable", true],
    ["57P03", "store_unavailable", true],
    ["25006", "store_unavailable", true],
    ["53300", "store_unavailable", false],
    ["53100", "disk_full", false],
    ["40P01", "internal", false],
    ["40001", "internal", false],
    ["55P03", "internal", false],
    ["53200", "internal", false],
    ["XX000", "internal", false],
    ["57014", "deadline", false],
    ["28P01", "store_unavailable", true],
    ["23505", "internal", false],
    ["22P02", "internal", false],
    ["XX001", "internal", false],
  ];
  for (const [code, expected, drops] of cases) {
    const error = from(code);
    assert.equal(error.code, expected, code);
    assert.equal(error.retry, "later", code);
    assert.equal(dropsConnection(error), drops, code);
    assert.equal(sqlstateOf(error), code);
  }
});

test("what met another transaction may be tried again, and nothing else", () => {
  for (const code of ["40P01", "40001", "55P03"]) assert.ok(isSerializationFailure(from(code)), code);
  for (const code of ["23505", "53200", "57P01", "XX000"])
    assert.ok(!isSerializationFailure(from(code)), code);
  assert.ok(!isSerializationFailure(new Error("x")));
});

test("an error after which the server ends the connection means that it is away", () => {
  for (const code of ["53200", "XX000", "22023", "40P01"]) {
    const error = from(code, { severity: "FATAL" });
    assert.equal(error.code, "store_unavailable", code);
    assert.ok(dropsConnection(error) && !isSerializationFailure(error), code);
  }
  assert.equal(from("53100", { severity: "PANIC" }).code, "disk_full");
  assert.equal(from("XX000", { severity: "ERROR" }).code, "internal");
});

test("a plan that is out of date drops the connection", () => {
  assert.ok(dropsConnection(from("0A000", { routine: "RevalidateCachedQuery" })));
  assert.ok(!dropsConnection(from("0A000")));
});

test("a violated constraint is known by its name", () => {
  const error = from("23505", { constraint_name: "one", table_name: "t" });
  assert.ok(isUniqueViolation(error) && isUniqueViolation(error, "one"));
  assert.ok(!isUniqueViolation(error, "two") && !isForeignKeyViolation(error));
  assert.ok(isForeignKeyViolation(from("23503")));
  assert.ok(!isUniqueViolation(new Error("x")) && !isUniqueViolation(new MairustError("internal", "x")));
});

test("a MairustError passes through, parameters of a statement do not", () => {
  const own = new MairustError("disk_full", "x");
  assert.equal(databaseError(own, "test"), own);
  const error = from("22021", { parameters: ["secret"], query: "select secret" });
  assert.ok(!JSON.stringify([error.message, error.context]).includes("secret"));
});
