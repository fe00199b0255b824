/** A file that a command reads to its end as a stream; what cannot be read is said before anything is sent. */
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { CommandError, EXIT } from "./exit-codes.ts";
import { printable } from "./text.ts";

/** @throws {CommandError} 66 */
export async function openInput(path: string): Promise<Readable> {
  const fail = (why: string, cause?: unknown) =>
    new CommandError(EXIT.noInput, `cannot read ${printable(path)} (${why})`, cause);
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    throw fail(error.code ?? error.message, error);
  });
  // A folder opens, and fails with the first read.
  if (!(await file.stat()).isDirectory()) return file.createReadStream();
  await file.close();
  throw fail("it is a folder");
}
