/** Reading untrusted JSON values of an answer: wrong shapes throw {@link Malformed}, which never leaves `answer.ts`. */

/** The answer breaks the contract: all of it is void. */
export class Malformed extends Error {}

/** One part of an answer that was dropped alone. */
export interface DeniedItem {
  /** Field of the answer, e.g. `tags.add`. */
  readonly item: string;
  /** Never holds the plugin's own text. */
  readonly why: string;
  /** Within the grant, but over a cap. */
  readonly reason?: "cap";
}

export type Deny = (item: string, why: string) => void;

export type RawObject = Readonly<Record<string, unknown>>;

export function isText(value: unknown): value is string {
  return typeof value === "string";
}

export function ownKeys(object: RawObject): readonly string[] {
  return Object.keys(object);
}

/** @throws {Malformed} unless `value` is a JSON object */
export function readObject(value: unknown, name: string): RawObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Malformed(`${name} is not an object`);
  return value as RawObject;
}

/** @returns a list of texts, empty when absent. @throws {Malformed} for anything else */
export function readStrings(value: unknown, name: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every(isText)) throw new Malformed(`${name} is not a list of texts`);
  return value;
}

/** C0, DEL and C1 controls, line and paragraph separators. */
export function hasControls(text: string): boolean {
  return /[\p{Cc}\u2028\u2029]/u.test(text);
}

/** A UTF-16 surrogate without its partner: no valid Unicode text. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Cs}/u.test(text);
}
