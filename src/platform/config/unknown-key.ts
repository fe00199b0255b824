/** The error text for a key that the schema does not know, with the one that was probably meant. */
import { type KeyPath, keyText } from "./problem.ts";
import { childOf, ROOT, type SchemaNode, shapeOf } from "./schema-node.ts";
import { nearest } from "./suggest.ts";

/** @param path  of the unknown key: all but its last segment are known */
export function unknownKeyText(path: KeyPath): string {
  const suggestion = suggest(path);
  return suggestion === undefined ? "unknown key" : `unknown key; did you mean "${suggestion}"?`;
}

/** A sibling with a similar name, else the only key elsewhere that has exactly this name. */
function suggest(path: KeyPath): string | undefined {
  const name = path.at(-1);
  if (typeof name !== "string") return undefined;
  const above = path.slice(0, -1);
  let node: SchemaNode | undefined = ROOT;
  for (const segment of above) node = node === undefined ? undefined : childOf(node, segment);
  const near = nearest(name, Object.keys(node?.properties ?? {}));
  if (near !== undefined) return keyText([...above, near]);
  const elsewhere = keysNamed(ROOT, name, []);
  return elsewhere.length === 1 ? elsewhere[0] : undefined;
}

function keysNamed(node: SchemaNode, name: string, path: KeyPath): readonly string[] {
  const found: string[] = [];
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (key === name) found.push(keyText([...path, key]));
    if (shapeOf(child).kind === "table") found.push(...keysNamed(child, name, [...path, key]));
  }
  return found;
}
