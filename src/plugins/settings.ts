/**
 * A plugin's settings: declared in its manifest, set by the administrator, checked here. A URL names a host that the plugin may reach:
 * one that points elsewhere is an attacker's, or a mistake.
 */
import type { SettingValues } from "../core/hook-plugin.ts";
import { isOnList, networkOf } from "../core/plugin-terms.ts";
import type { Manifest, SettingSchema } from "../wire/manifest.ts";
import { type Finding, type KeyPath, shown } from "./problem.ts";

type Value = string | number | boolean;

/**
 * @param settings  declared in the manifest
 * @param given     by the administrator
 * @param limits    of the manifest, for URLs
 * @returns         all values with defaults filled in, or every error; a setting without value and default is left out
 */
export function resolveSettings(
  settings: Manifest["settings"],
  given: Readonly<Record<string, unknown>>,
  limits?: Manifest["limits"],
): { readonly values: SettingValues; readonly findings: readonly Finding[] } {
  const declared = settings ?? {};
  const values: Record<string, Value> = {};
  const findings: Finding[] = [];
  for (const key of Object.keys(given)) {
    if (Object.hasOwn(declared, key)) continue;
    findings.push({
      path: ["settings", key],
      found: "an unknown key",
      allowed: Object.keys(declared).join(", ") || "no settings",
    });
  }
  for (const [key, schema] of Object.entries(declared)) {
    const value = Object.hasOwn(given, key) ? given[key] : schema.default;
    if (value === undefined) continue;
    const problem = settingProblem(schema, value, ["settings", key], limits);
    if (problem !== undefined) findings.push(problem);
    else if (isValue(value)) values[key] = value;
  }
  return { values, findings };
}

/** What was set for a key that this version has no more stays where it is, for a rollback, and is not used. */
export function declaredValues(
  settings: Manifest["settings"],
  values: SettingValues,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => Object.hasOwn(settings ?? {}, key)));
}

/** The declaration itself: bounds, defaults. */
export function declarationFindings({
  settings,
  limits,
}: Pick<Manifest, "settings" | "limits">): readonly Finding[] {
  return Object.entries(settings ?? {}).flatMap(([key, schema]) => {
    const path = ["settings", key];
    const numeric = schema.type === "number" || schema.type === "integer";
    const found: Finding[] = [];
    const add = (name: string, value: unknown, allowed: string) =>
      found.push({ path: [...path, name], found: shown(value), allowed });
    if (schema.type === "enum" && schema.values === undefined)
      add("values", undefined, "the list of values of an enum");
    if (schema.type !== "enum" && schema.values !== undefined)
      add("values", schema.values, "only with type enum");
    if (!numeric && schema.min !== undefined) add("min", schema.min, "only with type number or integer");
    if (!numeric && schema.max !== undefined) add("max", schema.max, "only with type number or integer");
    if ((schema.min ?? Number.NEGATIVE_INFINITY) > (schema.max ?? Number.POSITIVE_INFINITY))
      add("max", schema.max, "at least min");
    if (schema.type === "secret" && schema.default !== undefined)
      add("default", "a text", "a secret has no default");
    else if (schema.default !== undefined) {
      const problem = settingProblem(schema, schema.default, [...path, "default"], limits);
      if (problem !== undefined) found.push(problem);
    }
    return found;
  });
}

function isValue(value: unknown): value is Value {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** Longest text value, in UTF-16 units. */
const MAX_TEXT = 65_536;

function settingProblem(
  schema: SettingSchema,
  value: unknown,
  path: KeyPath,
  limits: Manifest["limits"],
): Finding | undefined {
  const allowed = allowedFor(schema);
  // A secret that does not fit is not repeated in an error.
  if (fits(schema, value) && schema.type === "url") return hostProblem(value, path, limits);
  return fits(schema, value)
    ? undefined
    : { path, found: schema.type === "secret" ? "another type" : shown(value), allowed };
}

function hostProblem(value: unknown, path: KeyPath, limits: Manifest["limits"]): Finding | undefined {
  if (isOnList(networkOf(limits), new URL(String(value)))) return undefined;
  const listed = (limits?.network_allow ?? []).join(", ");
  return { path, found: shown(value), allowed: `a host of limits.network_allow: ${listed || "none"}` };
}

function fits(schema: SettingSchema, value: unknown): boolean {
  switch (schema.type) {
    case "boolean":
      return typeof value === "boolean";
    case "integer":
      return Number.isSafeInteger(value) && inBounds(schema, Number(value));
    case "number":
      return typeof value === "number" && Number.isFinite(value) && inBounds(schema, value);
    case "enum":
      return typeof value === "string" && (schema.values ?? []).includes(value);
    case "url":
      return (
        typeof value === "string" &&
        URL.canParse(value) &&
        ["http:", "https:"].includes(new URL(value).protocol)
      );
    case "string":
    case "secret":
      return typeof value === "string" && value.length <= MAX_TEXT;
  }
}

function inBounds(
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: SettingSchema,
  value: number,
): boolean {
  return value >= min && value <= max;
}

/** For people. */
export function allowedFor(schema: SettingSchema): string {
  switch (schema.type) {
    case "boolean":
      return "true, false";
    case "integer":
    case "number":
      return `a${schema.type === "integer" ? " whole" : ""} number from ${schema.min ?? "any"} to ${schema.max ?? "any"}`;
    case "enum":
      return (schema.values ?? []).map(shown).join(", ");
    case "url":
      return "an http:// or https:// URL";
    case "string":
    case "secret":
      return `a text of at most ${MAX_TEXT} characters`;
  }
}
