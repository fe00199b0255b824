/** `mairust plugin init|lint|test|dev|trigger|record`: for authors of plugins, without the service but where a stored message is read. */
import type { Readable } from "node:stream";
import type { MessageBody } from "../../wire/api/messages.ts";
import type { AuthorTools, TrialMessage } from "../../wire/author-calls.ts";
import { HOOK_POINTS } from "../../wire/config/hooks.ts";
import { callText, eventText, lintReportText, testText, triggerText } from "../author-text.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { openInput } from "../input-file.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRows } from "../output.ts";
import { printableJson } from "../text.ts";

/** Largest message that is read into memory. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

const folderOf = ({ args }: CommandContext): string => args[0] ?? ".";

/** For people unless a format was asked for: these commands show what a table cannot. */
function print(
  { terminal, format, formatAsked }: CommandContext,
  text: string,
  value: unknown,
  rows: () => readonly (readonly string[])[],
): void {
  if (!formatAsked || format === "table") terminal.out(text);
  else if (format === "json") terminal.out(`${printableJson(value, 2)}\n`);
  else if (format === "jsonl") terminal.out(`${printableJson(value)}\n`);
  else printRows(terminal, "tab", rows(), columnsOf(rows()[0]?.length ?? 0));
}

const columnsOf = (count: number): readonly Column<readonly string[]>[] =>
  Array.from({ length: count }, (_, i) => ({ title: String(i), value: row => row[i] ?? "" }));

export async function lint(context: CommandContext): Promise<number> {
  const report = await (await context.standalone.author()).lint(folderOf(context));
  print(context, lintReportText(report, context.terminal), report, () =>
    report.entries.map(({ severity, file, line, key, text }) => [severity, file, String(line), key, text]),
  );
  return report.entries.some(({ severity }) => severity === "error") ? EXIT.badData : EXIT.ok;
}

export async function init(context: CommandContext): Promise<void> {
  const { options, terminal, standalone } = context;
  const tools = await standalone.author();
  const target = requiredArg(context.args, 0, "the name or folder of the plugin");
  const [lang, kind] = [options.text("lang"), options.text("kind")];
  if (lang === undefined) throw usageError(`--lang is missing: ${tools.languages.join(" or ")}`);
  if (kind === undefined) throw usageError(`--kind is missing: ${kindsText(tools)}`);
  const dryRun = options.has("dryRun");
  const report = await tools.init({ target, lang, kind, id: options.text("id"), dryRun });
  const made = dryRun ? "would make" : "made";
  const text = [
    `${made} plugin ${report.id} in ${report.folder}\n`,
    ...report.files.map(file => `  ${file}\n`),
    ...(dryRun
      ? []
      : [
          "\nNow:\n",
          `  cd ${shellWord(report.folder)}\n`,
          "  mairust plugin test\n",
          "  mairust plugin dev\n",
        ]),
  ].join("");
  print({ ...context, terminal }, text, report, () => report.files.map(file => [file]));
}

