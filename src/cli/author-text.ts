/** What authors of plugins read: lint, verdicts against what was expected, calls on trial. Text of mail and plugins is made printable. */
import {
  type CallReport,
  type DevEvent,
  type Difference,
  type FixtureReport,
  type LintReport,
  lintText,
  type TestReport,
  type TriggerReport,
} from "../wire/author-calls.ts";
import type { CommandContext } from "./command.ts";
import { bold, dim } from "./output.ts";
import type { Terminal } from "./standalone.ts";
import { pad, printable, printableJson, sizeText } from "./text.ts";

/** Widest first column of differences and calls. */
const LABEL = 12;

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

export function lintReportText({ file, id, version, entries }: LintReport, terminal: Terminal): string {
  const errors = entries.filter(({ severity }) => severity === "error");
  const lines = entries.map(
    entry =>
      `${entry.severity === "error" ? bold(terminal, "error") : "warning"}: ${printable(lintText(entry))}\n`,
  );
  const name = id === null ? file : `${id} ${version}`;
  const warnings = count(entries.length - errors.length, "warning");
  const sum = errors.length === 0 ? "no errors" : count(errors.length, "error");
  return `${lines.join("")}${printable(name)}: ${sum}, ${warnings}\n`;
}

export function testText(report: TestReport, terminal: Terminal): string {
  const width = Math.max(...report.fixtures.map(({ name }) => name.length));
  const lines = report.fixtures.flatMap(fixture => fixtureLines(fixture, width, terminal));
  const { passed, failed, updated } = report;
  const parts = [
    `${passed} passed`,
    ...(failed > 0 ? [bold(terminal, `${failed} failed`)] : []),
    ...(updated > 0 ? [`${updated} updated`] : []),
  ];
  const notes = report.notes.map(note => `${note}\n`);
  return `${lines.join("")}${notes.join("")}${printable(report.plugin)}: ${parts.join(", ")} in ${report.ms} ms\n`;
}

const MARKS = { passed: "ok     ", failed: "FAILED ", updated: "updated" } as const;

function fixtureLines(
  { name, state, ms, differences, call }: FixtureReport,
  width: number,
  terminal: Terminal,
) {
  const mark = state === "failed" ? bold(terminal, MARKS[state]) : MARKS[state];
  const head = `${mark} ${pad(printable(name), width)}  ${dim(terminal, `${ms} ms`)}\n`;
  if (state === "passed") return [head];
  const log = state === "failed" ? (call?.log ?? []) : [];
  return [
    head,
    ...differences.flatMap(differenceLines),
    ...log.map(line => `    log | ${printable(line)}\n`),
  ];
}

function differenceLines({ what, expected, got }: Difference): readonly string[] {
  return [
    `    ${pad(printable(what), LABEL)} expected  ${printable(expected)}\n`,
    `    ${pad("", LABEL)} got       ${printable(got)}\n`,
  ];
}

/** What a call sent and came to, as titles and texts. */
export function callText({
  point,
  ms,
  payload_bytes: bytes,
  fields,
  verdict,
}: CallReport): ReadonlyArray<readonly [string, string]> {
  const list = (title: string, values: readonly string[]) =>
    values.length === 0 ? [] : ([[title, values.join(", ")]] as const);
  const text = (title: string, value: string | null) => (value === null ? [] : ([[title, value]] as const));
  const metadata = Object.entries(verdict.metadata).map(([key, value]) => `${key}=${printableJson(value)}`);
  return [
    ["point", point],
    [
      "sent",
      bytes === 0
        ? "nothing"
        : `${sizeText(bytes)}: ${fields.length === 0 ? "the envelope of every call" : fields.join(", ")}`,
    ],
    ["time", `${ms} ms`],
    ...(verdict.outcome === "ok" ? [] : ([["outcome", verdict.outcome]] as const)),
    ...text("problem", verdict.problem),
    ...text(
      "verdict",
      verdict.code === null ? verdict.action : `${verdict.action} ${verdict.code} ${verdict.reply ?? ""}`,
    ),
    ...text("reason", verdict.reason),
    ...list("tags", verdict.tags),
    ...list("tags gone", verdict.tags_removed),
    ...list("flags", verdict.flags),
    ...text("folder", verdict.folder),
    ...list("metadata", metadata),
    ...list(
      "headers",
      verdict.headers.map(([name, value]) => `${name}: ${value}`),
    ),
    ...text("appended", verdict.append_text === null ? null : verdict.append_text.plain),
    ...list("bcc", verdict.bcc),
    ...text("explanation", verdict.explanation),
    ...list(
      "denied",
      verdict.denied.map(({ item, why }) => `${item}: ${why}`),
    ),
    ...(verdict.unknown_fields === 0
      ? []
      : ([
          ["ignored", `${count(verdict.unknown_fields, "field")} that the contract does not know`],
        ] as const)),
  ];
}

export function triggerText(report: TriggerReport, terminal: Terminal): string {
  const rows = [["plugin", report.plugin], ["message", report.message], ...callText(report)] as const;
  const lines = rows.map(([title, text]) => `${dim(terminal, pad(title, LABEL))} ${printable(text)}\n`);
  const log = report.log.map(line => `${dim(terminal, pad("log", LABEL))} ${printable(line)}\n`);
  return [...lines, ...log, ...report.notes.map(note => `${note}\n`)].join("");
}

/** One event of `plugin dev`: text, or with `-f json` and `jsonl` one line of JSON. */
export function eventText(event: DevEvent, { terminal, format, formatAsked }: CommandContext): string {
  if (formatAsked && (format === "json" || format === "jsonl")) return `${printableJson(event)}\n`;
  switch (event.kind) {
    case "watching":
      return `watching ${printable(event.folder)}; Ctrl-C ends it\n`;
    case "changed":
      return `\n${bold(terminal, "changed")} ${printable(event.files.join(", "))}\n`;
    case "broken":
      return `${bold(terminal, "broken")}, waiting for the next save\n${event.problems.map(problemText).join("")}`;
    case "log":
      return `log | ${printable(event.line)}\n`;
    case "tested":
      return `${testText(event.report, terminal)}${dim(terminal, sinceText(event.sinceChangeMs))}`;
    case "tried":
      return `${triggerText(event.report, terminal)}${dim(terminal, sinceText(event.sinceChangeMs))}`;
  }
}

const sinceText = (ms: number): string => `${ms} ms after the change was seen\n`;
/** Several lines stay several lines. */
const problemText = (text: string): string => `${text.split("\n").map(printable).join("\n")}\n`;
