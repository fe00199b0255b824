/**
 * The command line: argv to a command, and whatever happens to one exit code and a readable text on standard error.
 * Only commander and the table of commands are loaded here.
 */
import { Command, CommanderError } from "commander";
import { type CommandSpec, Options } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { CommandError, EXIT, exitCodeOf, usageError } from "./exit-codes.ts";
import { FORMATS, formatOf } from "./output.ts";
import type { Surroundings } from "./standalone.ts";
import { printableLines } from "./text.ts";

const GROUPS: Readonly<Record<string, string>> = {
  account: "accounts, aliases, quotas",
  "account alias": "further addresses of an account",
  bypass: "no plugin is called for a while",
  config: "the configuration",
  domain: "our domains",
  export: "mail of an account into files",
  dkim: "keys that mail we send is signed with",
  held: "mail that waits for a decision",
  key: "the key that secrets are kept with",
  hook: "who is called where in the mail path",
  import: "mail from elsewhere into an account",
  job: "what is done after the commit, and again when it failed",
  migrate: "database migrations",
  msg: "stored messages",
  plugin: "plugins: write, review, install and run them, and whom we trust",
  stage: "how far a domain or an account has moved, and moving it",
  "plugin keys": "keys of people and marketplaces that we trust to vouch for plugins",
};

const EXAMPLES = `
Examples:
  mairust demo --once                  see real mail go through all of it
  mairust domain add example.com --auto
  mairust explain 4WsRJ55TZyz1J2k      what happened to a message
  mairust help msg add                 how to call one command
`;

/**
 * @param args  without node and script
 * @returns     the exit code; everything is printed
 */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { terminal } = surroundings;
  const exit = { code: EXIT.ok as number };
  try {
    if (args.length === 1 && (args[0] === "-V" || args[0] === "--version")) {
      const { packageVersion } = await import("../platform/package-root.ts");
      terminal.out(`mairust ${packageVersion()}\n`);
      return EXIT.ok;
    }
    const program = buildProgram(surroundings, code => {
      exit.code = code;
    });
    if (args.length === 0) {
      terminal.out(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync(withNegatedTerms(args), { from: "user" });
    return exit.code;
  } catch (error) {
    return report(error, surroundings);
  }
}

/**
 * `msg search -from:robot` would be read as `-f rom:robot`: terms of that form go behind `--`, where nothing is an option. The order
 * of terms means nothing.
 */
function withNegatedTerms(args: readonly string[]): string[] {
  const msg = args.indexOf("msg");
  if (msg < 0 || args[msg + 1] !== "search" || args.includes("--")) return [...args];
  const isTerm = (arg: string) => /^-[a-z]+:/iu.test(arg);
  return [...args.filter(arg => !isTerm(arg)), "--", ...args.filter(isTerm)];
}

function buildProgram(surroundings: Surroundings, setCode: (code: number) => void): Command {
  const { terminal } = surroundings;
  const program = new Command("mairust")
    .description("Mail sidecar for Postfix and Dovecot.")
    .option("--config <file>", "configuration file (MAIRUST_CONFIG)")
    .option("-o <key=value>", "set one key; may be repeated", (value: string, all: string[] | undefined) => [
      ...(all ?? []),
      value,
    ])
    .option("-f, --format <format>", `${FORMATS.join(", ")}; default: table on a terminal, else tab`)
    .option("-V, --version", "print the version")
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(terminal.columns, 120) })
    .configureOutput({ writeOut: text => terminal.out(text), writeErr: text => terminal.err(text) })
    .showHelpAfterError("(--help shows how)")
    .exitOverride();
  program.addHelpText("after", EXAMPLES);
  addHelpCommand(program);
  const groups = new Map<string, Command>([["", program]]);
  for (const spec of COMMANDS) addCommand(groups, spec, surroundings, setCode);
  return program;
}

