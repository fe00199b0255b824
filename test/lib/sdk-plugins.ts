/** The SDKs, and the same plugin written with each: what a test needs to run both alike. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../src/platform/package-root.ts";

export const SDK_FIXTURES = join(packageRoot(), "test/contract/sdk/fixtures");

export interface Sdk {
  readonly name: string;
  /** The file that a plugin takes along. */
  readonly file: string;
  readonly program: string;
  /** Of its files. */
  readonly ending: string;
}

export const SDKS: readonly Sdk[] = [
  {
    name: "Node",
    file: join(packageRoot(), "plugins/sdk/node/mairust.mjs"),
    program: process.execPath,
    ending: "mjs",
  },
  {
    name: "Python",
    file: join(packageRoot(), "plugins/sdk/python/mairust.py"),
    program: "/usr/bin/python3",
    ending: "py",
  },
];

export interface SdkServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** `fixtures/behaving.*` as a web server. @param secrets  of `MAIRUST_PLUGIN_SECRET` */
export async function startSdkServer({ program, ending }: Sdk, secrets: string): Promise<SdkServer> {
  const child = spawn(program, [join(SDK_FIXTURES, `behaving.${ending}`), "http"], {
    env: { PATH: "/usr/bin:/bin", MAIRUST_PLUGIN_SECRET: secrets },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { port: Number(await firstLine(child)), stop: () => ended(child) };
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    if (text.includes("\n")) return text.trim();
  }
  throw new Error(`Cannot start the plugin: it ended with exit code ${child.exitCode}`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

export interface Outcome {
  readonly said?: unknown;
  /** `kind` of the error, or "error". */
  readonly threw?: string;
  readonly why?: string;
}

/** Run `fixtures/drive.*` with these commands. @returns one outcome for each, and what was written to stderr */
export async function drive(
  { program, ending }: Sdk,
  commands: readonly object[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly outcomes: readonly Outcome[]; readonly stderr: string }> {
  const { stdout, stderr } = await execa(program, [join(SDK_FIXTURES, `drive.${ending}`)], {
    env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8", ...env },
    extendEnv: false,
    input: commands.map(command => `${JSON.stringify(command)}\n`).join(""),
  });
  return { outcomes: stdout.split("\n").map(line => JSON.parse(line)), stderr };
}

/** One command, which must succeed. */
export async function driveOne(sdk: Sdk, command: object): Promise<unknown> {
  const { outcomes, stderr } = await drive(sdk, [command]);
  const [outcome] = outcomes;
  if (outcome === undefined || outcome.threw !== undefined)
    throw new Error(`${sdk.name}: ${outcome?.why} ${stderr}`);
  return outcome.said;
}
