/** Options that are times: RFC 3339, or how long ago. */
import { readTime } from "../wire/message-arguments.ts";
import { usageError } from "./exit-codes.ts";

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns RFC 3339. @throws {CommandError} 64 */
export function timeOption(name: string, text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  const [, count, unit = ""] = /^(\d{1,5})([mhd])$/u.exec(text) ?? [];
  if (count !== undefined) return new Date(now - Number(count) * (UNIT_MS[unit] ?? 0)).toISOString();
  const time = readTime(text);
  if (typeof time === "string") throw usageError(`--${name}: ${time}, and not like 30m, 12h or 7d`);
  return text;
}
