/** Checks one value against its schema: every element of a list and of a table by itself, so that no error hides another. Pure. */
import { checkFormat } from "./formats.ts";
import type { KeyPath } from "./problem.ts";
import { allowedText, foundText, isTable, recordValue, type SchemaNode } from "./schema-node.ts";

/** What is wrong with a value, or with a part of it. */
export interface WrongValue {
  /** Below the value: empty for the value itself, an index or a name for an element. */
  readonly path: KeyPath;
  /** "found …; allowed: …". A key that may hold a secret is not quoted. */
  readonly text: string;
}

/** @returns everything that is wrong, in the order of the elements; empty: the value fits */
export function checkLeaf(node: SchemaNode, value: unknown): readonly WrongValue[] {
  if (node.anyOf !== undefined) return checkUnion(node, node.anyOf, value);
  if (node.enum !== undefined) return wrongUnless(node.enum.includes(value), node, value);
  switch (node.type) {
    case "boolean":
      return wrongUnless(typeof value === "boolean", node, value);
    case "integer":
      return checkInteger(node, value);
    case "string":
      return checkText(node, value);
    case "array":
      return checkList(node, value);
    case "object":
      return checkTable(node, value);
    default:
      return [];
  }
}

function wrongUnless(
  fits: boolean,
  node: SchemaNode,
  value: unknown,
  allowed = allowedText(node),
): readonly WrongValue[] {
  return fits ? [] : [{ path: [], text: `found ${foundAt(node, value)}; allowed: ${allowed}` }];
}

/** @returns a value as an error may show it */
export function foundAt(node: SchemaNode, value: unknown): string {
  return node.secret === true && typeof value === "string" ? "a text" : foundText(value);
}

const below = (segment: string | number, wrong: readonly WrongValue[]): readonly WrongValue[] =>
  wrong.map(({ path, text }) => ({ path: [segment, ...path], text }));

/** The list among the options speaks for a list, else all of them. */
function checkUnion(node: SchemaNode, options: readonly SchemaNode[], value: unknown): readonly WrongValue[] {
  if (options.some(option => checkLeaf(option, value).length === 0)) return [];
  const list = Array.isArray(value) ? options.find(option => option.type === "array") : undefined;
  return list === undefined ? wrongUnless(false, node, value) : checkLeaf(list, value);
}

function checkInteger(node: SchemaNode, value: unknown): readonly WrongValue[] {
  const fits =
    typeof value === "number" &&
    Number.isSafeInteger(value) &&
    value >= (node.minimum ?? Number.MIN_SAFE_INTEGER) &&
    value <= (node.maximum ?? Number.MAX_SAFE_INTEGER);
  return wrongUnless(fits, node, value);
}

function checkText(node: SchemaNode, value: unknown): readonly WrongValue[] {
  if (typeof value !== "string") return wrongUnless(false, node, value);
  if (value === "" && node.default === "") return [];
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = node;
  if (value.length < minLength) return wrongUnless(false, node, value, "text that is not empty");
  if (value.length > maxLength) return wrongUnless(false, node, value, `at most ${maxLength} characters`);
  if (node.pattern !== undefined && !new RegExp(node.pattern, "u").test(value))
    return wrongUnless(false, node, value);
  const allowed = node.format === undefined ? undefined : checkFormat(node.format, value);
  return allowed === undefined ? [] : wrongUnless(false, node, value, allowed);
}

function checkList(node: SchemaNode, value: unknown): readonly WrongValue[] {
  if (!Array.isArray(value)) return wrongUnless(false, node, value);
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items = {} } = node;
  const wrong: WrongValue[] = [];
  if (value.length < minItems || value.length > maxItems) {
    const text = `found a list of ${value.length}; allowed: ${minItems} to ${maxItems} elements`;
    wrong.push({ path: [], text });
  }
  const looked = value.slice(0, maxItems);
  for (const [i, element] of looked.entries()) {
    wrong.push(...below(i, checkLeaf(items, element)));
    if (node.uniqueItems === true && looked.indexOf(element) !== i)
      wrong.push({ path: [i], text: `found ${foundText(element)} twice; allowed: each once` });
  }
  return wrong;
}

function checkTable(node: SchemaNode, value: unknown): readonly WrongValue[] {
  if (!isTable(value)) return wrongUnless(false, node, value);
  const entry = recordValue(node);
  if (entry === undefined) return [];
  return Object.entries(value).flatMap(([key, child]) => below(key, checkLeaf(entry, child)));
}