/** As a shell reads it back. */
const shellWord = (text: string): string =>
  /^[\w./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

const kindsText = ({ kinds }: AuthorTools): string =>
  kinds.map(({ name, description }) => `${name} (${description})`).join(", ");

export async function test(context: CommandContext): Promise<number> {
  const { options, standalone } = context;
  const report = await (await standalone.author()).test({
    folder: folderOf(context),
    names: options.texts("fixture"),
    update: options.has("update"),
    bare: options.has("bare"),
  });
  print(context, testText(report, context.terminal), report, () =>
    report.fixtures.map(({ name, state, ms }) => [name, state, String(ms)]),
  );
  return report.failed > 0 ? EXIT.failed : EXIT.ok;
}

export async function dev(context: CommandContext): Promise<void> {
  const { options, standalone, terminal } = context;
  const tools = await standalone.author();
  const sample = options.text("sample");
  if (sample !== undefined) checkSample(tools, sample);
  const signals = standalone.signals();
  const end = new AbortController();
  const hearing = (async () => {
    while ((await signals.next()) === "SIGHUP");
    end.abort();
  })();
  try {
    await tools.dev({
      folder: folderOf(context),
      sample,
      bare: options.has("bare"),
      signal: end.signal,
      onEvent: event => terminal.out(eventText(event, context)),
    });
  } finally {
    signals.release();
  }
  // Only a signal ends it without an error.
  await hearing;
}

export async function trigger(context: CommandContext): Promise<number> {
  const { options, standalone, terminal } = context;
  const tools = await standalone.author();
  if (options.text("sample") === "list") {
    printRows(terminal, context.format, tools.samples, [
      { title: "SAMPLE", value: sample => sample.name },
      { title: "WHAT IT IS", value: sample => sample.description },
    ]);
    return EXIT.ok;
  }
  const asked = options.text("point");
  const point = HOOK_POINTS.find(known => known === asked);
  if (asked !== undefined && point === undefined)
    throw usageError(`--point takes ${HOOK_POINTS.join(", ")}, not "${asked}"`);
  const report = await tools.trigger({
    folder: folderOf(context),
    message: await trialMessage(context, tools),
    point,
    mailFrom: options.text("from"),
    recipients: options.texts("to"),
    bare: options.has("bare"),
  });
  const { payload, ...rest } = report;
  const value = options.has("payload") ? report : rest;
  const shown = options.has("payload") ? `\n${printableJson(payload, 2)}\n` : "";
  print(context, `${triggerText(report, terminal)}${shown}`, value, () =>
    callText(report).map(([title, text]) => [title, text]),
  );
  return report.verdict.outcome === "ok" ? EXIT.ok : EXIT.failed;
}

function checkSample({ samples }: AuthorTools, name: string): void {
  if (samples.some(sample => sample.name === name)) return;
  throw usageError(
    `there is no sample "${name}"; there are ${samples.map(sample => sample.name).join(", ")}`,
  );
}

async function trialMessage(
  { options, terminal }: CommandContext,
  tools: AuthorTools,
): Promise<TrialMessage> {
  const [file, sample] = [options.text("message"), options.text("sample")];
  if (file !== undefined && sample !== undefined)
    throw usageError("--message and --sample exclude each other");
  if (file !== undefined) return { kind: "file", name: file, bytes: await readMessage(file, terminal.stdin) };
  checkSample(tools, sample ?? "plain");
  return { kind: "sample", name: sample ?? "plain" };
}

export async function record(context: CommandContext): Promise<void> {
  const { options, standalone, args } = context;
  const [id, file] = [args[0], options.text("file")];
  if ((id === undefined) === (file === undefined))
    throw usageError("name a stored message, or a file with --file");
  const source =
    file === undefined ? await storedMessage(context, id ?? "") : await fileMessage(context, file);
  const dryRun = options.has("dryRun");
  const report = await (await standalone.author()).record({
    folder: options.text("plugin") ?? ".",
    name: options.text("name"),
    ...source,
    keepText: options.has("keepText"),
    dryRun,
  });
  const { addresses, words, attachments } = report;
  const text = [
    `${dryRun ? "would make" : "made"} fixture ${report.fixture}\n`,
    ...report.files.map(name => `  ${name}\n`),
    `replaced: ${addresses} addresses, ${words} words and numbers, ${attachments} attachments\n`,
    ...(report.kept_text ? ["subject and texts stay as they are (--keep-text)\n"] : []),
    "look at it before you give it to others\n",
    ...(dryRun ? [] : ["\nNext: mairust plugin test --update\n"]),
  ].join("");
  print(context, text, report, () => report.files.map(name => [name]));
}

interface Source {
  readonly message: Uint8Array;
  readonly mailFrom: string | undefined;
  readonly recipients: readonly string[];
}

async function fileMessage({ terminal }: CommandContext, file: string): Promise<Source> {
  return { message: await readMessage(file, terminal.stdin), mailFrom: undefined, recipients: [] };
}

async function storedMessage({ load }: CommandContext, id: string): Promise<Source> {
  const { client } = await connect(load);
  const path = `/api/v1/messages/${segment(id)}`;
  const { body } = await client.get<MessageBody>(path);
  const raw = await client.stream(`${path}/raw`);
  return {
    message: await readAll(raw.body, id),
    mailFrom: body.mail_from,
    recipients: [...new Set(body.places.map(({ account }) => account))],
  };
}

async function readMessage(file: string, stdin: Readable): Promise<Uint8Array> {
  if (file === "-") return readAll(stdin, "standard input");
  return readAll(await openInput(file), file);
}

async function readAll(stream: AsyncIterable<Uint8Array>, name: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_MESSAGE_BYTES)
      throw new CommandError(EXIT.badData, `${name} has more than ${MAX_MESSAGE_BYTES} bytes`);
  }
  return Buffer.concat(chunks);
}
