/**
 * TOML with positions: `smol-toml` reads the values, `toml-eslint-parser` (loaded only when there is a file) says where each
 * stands, because the fast parser keeps no positions. A syntax error is reported alone for its file.
 */
import { parse, TomlError } from "smol-toml";
import type { AST } from "toml-eslint-parser";
import { type KeyPath, keyText } from "./problem.ts";

export interface Position {
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

export type TomlTable = Readonly<Record<string, unknown>>;

/** Deepest nesting of inline tables and lists in a configuration file. */
const MAX_DEPTH = 32;

export class TomlSyntaxError extends Error {
  readonly position: Position;

  constructor(message: string, position: Position) {
    super(message);
    this.position = position;
  }
}

/**
 * @returns the document as plain objects
 * @throws {TomlSyntaxError} with the position of the first error
 */
export function parseToml(source: string): TomlTable {
  try {
    return parse(source, { maxDepth: MAX_DEPTH, unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n", 1)[0] ?? error.message;
    throw new TomlSyntaxError(reason.replace(/^Invalid TOML document: /, ""), {
      line: error.line,
      column: error.column,
    });
  }
}

/** Where the keys of one document stand. */
export class PositionIndex {
  readonly #byKey = new Map<string, Position>();

  /** @returns where the key, or the nearest table above it, is named first */
  find(path: KeyPath): Position {
    for (let length = path.length; length > 0; length--) {
      const found = this.#byKey.get(keyText(path.slice(0, length)));
      if (found !== undefined) return found;
    }
    return { line: 1, column: 1 };
  }

  add(path: KeyPath, node: AST.TOMLNode): void {
    const key = keyText(path);
    const { line, column } = node.loc.start;
    if (!this.#byKey.has(key)) this.#byKey.set(key, { line, column: column + 1 });
  }
}

/** The fast parser passes over it, the one with positions does not. */
const BYTE_ORDER_MARK = /^\ufeff/u;

/**
 * @param source  a document that {@link parseToml} accepts
 * @throws {TomlSyntaxError} the two parsers differ: this one is the stricter (`1979-05- 7` is a date to the other)
 */
export async function indexPositions(source: string): Promise<PositionIndex> {
  const index = new PositionIndex();
  for (const node of (await parseWithPositions(source)).body[0].body) {
    if (node.type === "TOMLKeyValue") indexKeyValue(index, [], node);
    else {
      indexKey(index, node.resolvedKey.slice(0, node.resolvedKey.length - node.key.keys.length), node.key);
      index.add(node.resolvedKey, node);
      for (const entry of node.body) indexKeyValue(index, node.resolvedKey, entry);
    }
  }
  return index;
}

async function parseWithPositions(source: string): Promise<AST.TOMLProgram> {
  const { parseTOML, ParseError } = await import("toml-eslint-parser");
  try {
    return parseTOML(source.replace(BYTE_ORDER_MARK, ""));
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw new TomlSyntaxError(error.message, { line: error.lineNumber, column: error.column + 1 });
  }
}

/** Index every prefix of a dotted key. @returns the full path */
function indexKey(index: PositionIndex, base: KeyPath, key: AST.TOMLKey): KeyPath {
  let path = base;
  for (const part of key.keys) {
    path = [...path, part.type === "TOMLBare" ? part.name : part.value];
    index.add(path, part);
  }
  return path;
}

function indexKeyValue(index: PositionIndex, base: KeyPath, node: AST.TOMLKeyValue): void {
  indexValue(index, indexKey(index, base, node.key), node.value);
}

function indexValue(index: PositionIndex, path: KeyPath, node: AST.TOMLContentNode): void {
  if (node.type === "TOMLInlineTable") for (const entry of node.body) indexKeyValue(index, path, entry);
  if (node.type !== "TOMLArray") return;
  for (const [i, element] of node.elements.entries()) {
    index.add([...path, i], element);
    indexValue(index, [...path, i], element);
  }
}
