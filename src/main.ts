/**
 * Entry of the process: argv, signals, standard streams and the exit code, handed to the command line. The parts that the command
 * line may not import are handed to it here too, each loaded when a command asks for it. No logic.
 */
import { join } from "node:path";
import { runCommandLine } from "./cli/run.ts";
import type { SignalName, Signals, Terminal } from "./cli/standalone.ts";
import { processEnvironment } from "./platform/config/environment.ts";

const HANDLED: readonly SignalName[] = ["SIGTERM", "SIGINT", "SIGHUP"];

/** Signals from now on, in order. */
function signals(): Signals {
  const waiting: SignalName[] = [];
  const askers: ((signal: SignalName) => void)[] = [];
  const onSignal = (signal: NodeJS.Signals) => {
    const known = HANDLED.find(name => name === signal);
    if (known === undefined) return;
    const asker = askers.shift();
    if (asker === undefined) waiting.push(known);
    else asker(known);
  };
  for (const name of HANDLED) process.on(name, onSignal);
  return {
    next: () => {
      const first = waiting.shift();
      return first === undefined ? new Promise(resolve => askers.push(resolve)) : Promise.resolve(first);
    },
    release: () => {
      for (const name of HANDLED) process.off(name, onSignal);
    },
  };
}

function terminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  // `mairust … | head`: who reads us has enough.
  stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 74));
  stderr.on("error", () => process.exit(74));
  return {
    stdin,
    stdout,
    stderr,
    out: text => void stdout.write(text),
    err: text => void stderr.write(text),
    isTerminal: stdout.isTTY === true,
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    columns: stdout.columns ?? 120,
    colors: stdout.isTTY === true && (processEnvironment().NO_COLOR ?? "") === "",
  };
}

const hostSandbox = async () => (await import("./compose/sandbox.ts")).tryHostSandbox();

const exitCode = await runCommandLine(process.argv.slice(2), {
  terminal: terminal(),
  env: processEnvironment(),
  standalone: {
    compose: async (loaded, options) => (await import("./compose.ts")).compose(loaded, options),
    migrations: async loaded => (await import("./compose/migrations.ts")).composeMigrations(loaded),
    devSite: async options => {
      const unsandboxed = "problem" in (await hostSandbox());
      return (await import("./demo/site.ts")).makeSite({ ...options, unsandboxed });
    },
    demo: async options =>
      (await import("./demo/demo.ts")).runDemo({
        ...options,
        hostSandbox: await hostSandbox(),
        mainFile: join(import.meta.dirname, "start.cjs"),
        nodeOptions: process.execArgv,
      }),
    signals,
    packages: async () => (await import("./compose/packages.ts")).packageEngines,
    transfer: async () => (await import("./compose/transfer.ts")).transferEngines,
    loss: async () => (await import("./loss/prove.ts")).lossProof,
    site: async () => (await import("./compose/site.ts")).siteEngines,
    author: async () => (await import("./compose/author.ts")).authorTools,
  },
});
// What is written to a pipe goes out asynchronously: end after it is gone.
process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));
