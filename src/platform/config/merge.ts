/**
 * Puts one layer of the configuration over what is there: checks every value against the schema, notes where each came from, and
 * goes on after an error, so that all of them are reported together. Values that fail leave the one below in place.
 */
import { findNotBuilt, isKeyRefused, type NotBuilt } from "../../wire/config/not-built.ts";
import { checkLeaf, foundAt, type WrongValue } from "./check-value.ts";
import { checkFormat } from "./formats.ts";
import { type ConfigProblem, type KeyPath, keyText, type Origin, problem } from "./problem.ts";
import { defaultsOf, foundText, isTable, requiredKeys, type SchemaNode, shapeOf } from "./schema-node.ts";
import { unknownKeyText } from "./unknown-key.ts";

/** What grows while the layers are put over each other. */
export interface MergeState {
  /** The effective tree so far. */
  readonly tree: Record<string, unknown>;
  /** By dotted key: leaves, and the tables of `[domains."x"]` and `[[hooks]]`. Keys that are not here have their default. */
  readonly origins: Map<string, Origin>;
  readonly problems: ConfigProblem[];
}

export interface Layer {
  /** Where a key of this layer stands. `path` is the layer's own: indexes of lists count from its own first element. */
  locate(path: KeyPath): Origin;
  /** True: a list of tables takes the place of what lower layers set (environment, `-o`); false: it is appended to (files). */
  readonly replacesLists: boolean;
}

/** Where a merge stands: in the effective tree, and in the layer. */
interface Cursor {
  readonly path: KeyPath;
  readonly local: KeyPath;
}

const step = (at: Cursor, segment: string | number): Cursor => ({
  path: [...at.path, segment],
  local: [...at.local, segment],
});

/** Put a whole document over the state. */
export function mergeDocument(
  state: MergeState,
  layer: Layer,
  root: SchemaNode,
  document: Readonly<Record<string, unknown>>,
): void {
  new LayerMerge(state, layer).table(root, state.tree, document, { path: [], local: [] });
}

class LayerMerge {
  readonly #state: MergeState;
  readonly #layer: Layer;

  constructor(state: MergeState, layer: Layer) {
    this.#state = state;
    this.#layer = layer;
  }

