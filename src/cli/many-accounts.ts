/**
 * The same work for many accounts: a few at a time, one progress for all, a report per account. One that fails does not stop the
 * others; when the service itself is away, the rest fails as fast.
 */
import type { OnProgress, TransferProgress } from "../wire/transfer-calls.ts";
import type { OptionSpec, Options } from "./command.ts";
import { type CommandError, EXIT, type ExitCode, usageError } from "./exit-codes.ts";
import { wholeOption } from "./numbers.ts";
import type { Progress } from "./progress.ts";
import { parseSize } from "./text.ts";

const DEFAULT_PARALLEL = 4;
export const MAX_PARALLEL = 32;
/** Slowest rate: less would let connections run into their time limits. */
const MIN_RATE = 1024;

export const PARALLEL: OptionSpec = {
  flags: "--parallel <n>",
  description: `accounts at a time, up to ${MAX_PARALLEL}; default ${DEFAULT_PARALLEL}`,
};
export const RATE: OptionSpec = {
  flags: "--rate <bytes>",
  description: "most octets of mail per second, of all accounts together: 500K, 10M; default: no limit",
};
export const ACCOUNTS: OptionSpec = {
  flags: "--accounts <file.csv>",
  description:
    "many accounts; columns account (required), user, password_file, token_file, master_user; first line: their names",
};

/** @throws {CommandError} 64 */
export const parallelOf = (options: Options): number =>
  wholeOption(options, "parallel", DEFAULT_PARALLEL, { min: 1, max: MAX_PARALLEL });

/** Octets per second. @throws {CommandError} 64 */
export function rateOf(options: Options): number | undefined {
  const text = options.text("rate");
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes >= MIN_RATE) return bytes;
  throw usageError(`--rate takes octets per second from ${MIN_RATE}, such as 500K or 10M, not "${text}"`);
}

export interface AccountResult<T> {
  readonly account: string;
  /** Without it the account failed as a whole. */
  readonly report: T | undefined;
  /** Why; "" when there is a report. */
  readonly error: string;
  readonly exitCode: ExitCode;
}

/** @returns in the order of the accounts */
export async function eachAccount<T>(
  accounts: readonly string[],
  parallel: number,
  progress: Progress,
  work: (account: string, index: number, onProgress: OnProgress) => Promise<T>,
  explain: (error: unknown) => CommandError,
): Promise<readonly AccountResult<T>[]> {
  const all = new SharedProgress(progress, accounts.length);
  const results: AccountResult<T>[] = [];
  let next = 0;
  const worker = async () => {
    while (next < accounts.length) {
      const index = next++;
      const account = accounts[index] as string;
      try {
        const report = await work(account, index, step => all.step(account, step));
        results[index] = { account, report, error: "", exitCode: EXIT.ok };
      } catch (error) {
        const { message, exitCode } = explain(error);
        results[index] = { account, report: undefined, error: message, exitCode };
      }
      all.ended(account);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, accounts.length) }, worker));
  return results;
}

/** What all accounts together have done, and would have to by what is known of those that began. */
class SharedProgress {
  readonly #progress: Progress;
  readonly #accounts: number;
  readonly #last = new Map<string, TransferProgress>();
  readonly #sum = { done: 0, total: 0, bytes: 0 };
  #ended = 0;

  constructor(progress: Progress, accounts: number) {
    this.#progress = progress;
    this.#accounts = accounts;
  }

  step(account: string, step: TransferProgress): void {
    this.#take(account, step);
    // Those that did not begin count as much as the others on average.
    const guess = Math.round((this.#sum.total * this.#accounts) / this.#last.size);
    const total = Math.max(this.#sum.done, guess);
    const accounts = { account, accounts: this.#accounts, accounts_done: this.#ended };
    this.#progress.step({ mailbox: step.mailbox, ...this.#sum, total, ...accounts });
  }

  ended(account: string): void {
    this.#ended += 1;
    const last = this.#last.get(account);
    // A count that was a guess is none any more.
    if (last !== undefined) this.#take(account, { ...last, total: last.done });
  }

  #take(account: string, step: TransferProgress): void {
    const before = this.#last.get(account) ?? { done: 0, total: 0, bytes: 0 };
    this.#sum.done += step.done - before.done;
    this.#sum.total += step.total - before.total;
    this.#sum.bytes += step.bytes - before.bytes;
    this.#last.set(account, step);
  }
}

/** Of one account: what failed is not mended by running it again, and comes first. */
export function exitOfTransfer(failed: number, changed: boolean): ExitCode {
  if (failed > 0) return EXIT.failed;
  return changed ? EXIT.changed : EXIT.ok;
}

/** The worst: failed before changed before done. */
export function exitCodeOfAll(codes: readonly ExitCode[]): ExitCode {
  if (codes.every(code => code === EXIT.ok)) return EXIT.ok;
  return codes.every(code => code === EXIT.ok || code === EXIT.changed) ? EXIT.changed : EXIT.failed;
}
