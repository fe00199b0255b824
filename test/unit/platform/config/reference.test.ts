import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "smol-toml";
import { checkLeaf } from "../../../../src/platform/config/check-value.ts";
import { type KeyPath, keyText } from "../../../../src/platform/config/problem.ts";
import { configJsonSchema, configReference } from "../../../../src/platform/config/reference.ts";
import { isTable, ROOT, type SchemaNode, shapeOf } from "../../../../src/platform/config/schema-node.ts";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { loadText } from "./temporary-files.ts";

const reference = readFileSync(join(packageRoot(), "test/unit/platform/reference.toml"), "utf8");

interface Leaf {
  readonly key: string;
  readonly node: SchemaNode;
}

/** Every leaf of the schema; names of tables and indexes of lists as `*`. */
function schemaLeaves(node: SchemaNode, path: KeyPath = []): readonly Leaf[] {
  const shape = shapeOf(node);
  switch (shape.kind) {
    case "leaf":
      return [{ key: keyText(path), node }];
    case "table":
      return Object.entries(shape.properties).flatMap(([key, child]) => schemaLeaves(child, [...path, key]));
    case "named_tables":
    case "table_list":
      return schemaLeaves(shape.entry, [...path, "*"]);
  }
}

/** Every leaf of a document, with the same key texts; `leaves` says where to stop. */
function documentLeaves(
  value: unknown,
  leaves: ReadonlySet<string>,
  path: KeyPath = [],
): ReadonlyArray<readonly [string, unknown]> {
  const key = keyText(path);
  if (leaves.has(key) || (!isTable(value) && !Array.isArray(value))) return [[key, value]];
  if (Array.isArray(value)) return value.flatMap(element => documentLeaves(element, leaves, [...path, "*"]));
  const named = key === "domains" || key === "plugin";
  return Object.entries(value).flatMap(([name, child]) =>
    documentLeaves(child, leaves, [...path, named ? "*" : name]),
  );
}

test("the reference file and the schema have the same keys", () => {
  const known = schemaLeaves(ROOT).map(({ key }) => key);
  const written = documentLeaves(parse(reference), new Set(known)).map(([key]) => key);
  assert.deepEqual([...written].sort(), [...known].sort());
});

test("the reference file has the defaults of the schema, and its examples are allowed", () => {
  const leaves = new Map(schemaLeaves(ROOT).map(({ key, node }) => [key, node]));
  for (const [key, value] of documentLeaves(parse(reference), new Set(leaves.keys()))) {
    const node = leaves.get(key) ?? {};
    assert.deepEqual(checkLeaf(node, value), [], key);
    const examples: readonly unknown[] = node.examples ?? [];
    const plain: unknown = JSON.parse(JSON.stringify(value));
    if (node.default === undefined || examples.includes(plain)) continue;
    assert.deepEqual(plain, node.default, key);
  }
});

test("every key has a description, and a default that its own type allows", () => {
  for (const { key, node } of schemaLeaves(ROOT)) {
    assert.ok((node.description ?? "").length > 5, `${key} has no description`);
    if (node.default !== undefined) assert.deepEqual(checkLeaf(node, node.default), [], key);
  }
});

test("configReference() names every key, and loads as it is: everything in it is a comment", async t => {
  const text = configReference();
  const { origins } = await loadText(t, text);
  assert.equal(origins.size, 0);
  const enabled = text.replaceAll(/^#(?=\S)/gm, "");
  const known = schemaLeaves(ROOT).map(({ key }) => key);
  const written = documentLeaves(parse(enabled), new Set(known)).map(([key]) => key);
  assert.deepEqual([...written].sort(), [...known].sort());
});

test("configJsonSchema() requires only what has no default, and allows no other keys", () => {
  const schema = configJsonSchema();
  assert.deepEqual(schema.required, []);
  assert.equal(schema.additionalProperties, false);
  const text = JSON.stringify(schema);
  assert.ok(text.includes('"required":["name","point","plugin"]'));
  assert.ok(!text.includes('"required":["listen"'));
});
