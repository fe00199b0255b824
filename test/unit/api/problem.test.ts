/** Errors as problem documents. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { problemOf } from "../../../src/api/problem.ts";
import { convertValues } from "../../../src/api/query.ts";
import { MairustError } from "../../../src/core/errors.ts";

test("a 5xx shows its public text and never its message or cause", () => {
  const secret = new MairustError("internal", "Cannot read /etc/secret", { cause: new Error("password=x") });
  const problem = problemOf(secret, "trace", undefined);
  assert.deepEqual(problem, {
    type: "urn:mairust:error:internal",
    title: "Internal error",
    status: 500,
    code: "internal",
    trace_id: "trace",
  });
  assert.equal(
    JSON.stringify(problemOf(new Error("password=x"), "t", undefined)).includes("password"),
    false,
  );
});

test("what fastify refuses keeps its status, with pointers", () => {
  const refused = Object.assign(new Error("body/name must be string"), {
    statusCode: 400,
    validationContext: "body",
    validation: [{ instancePath: "/name", message: "must be string" }],
  });
  const problem = problemOf(refused, "t", undefined);
  assert.deepEqual([problem.status, problem.code], [400, "invalid_argument"]);
  assert.deepEqual(problem.errors, [{ pointer: "/body/name", detail: "must be string" }]);
  assert.equal(problemOf(Object.assign(new Error("x"), { statusCode: 415 }), "t", undefined).status, 415);
  assert.equal(
    problemOf(Object.assign(new Error("x"), { statusCode: 500 }), "t", undefined).code,
    "internal",
  );
});

test("hooks that do not fit together are listed with their reasons", () => {
  const refused = new MairustError("config_invalid", "Cannot use the hooks: a; b", {
    context: {
      problems: ['hook "a": there is no plugin "x"', 'hook "b": the name is taken'],
      other: "/secret",
    },
  });
  const { status, errors } = problemOf(refused, "t", undefined);
  assert.equal(status, 422);
  assert.deepEqual(errors, [
    { pointer: "hooks", detail: 'hook "a": there is no plugin "x"' },
    { pointer: "hooks", detail: 'hook "b": the name is taken' },
  ]);
});

test("titles are Japanese when Japanese is wanted more than English", () => {
  const title = (accept: string | undefined) =>
    problemOf(new MairustError("not_found", "x"), "t", accept).title;
  const japanese = title("ja");
  assert.notEqual(japanese, title(undefined));
  for (const accept of ["ja-JP,en;q=0.8", "fr,ja;q=0.4,en;q=0.3", "JA"])
    assert.equal(title(accept), japanese, accept);
  for (const accept of ["en,ja;q=0.9", "ja;q=0", "*", "", "fr"])
    assert.equal(title(accept), title(undefined), accept);
});

test("query values become what the schema says, and nothing else is touched", () => {
  const schema = {
    properties: { limit: { type: "integer" }, dry_run: { type: "boolean" }, q: { type: "string" } },
  };
  const converted = convertValues(schema, { limit: "20", dry_run: "true", q: "7", other: "1" });
  assert.deepEqual(converted, { limit: 20, dry_run: true, q: "7", other: "1" });
  assert.deepEqual(convertValues(schema, { limit: "2x", dry_run: "yes" }), { limit: "2x", dry_run: "yes" });
});