  #fail(at: Cursor, text: string): void {
    this.#state.problems.push(problem(this.#layer.locate(at.local), keyText(at.path), text));
  }

  table(
    node: SchemaNode,
    target: Record<string, unknown>,
    value: Readonly<Record<string, unknown>>,
    at: Cursor,
  ): void {
    for (const [key, child] of Object.entries(value)) {
      const childNode = Object.hasOwn(node.properties ?? {}, key) ? node.properties?.[key] : undefined;
      const childAt = step(at, key);
      if (childNode === undefined) this.#fail(childAt, unknownKeyText(childAt.path));
      else this.value(childNode, target, key, child, childAt);
    }
  }

  value(node: SchemaNode, parent: Record<string, unknown>, key: string, value: unknown, at: Cursor): void {
    const shape = shapeOf(node);
    switch (shape.kind) {
      case "leaf":
        this.#leaf(node, parent, key, value, at);
        break;
      case "table":
        if (isTable(value)) this.table(node, tableAt(parent, key, node), value, at);
        else this.#wrongKind(at, value, "a table");
        break;
      case "named_tables":
        if (isTable(value)) this.#namedTables(shape.entry, shape.names, tableAt(parent, key), value, at);
        else this.#wrongKind(at, value, "tables by name");
        break;
      case "table_list":
        if (Array.isArray(value)) this.#tableList(node, shape.entry, parent, key, value, at);
        else this.#wrongKind(at, value, "a list of tables");
        break;
    }
  }

  #wrongKind(at: Cursor, value: unknown, allowed: string): void {
    this.#fail(at, `found ${foundText(value)}; allowed: ${allowed}`);
  }

  #leaf(node: SchemaNode, parent: Record<string, unknown>, key: string, value: unknown, at: Cursor): void {
    const wrong = wrongIn(node, value, at.path);
    if (wrong.length === 0) {
      parent[key] = value;
      this.#state.origins.set(keyText(at.path), this.#layer.locate(at.local));
    }
    for (const { path, text } of wrong) this.#fail(path.reduce(step, at), text);
  }

  #namedTables(
    entry: SchemaNode,
    names: SchemaNode | undefined,
    target: Record<string, unknown>,
    value: Readonly<Record<string, unknown>>,
    at: Cursor,
  ): void {
    for (const [name, table] of Object.entries(value)) {
      const entryAt = step(at, name);
      const allowed = names?.format === undefined ? undefined : checkFormat(names.format, name);
      if (allowed !== undefined)
        this.#fail(entryAt, `found the name ${foundText(name)}; allowed: ${allowed}`);
      if (!isTable(table)) this.#wrongKind(entryAt, table, "a table");
      // What is wrong inside is said as well, but the table itself goes nowhere.
      else if (allowed !== undefined) this.table(entry, defaultsOf(entry), table, entryAt);
      else {
        const origin = this.#layer.locate(entryAt.local);
        if (!Object.hasOwn(target, name)) this.#state.origins.set(keyText(entryAt.path), origin);
        this.table(entry, tableAt(target, name, entry), table, entryAt);
      }
    }
  }

  #tableList(
    node: SchemaNode,
    entry: SchemaNode,
    parent: Record<string, unknown>,
    key: string,
    value: readonly unknown[],
    at: Cursor,
  ): void {
    const current = parent[key];
    const list: unknown[] = !this.#layer.replacesLists && Array.isArray(current) ? current : [];
    parent[key] = list;
    if (list.length === 0) this.#forget(keyText(at.path));
    for (const [i, table] of value.entries()) {
      const entryAt: Cursor = { path: [...at.path, list.length], local: [...at.local, i] };
      if (list.length >= (node.maxItems ?? Number.POSITIVE_INFINITY)) {
        this.#fail(entryAt, `found one more; allowed: at most ${node.maxItems}`);
        break;
      }
      if (isTable(table)) list.push(this.#listEntry(entry, table, entryAt));
      else this.#wrongKind(entryAt, table, "a table");
    }
  }

  #listEntry(
    entry: SchemaNode,
    table: Readonly<Record<string, unknown>>,
    at: Cursor,
  ): Record<string, unknown> {
    const made = defaultsOf(entry);
    this.#state.origins.set(keyText(at.path), this.#layer.locate(at.local));
    this.table(entry, made, table, at);
    for (const required of requiredKeys(entry)) {
      if (!Object.hasOwn(table, required)) this.#fail(step(at, required), "is missing");
    }
    return made;
  }

  /** Origins of list elements that are replaced. */
  #forget(list: string): void {
    for (const key of [...this.#state.origins.keys()]) {
      if (key.startsWith(`${list}[`)) this.#state.origins.delete(key);
    }
  }
}

/** A value that its schema refuses or that asks for what is not built, element by element. */
function wrongIn(node: SchemaNode, value: unknown, path: KeyPath): readonly WrongValue[] {
  const refusal = findNotBuilt(path, value);
  if (refusal !== undefined && isKeyRefused(refusal)) return [notBuilt([], node, value, refusal)];
  const wrong = checkLeaf(node, value);
  if (refusal === undefined) return wrong;
  if (!Array.isArray(value)) return wrong.length > 0 ? wrong : [notBuilt([], node, value, refusal)];
  const missing = value.flatMap((element: unknown, i) => {
    const refused = findNotBuilt(path, [element]);
    return refused === undefined ? [] : [notBuilt([i], node.items ?? {}, element, refused)];
  });
  // An element with an error of its own has one already.
  return [...wrong, ...missing.filter(one => !wrong.some(other => other.path[0] === one.path[0]))];
}

function notBuilt(path: KeyPath, node: SchemaNode, value: unknown, { missing }: NotBuilt): WrongValue {
  return { path, text: `found ${foundAt(node, value)}: ${missing} is not built in this version` };
}

/** The table at `parent[key]`, made with the defaults of `node` when it is not there yet. */
function tableAt(parent: Record<string, unknown>, key: string, node?: SchemaNode): Record<string, unknown> {
  const present = Object.hasOwn(parent, key) ? parent[key] : undefined;
  if (isTable(present)) return present as Record<string, unknown>;
  const made = node === undefined ? {} : defaultsOf(node);
  parent[key] = made;
  return made;
}
