/**
 * A view of the TypeBox schema as what it is at run time, JSON Schema, with the four shapes a configuration has: tables, tables
 * by name (`[domains."x"]`), lists of tables (`[[hooks]]`) and leaves. Values are checked by a
 * walk over it (`check-value.ts`): compiling the schema with the library would cost more than the rest of the start.
 */
import { configSchema } from "../../wire/config/schema.ts";

export interface SchemaNode {
  /** The library's own mark: not enumerable, absent in plain JSON. */
  readonly "~kind"?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly propertyNames?: SchemaNode;
  readonly required?: readonly string[] | undefined;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly secret?: boolean;
  readonly format?: string;
  /** With `allowed`, which says it in words. */
  readonly pattern?: string;
  readonly allowed?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
}

export const ROOT: SchemaNode = configSchema;

export type NodeShape =
  | { readonly kind: "table"; readonly properties: Readonly<Record<string, SchemaNode>> }
  | { readonly kind: "named_tables"; readonly entry: SchemaNode; readonly names: SchemaNode | undefined }
  | { readonly kind: "table_list"; readonly entry: SchemaNode }
  | { readonly kind: "leaf" };

/** The value schema of a `Record`. */
export function recordValue(node: SchemaNode): SchemaNode | undefined {
  return node.patternProperties === undefined ? undefined : Object.values(node.patternProperties)[0];
}

export function shapeOf(node: SchemaNode): NodeShape {
  if (node.properties !== undefined) return { kind: "table", properties: node.properties };
  const entry = recordValue(node);
  if (entry?.properties !== undefined) return { kind: "named_tables", entry, names: node.propertyNames };
  if (node.items?.properties !== undefined) return { kind: "table_list", entry: node.items };
  return { kind: "leaf" };
}

/** @returns the child that stands for a segment of a key, or undefined */
export function childOf(node: SchemaNode, segment: string | number): SchemaNode | undefined {
  const shape = shapeOf(node);
  switch (shape.kind) {
    case "table":
      return Object.hasOwn(shape.properties, segment) ? shape.properties[segment] : undefined;
    case "named_tables":
    case "table_list":
      return shape.entry;
    case "leaf":
      return undefined;
  }
}

/** A fresh table with every default of the schema; keys without one are absent. */
export function defaultsOf(node: SchemaNode): Record<string, unknown> {
  const table: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (child.properties !== undefined) table[key] = defaultsOf(child);
    // Looked up with names from mail: "constructor" must not be found.
    else if (shapeOf(child).kind === "named_tables") table[key] = Object.create(null);
    else if (child.default !== undefined) table[key] = structuredClone(child.default);
  }
  return table;
}

/** Keys that somebody must set: no default, not optional. */
export function requiredKeys(node: SchemaNode): readonly string[] {
  return (node.required ?? []).filter(key => {
    const child = node.properties?.[key];
    return child !== undefined && child.properties === undefined && child.default === undefined;
  });
}

/** True when only text fits, so that an override needs no quotes. */
export function isTextOnly(node: SchemaNode): boolean {
  return node.type === "string" || (node.enum?.every(value => typeof value === "string") ?? false);
}

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

const words = (values: readonly unknown[]): string => values.map(value => JSON.stringify(value)).join(", ");

/** @returns what the node allows, as the end of a sentence */
export function allowedText(node: SchemaNode): string {
  if (node.allowed !== undefined) return node.allowed;
  if (node.enum !== undefined)
    return node.enum.length === 1 ? words(node.enum) : `one of ${words(node.enum)}`;
  if (node.anyOf !== undefined) return node.anyOf.map(allowedText).join(", or ");
  switch (node.type) {
    case "boolean":
      return "true or false";
    case "integer":
      return `a whole number from ${node.minimum ?? "any"} to ${node.maximum ?? "any"}`;
    case "string":
      return "text";
    case "array": {
      const count =
        node.minItems === undefined
          ? ""
          : `${node.minItems} to ${node.maxItems ?? "any number of"} elements, `;
      return shapeOf(node).kind === "table_list"
        ? "a list of tables"
        : `a list (${count}each ${allowedText(node.items ?? {})})`;
    }
    default: {
      const value = recordValue(node);
      return value?.type === "string" ? "a table of texts" : "a table";
    }
  }
}

const MAX_SHOWN = 80;

/** @returns a value as an error shows it: short, on one line */
export function foundText(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (isTable(value)) return "a table";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
