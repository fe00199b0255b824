/** What else comes out of the schema: the JSON Schema for editors, and a file with every key, its default and its description. */
import { configSchema } from "../../wire/config/schema.ts";
import { keyText } from "./problem.ts";
import { isTable, ROOT, requiredKeys, type SchemaNode, shapeOf } from "./schema-node.ts";
import { tomlText } from "./show.ts";

/** JSON Schema (2020-12) of the file: what has a default may be left out. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const plain: unknown = JSON.parse(JSON.stringify(configSchema));
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...relax(ROOT, plain) };
}

function relax(node: SchemaNode, plain: unknown): Record<string, unknown> {
  if (!isTable(plain)) return {};
  const out: Record<string, unknown> = { ...plain };
  if (node.properties !== undefined && isTable(plain.properties)) {
    const plainProperties = plain.properties;
    out.properties = Object.fromEntries(
      Object.entries(node.properties).map(([key, child]) => [key, relax(child, plainProperties[key])]),
    );
    out.required = requiredKeys(node);
  }
  const shape = shapeOf(node);
  if (shape.kind === "table_list") out.items = relax(shape.entry, plain.items);
  if (shape.kind === "named_tables" && isTable(plain.patternProperties)) {
    out.patternProperties = Object.fromEntries(
      Object.entries(plain.patternProperties).map(([key, child]) => [key, relax(shape.entry, child)]),
    );
  }
  return out;
}

/** Names for the tables that have none of their own. */
const EXAMPLE_NAMES: Readonly<Record<string, string>> = {
  domains: "example.com",
  plugin: "com.example.mairust.spam-filter",
};

/** @returns a configuration file in which every key stands with its default, commented out */
export function configReference(): string {
  return `# ${ROOT.description ?? ""}\n\n${tableBody(ROOT, "")}`;
}

function tableBody(node: SchemaNode, prefix: string): string {
  const entries = Object.entries(node.properties ?? {});
  const leaves = entries.filter(([, child]) => shapeOf(child).kind === "leaf");
  const tables = entries.filter(([, child]) => shapeOf(child).kind !== "leaf");
  return (
    leaves.map(([key, child]) => leafText(key, child)).join("") +
    tables.map(entry => tableText(...entry, prefix)).join("")
  );
}

function leafText(key: string, node: SchemaNode): string {
  const value =
    node.default === undefined || node.default === "" ? (node.examples?.[0] ?? node.default) : node.default;
  const allowed = node.enum === undefined ? "" : ` (${node.enum.map(String).join(" | ")})`;
  return `# ${node.description ?? ""}${allowed}\n#${key} = ${tomlText(value ?? node.enum?.[0] ?? false)}\n`;
}

function tableText(key: string, node: SchemaNode, prefix: string): string {
  const path = prefix === "" ? key : `${prefix}.${key}`;
  const shape = shapeOf(node);
  const title = `\n# ${node.description ?? ""}\n`;
  switch (shape.kind) {
    case "table":
      return `${title}[${path}]\n${tableBody(node, path)}`;
    case "named_tables": {
      const name = `${path}.${keyText([EXAMPLE_NAMES[key] ?? "name"])}`;
      return `${title}#[${name}]\n${commented(tableBody(shape.entry, name))}`;
    }
    case "table_list":
      return `${title}#[[${path}]]\n${commented(tableBody(shape.entry, path))}`;
    case "leaf":
      return leafText(key, node);
  }
}

/** Headers of tables inside an example are comments too. */
function commented(body: string): string {
  return body.replaceAll(/^\[/gm, "#[");
}
