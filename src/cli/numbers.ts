/** Option values that are numbers or sizes. */
import type { Options } from "./command.ts";
import { usageError } from "./exit-codes.ts";
import { parseSize } from "./text.ts";

/** @throws {CommandError} 64 */
export function wholeOption(
  options: Options,
  name: string,
  fallback: number,
  bounds: { readonly min: number; readonly max: number },
): number {
  const text = options.text(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d{1,10}$/u.test(text) && value >= bounds.min && value <= bounds.max) return value;
  throw usageError(`--${name} takes a whole number from ${bounds.min} to ${bounds.max}, not "${text}"`);
}

/** @throws {CommandError} 64 */
export function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw usageError(`"${text}" is no size such as 500M, 2G or none`);
}

/** @throws {CommandError} 64 */
export function requiredArg(args: readonly (string | undefined)[], index: number, name: string): string {
  const value = args[index];
  if (value === undefined || value === "") throw usageError(`${name} is missing`);
  return value;
}
