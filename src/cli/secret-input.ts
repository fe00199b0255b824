/** A secret from the keyboard, without showing it, or the first line of standard input. */
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { CommandError, EXIT } from "./exit-codes.ts";
import type { Terminal } from "./standalone.ts";

/** Octets of the line: a file that was given by mistake must not be read to its end. */
const MAX_LINE_BYTES = 10_000;

/** @throws {CommandError} 66: no line, or an empty one; 1: two that were typed differ */
export async function readSecret(terminal: Terminal, prompt: string): Promise<string> {
  if (!terminal.canAsk) return notEmpty(await firstLine(terminal.stdin));
  const first = await typed(terminal, prompt);
  if ((await typed(terminal, "Once more: ")) !== first)
    throw new CommandError(EXIT.failed, "the two are not the same; nothing was changed");
  return notEmpty(first);
}

function notEmpty(line: string): string {
  if (line === "") throw new CommandError(EXIT.noInput, "no password on standard input");
  return line;
}

async function firstLine(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    const end = chunk.indexOf(10);
    chunks.push(end === -1 ? chunk : chunk.subarray(0, end));
    bytes += chunk.length;
    if (end !== -1) break;
    if (bytes > MAX_LINE_BYTES)
      throw new CommandError(EXIT.badData, "the first line is too long for a password");
  }
  return Buffer.concat(chunks).toString("utf8").replace(/\r$/u, "");
}

/** What the keyboard gives, shown nowhere: readline edits the line over an output that leads nowhere. */
async function typed({ stdin, stderr }: Terminal, prompt: string): Promise<string> {
  const nowhere = new PassThrough();
  nowhere.resume();
  const reader = createInterface({ input: stdin, output: nowhere, terminal: true });
  stderr.write(prompt);
  try {
    return await new Promise<string>((resolve, reject) => {
      reader.once("line", resolve);
      reader.once("SIGINT", () => reject(new CommandError(EXIT.failed, "nothing was changed")));
      reader.once("close", () => resolve(""));
    });
  } finally {
    reader.close();
    stderr.write("\n");
  }
}
