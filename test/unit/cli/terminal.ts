/** A terminal that keeps what is printed, and surroundings whose parts may not be used unless a test brings them. */
import { PassThrough, Readable } from "node:stream";
import type { Standalone, Surroundings, Terminal } from "../../../src/cli/standalone.ts";

export interface Captured extends Terminal {
  readonly printed: () => string;
  readonly complained: () => string;
}

export function captured(
  options: Partial<Pick<Terminal, "isTerminal" | "columns" | "colors">> & { stdin?: Buffer } = {},
): Captured {
  const texts = { out: "", err: "" };
  const stdout = new PassThrough();
  stdout.on("data", chunk => {
    texts.out += chunk.toString("latin1");
  });
  return {
    stdin: Readable.from(options.stdin === undefined ? [] : [options.stdin]),
    stdout,
    stderr: new PassThrough(),
    out: text => {
      texts.out += text;
    },
    err: text => {
      texts.err += text;
    },
    isTerminal: options.isTerminal ?? false,
    canAsk: false,
    columns: options.columns ?? 100,
    colors: options.colors ?? false,
    printed: () => texts.out,
    complained: () => texts.err,
  };
}

const refuse = () => Promise.reject(new Error("not in this test"));

export function surroundings(
  terminal: Terminal,
  standalone: Partial<Standalone> = {},
  env = {},
): Surroundings {
  return {
    terminal,
    env,
    standalone: {
      compose: refuse,
      migrations: refuse,
      devSite: refuse,
      demo: refuse,
      transfer: refuse,
      loss: refuse,
      site: refuse,
      author: refuse,
      packages: refuse,
      signals: () => ({ next: refuse, release: () => undefined }),
      ...standalone,
    },
  };
}
