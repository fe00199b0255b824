/**
 * Which names files of a package may have. Strict on purpose: what no file system, shell or terminal reads as something else.
 * `_` may stand in front, because Python's packages are made of `__init__.py`.
 */
import { MAX_PACKAGE_PATH } from "../../wire/plugin-package.ts";
import { quoted } from "./problems.ts";

const MAX_LEVELS = 8;
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** @returns why not; undefined: it is a good name. `path` has `/` between levels and none at its end */
export function pathProblem(path: string): string | undefined {
  if (path.length > MAX_PACKAGE_PATH)
    return `the name has ${path.length} characters, at most ${MAX_PACKAGE_PATH} are allowed`;
  if (path.startsWith("/")) return "the name is absolute";
  const names = path.split("/");
  if (names.length > MAX_LEVELS)
    return `it lies ${names.length} levels deep, at most ${MAX_LEVELS} are allowed`;
  const bad = names.find(name => !PLAIN_NAME.test(name));
  if (bad === undefined) return undefined;
  if (bad === "") return "a part of the name is empty";
  return `${quoted(bad)} is no plain name (letters, digits, "_", "-", "."; not "-" or "." in front)`;
}

type Kind = "file" | "folder";

/** The names of one package: finds what would fall on one place on some file system. */
export class PathSet {
  readonly #known = new Map<string, { readonly path: string; readonly kind: Kind }>();
  /** Folders that only their files speak of. */
  readonly #implied = new Set<string>();

  /** @returns what it collides with; undefined: it was added */
  add(path: string, kind: Kind): string | undefined {
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      const other = this.#known.get(folder.toLowerCase());
      if (other === undefined) {
        this.#known.set(folder.toLowerCase(), { path: folder, kind: "folder" });
        this.#implied.add(folder);
      } else if (other.path !== folder) return `it differs from ${quoted(other.path)} only in case`;
      else if (other.kind === "file") return `${quoted(folder)} is a file as well as a folder`;
    }
    const other = this.#known.get(path.toLowerCase());
    if (other !== undefined && other.path !== path)
      return `it differs from ${quoted(other.path)} only in case`;
    if (other !== undefined && other.kind !== kind) return "it is a file as well as a folder";
    if (other !== undefined && !this.#implied.delete(path)) return "it is there twice";
    this.#known.set(path.toLowerCase(), { path, kind });
    return undefined;
  }
}
