/**
 * Progress of long commands on standard error: a bar with the time that is left on a terminal, JSON lines with `--progress=json`,
 * nothing otherwise. Standard output keeps the result alone.
 */
import type { TransferProgress } from "../wire/transfer-calls.ts";
import type { Options } from "./command.ts";
import { usageError } from "./exit-codes.ts";
import type { Terminal } from "./standalone.ts";
import { columnsOf, fit, printable, printableJson, sizeText } from "./text.ts";

/** Between two lines. */
const EVERY_MS = 200;
const BAR_COLUMNS = 24;

export interface Progress {
  step(progress: TransferProgress): void;
  /** The last state; the line is free again. */
  end(): void;
}

/** @throws {CommandError} 64: `--progress` with something else than auto, json or none */
export function progressOf(terminal: Terminal, options: Options): Progress {
  const asked = options.text("progress") ?? "auto";
  if (!["auto", "json", "none"].includes(asked))
    throw usageError(`--progress takes auto, json or none, not "${asked}"`);
  const started = performance.now();
  let shownAt = Number.NEGATIVE_INFINITY;
  let last: TransferProgress | undefined;
  let isShown = false;
  const show = (progress: TransferProgress) => {
    const seconds = (performance.now() - started) / 1000;
    if (asked === "json") terminal.err(`${printableJson(eventOf(progress, seconds))}\n`);
    else terminal.err(`\r\u001b[2K${bar(progress, seconds, terminal.columns)}`);
    isShown = true;
  };
  const isOn = asked === "json" || (asked === "auto" && terminal.isTerminal);
  return {
    step(progress) {
      if (!isOn) return;
      last = progress;
      if (performance.now() - shownAt < EVERY_MS) return;
      shownAt = performance.now();
      show(progress);
    },
    end() {
      if (last !== undefined) show(last);
      if (isShown && asked !== "json") terminal.err("\n");
      last = undefined;
    },
  };
}

function eventOf(progress: TransferProgress, seconds: number) {
  return {
    event: "progress",
    ...progress,
    seconds: Number(seconds.toFixed(1)),
    eta: etaOf(progress, seconds),
  };
}

/** Whole seconds; null while nothing can be said. */
function etaOf({ done, total }: TransferProgress, seconds: number): number | null {
  return done === 0 || seconds < 1 ? null : Math.ceil(((total - done) * seconds) / done);
}

function bar(progress: TransferProgress, seconds: number, columns: number): string {
  const { mailbox, done, total, bytes, account, accounts, accounts_done: ended } = progress;
  const part = total === 0 ? 1 : done / total;
  const full = Math.round(part * BAR_COLUMNS);
  const eta = etaOf(progress, seconds);
  const left = eta === null ? "" : ` ${Math.floor(eta / 60)}:${String(eta % 60).padStart(2, "0")} left`;
  const text = `[${"#".repeat(full)}${"-".repeat(BAR_COLUMNS - full)}] ${Math.floor(part * 100)}% ${done}/${total} ${sizeText(bytes)}${left}${accounts === undefined ? "" : ` ${ended}/${accounts} accounts`}`;
  return `${text} ${fit(printable(account === undefined ? mailbox : `${account} ${mailbox}`), Math.max(0, columns - columnsOf(text) - 2))}`;
}
