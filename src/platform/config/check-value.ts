/** Checks one value against its schema. Pure. */
import { checkFormat } from "./formats.ts";
import { allowedText, foundText, isTable, recordValue, type SchemaNode } from "./schema-node.ts";

interface Refused {
  readonly found: string;
  readonly allowed: string;
}

/** @returns what is wrong ("found …; allowed: …"), or undefined. A key that may hold a secret is not quoted. */
export function checkLeaf(node: SchemaNode, value: unknown): string | undefined {
  const refused = refuse(node, value);
  if (refused === undefined) return undefined;
  const found = node.secret === true && typeof value === "string" ? "a text" : refused.found;
  return `found ${found}; allowed: ${refused.allowed}`;
}

function refuseUnless(
  fits: boolean,
  node: SchemaNode,
  value: unknown,
  allowed = allowedText(node),
): Refused | undefined {
  return fits ? undefined : { found: foundText(value), allowed };
}

function refuse(node: SchemaNode, value: unknown): Refused | undefined {
  if (node.anyOf !== undefined) return refuseUnion(node, node.anyOf, value);
  if (node.enum !== undefined) return refuseUnless(node.enum.includes(value), node, value);
  switch (node.type) {
    case "boolean":
      return refuseUnless(typeof value === "boolean", node, value);
    case "integer":
      return refuseInteger(node, value);
    case "string":
      return refuseText(node, value);
    case "array":
      return refuseList(node, value);
    case "object":
      return refuseTable(node, value);
    default:
      return undefined;
  }
}

/** The list among the options speaks for a list, else all of them. */
function refuseUnion(node: SchemaNode, options: readonly SchemaNode[], value: unknown): Refused | undefined {
  if (options.some(option => refuse(option, value) === undefined)) return undefined;
  const lists = Array.isArray(value) ? options.find(option => option.type === "array") : undefined;
  return lists === undefined ? refuseUnless(false, node, value) : refuse(lists, value);
}

function refuseInteger(node: SchemaNode, value: unknown): Refused | undefined {
  const fits =
    typeof value === "number" &&
    Number.isSafeInteger(value) &&
    value >= (node.minimum ?? Number.MIN_SAFE_INTEGER) &&
    value <= (node.maximum ?? Number.MAX_SAFE_INTEGER);
  return refuseUnless(fits, node, value);
}

function refuseText(node: SchemaNode, value: unknown): Refused | undefined {
  if (typeof value !== "string") return refuseUnless(false, node, value);
  if (value === "" && node.default === "") return undefined;
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = node;
  if (value.length < minLength) return refuseUnless(false, node, value, "text that is not empty");
  if (value.length > maxLength) return refuseUnless(false, node, value, `at most ${maxLength} characters`);
  const allowed = node.format === undefined ? undefined : checkFormat(node.format, value);
  return allowed === undefined ? undefined : refuseUnless(false, node, value, allowed);
}

function refuseList(node: SchemaNode, value: unknown): Refused | undefined {
  if (!Array.isArray(value)) return refuseUnless(false, node, value);
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = node;
  if (value.length < minItems || value.length > maxItems)
    return { found: `a list of ${value.length}`, allowed: `${minItems} to ${maxItems} elements` };
  for (const [i, element] of value.entries()) {
    const refused = refuse(node.items ?? {}, element);
    if (refused !== undefined) return { ...refused, found: `${refused.found} in the list` };
    if (node.uniqueItems === true && value.indexOf(element) !== i)
      return { found: `${foundText(element)} twice`, allowed: "each once" };
  }
  return undefined;
}

function refuseTable(node: SchemaNode, value: unknown): Refused | undefined {
  if (!isTable(value)) return refuseUnless(false, node, value);
  const entry = recordValue(node);
  if (entry === undefined) return undefined;
  for (const [key, child] of Object.entries(value)) {
    const refused = refuse(entry, child);
    if (refused !== undefined) return { ...refused, found: `${refused.found} at ${foundText(key)}` };
  }
  return undefined;
}
