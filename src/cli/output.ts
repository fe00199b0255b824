/** Results of commands as table, JSON, JSON lines or tab-separated values: a table on a terminal, tabs when piped. */
import { CommandError, EXIT, usageError } from "./exit-codes.ts";
import type { Terminal } from "./standalone.ts";
import { columnsOf, fit, pad, printable, printableJson } from "./text.ts";

export const FORMATS = ["table", "json", "jsonl", "tab"] as const;
export type Format = (typeof FORMATS)[number];

/** @param asked  `-f`; absent: by where the output goes */
export function formatOf(asked: string | undefined, terminal: Terminal): Format {
  if (asked === undefined) return terminal.isTerminal ? "table" : "tab";
  const known = FORMATS.find(format => format === asked);
  if (known === undefined) throw usageError(`-f takes ${FORMATS.join(", ")}, not "${asked}"`);
  return known;
}

export interface Column<T> {
  readonly title: string;
  /** Made printable here. */
  readonly value: (row: T) => string | number | boolean | null;
  readonly right?: boolean;
  /** Columns that a table may cut when the line is too long; never below this. */
  readonly min?: number;
  /** Instead of `value` in a table: a size in KiB, a time without T. */
  readonly shown?: (row: T) => string;
}

const GAP = "  ";

/** Print a list. `rows` go into json and jsonl as they are. */
export function printRows<T>(
  terminal: Terminal,
  format: Format,
  rows: readonly T[],
  columns: readonly Column<T>[],
): void {
  if (format === "table") printTable(terminal, rows, columns);
  else if (format === "json") terminal.out(`${printableJson(rows, 2)}\n`);
  else if (format === "jsonl") terminal.out(rows.map(row => `${printableJson(row)}\n`).join(""));
  else terminal.out(rows.map(row => `${columns.map(column => cell(column, row)).join("\t")}\n`).join(""));
}

/** Print a report: its rows for people, the whole of it as JSON. */
export function printReport<T>(
  terminal: Terminal,
  format: Format,
  report: unknown,
  rows: readonly T[],
  columns: readonly Column<T>[],
): void {
  if (format !== "json" && format !== "jsonl") printRows(terminal, format, rows, columns);
  else terminal.out(`${printableJson(report, format === "json" ? 2 : undefined)}\n`);
}

/** Print one object: `title: value` lines in a table. */
export function printRecord<T>(
  terminal: Terminal,
  format: Format,
  record: T,
  columns: readonly Column<T>[],
): void {
  if (format === "json") terminal.out(`${printableJson(record, 2)}\n`);
  else if (format !== "table") printRows(terminal, format, [record], columns);
  else {
    const width = Math.max(...columns.map(column => columnsOf(column.title)));
    for (const column of columns) {
      terminal.out(`${dim(terminal, pad(column.title, width))}${GAP}${shownCell(column, record)}\n`);
    }
  }
}

function cell<T>(column: Column<T>, row: T): string {
  const value = column.value(row);
  return value === null ? "" : printable(String(value));
}

function shownCell<T>(column: Column<T>, row: T): string {
  return column.shown === undefined ? cell(column, row) : printable(column.shown(row));
}

function printTable<T>(terminal: Terminal, rows: readonly T[], columns: readonly Column<T>[]): void {
  if (rows.length === 0) {
    terminal.err("none\n");
    return;
  }
  const cells = rows.map(row => columns.map(column => shownCell(column, row)));
  const widths = columns.map((column, i) =>
    Math.max(columnsOf(column.title), ...cells.map(line => columnsOf(line[i] ?? ""))),
  );
  shrink(widths, columns, terminal.columns);
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => pad(fit(text, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.right === true))
      .join(GAP)
      .trimEnd();
  terminal.out(`${bold(terminal, line(columns.map(column => column.title)))}\n`);
  for (const texts of cells) terminal.out(`${line(texts)}\n`);
}

/** Make the table fit the line, at the cost of columns that say how small they may get; widest first. */
function shrink<T>(widths: number[], columns: readonly Column<T>[], lineColumns: number): void {
  const gaps = GAP.length * (columns.length - 1);
  let excess = widths.reduce((sum, width) => sum + width, gaps) - lineColumns;
  while (excess > 0) {
    let widest = -1;
    for (const [i, column] of columns.entries()) {
      const width = widths[i] ?? 0;
      if (column.min !== undefined && width > column.min && width > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
}

export const bold = (terminal: Terminal, text: string): string =>
  terminal.colors ? `\u001b[1m${text}\u001b[22m` : text;
export const dim = (terminal: Terminal, text: string): string =>
  terminal.colors ? `\u001b[2m${text}\u001b[22m` : text;

/** Ask before something is gone for good. @throws {CommandError} 64 without a terminal, 1 when the answer is no */
export async function confirm(terminal: Terminal, yes: boolean, question: string): Promise<void> {
  if (yes) return;
  if (!terminal.canAsk) throw usageError(`${question} Say --yes to do it without being asked.`);
  const { createInterface } = await import("node:readline/promises");
  const asking = createInterface({ input: terminal.stdin, output: terminal.stderr });
  try {
    const answer = await asking.question(`${question} [y/N] `);
    if (!/^y(es)?$/iu.test(answer.trim())) throw new CommandError(EXIT.failed, "nothing was changed");
  } finally {
    asking.close();
  }
}
