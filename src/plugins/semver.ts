/** Semantic versions (semver.org 2.0.0), as far as manifests need them: order, ceilings with `x`, comparisons of `depends`. */
import { PluginValidationError } from "../core/errors.ts";

interface Version {
  readonly numbers: readonly number[];
  /** Dot-separated identifiers after the dash; empty for a release. */
  readonly pre: readonly string[];
}

function parseVersion(text: string): Version {
  const match = /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/.exec(text);
  if (match === null)
    throw new PluginValidationError(
      "plugin_validation",
      `Cannot read version "${text.slice(0, 64)}": not major.minor.patch`,
    );
  return { numbers: match.slice(1, 4).map(Number), pre: match[4]?.split(".") ?? [] };
}

/** @returns below 0 when a is older, above 0 when newer. Source: semver 2.0.0 §11 */
export function compareVersions(a: string, b: string): number {
  const left = parseVersion(a);
  const right = parseVersion(b);
  for (const [i, number] of left.numbers.entries()) {
    const difference = number - (right.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePre(left.pre, right.pre);
}

function comparePre(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareIdentifiers(a[i] ?? "", b[i] ?? "");
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareIdentifiers(a: string, b: string): number {
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (left && right) return Number(a) - Number(b);
  if (left !== right) return left ? -1 : 1;
  return a === b ? 0 : a < b ? -1 : 1;
}

/** @param ceiling  `0.5.2` (that and older), or with `x`: `0.5.x` is every 0.5 and older */
export function isAtMost(version: string, ceiling: string): boolean {
  if (!ceiling.endsWith(".x")) return compareVersions(version, ceiling) <= 0;
  const limit = ceiling.slice(0, -2).split(".").map(Number);
  const { numbers } = parseVersion(version);
  for (const [i, bound] of limit.entries()) {
    const number = numbers[i] ?? 0;
    if (number !== bound) return number < bound;
  }
  return true;
}

export interface Dependency {
  readonly id: string;
  /** All must hold. */
  readonly ranges: ReadonlyArray<{ readonly operator: string; readonly version: string }>;
}

/** @param text  `other.plugin.id>=1.2.0`, `id>=1.2.0,<2.0.0` or `id` */
export function parseDependency(text: string): Dependency {
  const [id = ""] = /^[a-z0-9.-]+/.exec(text) ?? [];
  const ranges = [...text.slice(id.length).matchAll(/(>=|<=|>|<|=)\s*([0-9.]+)/g)].map(
    ([, operator = "=", version = ""]) => ({
      operator,
      version,
    }),
  );
  return { id, ranges };
}

export function satisfies(version: string, { ranges }: Dependency): boolean {
  return ranges.every(range => {
    const order = compareVersions(version, range.version);
    switch (range.operator) {
      case ">=":
        return order >= 0;
      case "<=":
        return order <= 0;
      case ">":
        return order > 0;
      case "<":
        return order < 0;
      default:
        return order === 0;
    }
  });
}