/** `help msg add`: commander's own takes one name and shows the group. */
function addHelpCommand(program: Command): void {
  program
    .helpCommand(false)
    .command("help [command...]")
    .summary("how to call a command")
    .action((names: readonly string[]) => {
      let found = program;
      for (const name of names) {
        const next = found.commands.find(command => command.name() === name);
        if (next === undefined)
          throw usageError(`there is no command "${names.join(" ")}"; "mairust help" lists them`);
        found = next;
      }
      found.outputHelp();
    });
}

function addCommand(
  groups: Map<string, Command>,
  spec: CommandSpec,
  surroundings: Surroundings,
  setCode: (code: number) => void,
): void {
  const words = spec.usage.split(" ");
  const args = words.filter(word => /^[<[]/u.test(word));
  const names = words.filter(word => !args.includes(word));
  const parent = groupOf(groups, names.slice(0, -1));
  // A command may be a group too: `send`, and `send list`.
  const command = parent.command([names.at(-1) ?? "", ...args].join(" ")).summary(spec.summary);
  command.description(`${spec.summary[0]?.toUpperCase()}${spec.summary.slice(1)}.`);
  for (const { flags, description, repeats } of spec.options ?? []) {
    if (repeats === true) command.option(flags, description, collect);
    else command.option(flags, description);
  }
  command.addHelpText("after", examplesText(spec.examples));
  if (args.length === 0) groups.set(names.join(" "), command);
  command.action(async () => {
    const all: Record<string, unknown> = command.optsWithGlobals();
    const format = typeof all.format === "string" ? all.format : undefined;
    const handler = await spec.load();
    const code = await handler({
      terminal: surroundings.terminal,
      standalone: surroundings.standalone,
      load: loadOptions(all, surroundings),
      format: formatOf(format, surroundings.terminal),
      formatAsked: format !== undefined,
      args: command.args,
      options: new Options(all),
    });
    setCode(code ?? EXIT.ok);
  });
}

const collect = (value: string, all: readonly string[] | undefined) => [...(all ?? []), value];

const examplesText = (lines: readonly string[]) =>
  `\nExamples:\n${lines.map(line => `  mairust ${line}\n`).join("")}`;

/** One of each command in the group. */
function groupExamples(group: string): readonly string[] {
  return COMMANDS.filter(({ usage }) => usage.startsWith(`${group} `)).flatMap(({ examples }) =>
    examples.slice(0, 1),
  );
}

function groupOf(groups: Map<string, Command>, names: readonly string[]): Command {
  const key = names.join(" ");
  const known = groups.get(key);
  if (known !== undefined) return known;
  const parent = groupOf(groups, names.slice(0, -1));
  const group = parent.command(names.at(-1) ?? "").description(GROUPS[key] ?? "");
  group.addHelpText("after", examplesText(groupExamples(key)));
  groups.set(key, group);
  return group;
}

function loadOptions(options: Readonly<Record<string, unknown>>, surroundings: Surroundings) {
  const { config, o } = options;
  return {
    ...(typeof config === "string" ? { configFile: config } : {}),
    overrides: Array.isArray(o) ? o.filter(one => typeof one === "string") : [],
    env: surroundings.env,
  };
}

/** commander printed what it had to say already. */
function report(error: unknown, { terminal }: Surroundings): number {
  if (error instanceof CommanderError) {
    const shown = error.code === "commander.helpDisplayed" || error.code === "commander.version";
    return shown ? EXIT.ok : EXIT.usage;
  }
  if (error instanceof CommandError) {
    terminal.err(`mairust: ${printableLines(error.message)}\n`);
    return error.exitCode;
  }
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const exitCode = exitCodeOf(code);
  terminal.err(`mairust: ${printableLines(textOf(error))}\n`);
  if (exitCode === EXIT.bug && error instanceof Error) {
    terminal.err(`${printableLines(error.stack ?? "")}\nThis is a bug of mairust.\n`);
  }
  return exitCode;
}

/** A configuration error lists every problem with its place. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("format" in error && typeof error.format === "function") return String(error.format()).trimEnd();
  return error.message;
}
