/**
 * Checks a parsed TOML document against one of our schemas and collects every error with what was found and what is allowed.
 * Covers the JSON Schema keywords that `wire/` uses and no more (a schema with another one is refused by a test). The schema
 * library's own checker is not used: its texts cannot say what is allowed, and loading it costs a third of a second.
 */
import { nearest } from "../platform/config/suggest.ts";
import { type Finding, type KeyPath, shown } from "./problem.ts";

/** The keywords that count, seen untyped. */
interface Rule {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Rule[];
  readonly properties?: Readonly<Record<string, Rule>>;
  readonly patternProperties?: Readonly<Record<string, Rule>>;
  readonly required?: readonly string[];
  readonly items?: Rule;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxProperties?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Ours: the text for "what is allowed", for values and for the keys of a record. */
  readonly allowed?: string;
  readonly allowedKeys?: string;
}

/** @returns every error, in the order of the document */
export function checkSchema(schema: object, value: unknown, path: KeyPath = []): readonly Finding[] {
  const findings: Finding[] = [];
  check(schema as Rule, value, path, findings);
  return findings;
}

function check(rule: Rule, value: unknown, path: KeyPath, findings: Finding[]): void {
  if (rule.anyOf !== undefined) {
    const tries = rule.anyOf.map(option => checkSchema(option, value, path));
    // One option that fits is enough; the one of the right type gives the better errors.
    if (tries.some(found => found.length === 0)) return;
    const nearestTry = tries.find(found => found.every(finding => finding.path.length > path.length));
    findings.push(...(nearestTry ?? [{ path, found: shown(value), allowed: allowedText(rule) }]));
  } else if (rule.type === "object") checkTable(rule, value, path, findings);
  else if (rule.type === "array") checkList(rule, value, path, findings);
  else if (!isAllowed(rule, value)) findings.push({ path, found: shown(value), allowed: allowedText(rule) });
}

function checkTable(rule: Rule, value: unknown, path: KeyPath, findings: Finding[]): void {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) {
    findings.push({ path, found: shown(value), allowed: "a table" });
    return;
  }
  const properties = rule.properties ?? {};
  const patterns = Object.entries(rule.patternProperties ?? {});
  const entries = Object.entries(value);
  if (entries.length > (rule.maxProperties ?? Number.POSITIVE_INFINITY)) {
    findings.push({ path, found: `${entries.length} keys`, allowed: `at most ${rule.maxProperties}` });
  }
  for (const [key, inner] of entries) {
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const inRule = known ?? patterns.find(([pattern]) => new RegExp(pattern, "u").test(key))?.[1];
    if (inRule !== undefined) check(inRule, inner, [...path, key], findings);
    else findings.push({ path: [...path, key], found: "an unknown key", allowed: allowedKeys(rule, key) });
  }
  for (const key of rule.required ?? []) {
    if (Object.hasOwn(value, key)) continue;
    findings.push({ path: [...path, key], found: "nothing", allowed: allowedText(properties[key] ?? {}) });
  }
}

function allowedKeys(rule: Rule, key: string): string {
  if (rule.properties === undefined) return rule.allowedKeys ?? "other keys";
  const known = Object.keys(rule.properties);
  const near = nearest(key, known);
  return near === undefined ? known.join(", ") : `${known.join(", ")} (did you mean "${near}"?)`;
}

function checkList(rule: Rule, value: unknown, path: KeyPath, findings: Finding[]): void {
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = rule;
  if (!Array.isArray(value)) findings.push({ path, found: shown(value), allowed: allowedText(rule) });
  else if (value.length < minItems || value.length > maxItems) {
    findings.push({ path, found: shown(value), allowed: `a list of ${minItems} to ${maxItems}` });
  } else for (const [i, element] of value.entries()) check(rule.items ?? {}, element, [...path, i], findings);
}

function isAllowed(rule: Rule, value: unknown): boolean {
  if (rule.const !== undefined) return value === rule.const;
  if (rule.enum !== undefined) return rule.enum.includes(value);
  switch (rule.type) {
    case "boolean":
      return typeof value === "boolean";
    case "string":
      return typeof value === "string" && fitsText(rule, value);
    case "integer":
      return Number.isSafeInteger(value) && fitsNumber(rule, Number(value));
    case "number":
      return typeof value === "number" && Number.isFinite(value) && fitsNumber(rule, value);
    default:
      return true;
  }
}

function fitsText(rule: Rule, value: string): boolean {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = rule;
  // The length first: patterns see bounded texts only.
  return (
    value.length >= minLength &&
    value.length <= maxLength &&
    (pattern === undefined || new RegExp(pattern, "u").test(value))
  );
}

function fitsNumber(rule: Rule, value: number): boolean {
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = rule;
  return value >= minimum && value <= maximum;
}

function allowedText(rule: Rule): string {
  if (rule.allowed !== undefined) return rule.allowed;
  if (rule.enum !== undefined) return rule.enum.map(shown).join(", ");
  if (rule.anyOf !== undefined) return rule.anyOf.map(allowedText).join(", or ");
  switch (rule.type) {
    case "boolean":
      return "true, false";
    case "string":
      return `a text of ${rule.minLength ?? 0} to ${rule.maxLength ?? "any"} characters`;
    case "integer":
      return `a whole number from ${rule.minimum ?? "any"} to ${rule.maximum ?? "any"}`;
    case "number":
      return "a number";
    case "array":
      return rule.items === undefined ? "a list" : `a list of: ${allowedText(rule.items)}`;
    case "object":
      return "a table";
    default:
      return "another value";
  }
}
