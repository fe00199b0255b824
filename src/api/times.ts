/** Points in time in requests. */
import { MairustError } from "../core/errors.ts";
import { readTime } from "../wire/message-arguments.ts";

/** @param name  of the member, for the error. @throws {MairustError} `invalid_argument` */
export function timeOf(name: string, text: string): Date {
  const time = readTime(text);
  if (typeof time !== "string") return time;
  const reason = `${name}: ${time}`;
  throw new MairustError("invalid_argument", `Cannot read a time: ${reason}`, { publicText: reason });
}
