/** Times in query strings. */
import { MairustError } from "../core/errors.ts";
import { readTime } from "../wire/message-arguments.ts";

/**
 * @param what  is listed, for the error
 * @param name  of the parameter
 * @throws {MairustError} `invalid_argument`
 */
export function timeOf(what: string, name: string, text: string): Date {
  const time = readTime(text);
  if (typeof time !== "string") return time;
  const reason = `${name}: ${time}`;
  throw new MairustError("invalid_argument", `Cannot list ${what}: ${reason}`, { publicText: reason });
}
