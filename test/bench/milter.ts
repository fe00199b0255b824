/**
 * P5, P6: smtp-source → Postfix with a milter → Postfix's discard, on a UNIX socket. P5 with no hook, so that no body is transferred;
 * P6 with one hook that reads the body and answers nothing. The peer is a milter that asks for the same steps and looks at nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";
import { interleave, ratioOf, report, type Subject } from "./lib/rounds.ts";

const DOMAIN = "example.test";
const SESSIONS = 10;
const MESSAGES = 600;
const SIZE_BYTES = 4096;
const ROUNDS = 7;
const WARM_UPS = 4;
const START_MS = 60_000;
const PLUGIN_ID = "com.example.null";

export interface MilterRow {
  readonly row: "P5" | "P6";
  readonly hook: boolean;
}

export const MILTER_ROWS: readonly MilterRow[] = [
  { row: "P5", hook: false },
  { row: "P6", hook: true },
];

export async function benchMilter({ row, hook }: MilterRow): Promise<void> {
  const scratch = await makeScratch();
  const undo: (() => Promise<unknown>)[] = [() => scratch.remove()];
  try {
    const subjects = [
      await ours(scratch.dir, hook, undo),
      await nullMilter(scratch.dir, hook, undo),
      await plain(scratch.dir, undo),
    ];
    const [mairust, peer, none] = await interleave(subjects, ROUNDS, WARM_UPS);
    report(row, {
      unit: "messages/s",
      sessions: SESSIONS,
      size_bytes: SIZE_BYTES,
      mairust,
      null_milter: peer,
      no_milter: none,
      ...ratioOf(mairust, peer),
      must: 0.85,
    });
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function ours(dir: string, hook: boolean, undo: (() => Promise<unknown>)[]): Promise<Subject> {
  const postfix = await privatePostfix(join(dir, "a"), "unix:mairust/milter.sock", undo);
  const site = join(dir, "s");
  const plugin = join(dir, "null");
  if (hook) await writeNullPlugin(plugin);
  const sidecar: Sidecar = await startSidecar({
    dir: site,
    logLevel: "warn",
    milterListen: `unix:${join(postfix.socketDir, "milter.sock")}`,
    milter: 'socket_group = "postfix"',
    // The row is about the milter; checks of the sender have a row of their own, and read bodies.
    toml: `[sender_auth]\nchecks = []\n${hook ? hookToml(plugin) : ""}`,
  });
  undo.push(() => sidecar.stop());
  return through("mairust", postfix);
}

async function nullMilter(dir: string, hook: boolean, undo: (() => Promise<unknown>)[]): Promise<Subject> {
  const postfix = await privatePostfix(join(dir, "b"), "unix:mairust/null.sock", undo);
  const program = join(packageRoot(), "build/test/bench/lib/milter-null.js");
  const socket = join(postfix.socketDir, "null.sock");
  const child = spawn(process.execPath, [program, socket, hook ? "all" : "headers"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  undo.push(() => ended(child));
  await once(child.stdout, "data");
  // Postfix's smtpd runs as a user of its own.
  await chmod(socket, 0o666);
  return through("null milter", postfix);
}

async function plain(dir: string, undo: (() => Promise<unknown>)[]): Promise<Subject> {
  return through("no milter", await privatePostfix(join(dir, "c"), undefined, undo));
}

async function privatePostfix(
  dir: string,
  milter: string | undefined,
  undo: (() => Promise<unknown>)[],
): Promise<Postfix> {
  await mkdir(dir);
  const deadline = deadlineAfter(START_MS);
  const settings = {
    in_flow_delay: "0",
    ...(milter === undefined ? {} : { smtpd_milters: milter, milter_default_action: "tempfail" }),
  };
  const postfix = await startPostfix(
    { dir, domains: [DOMAIN], routes: { [DOMAIN]: "discard:" }, settings },
    deadline,
  );
  deadline.dispose();
  undo.push(() => postfix.stop());
  return postfix;
}

async function writeNullPlugin(dir: string): Promise<void> {
  await mkdir(dir);
  await writeFile(
    join(dir, "plugin.toml"),
    `id = "${PLUGIN_ID}"
name = "Null"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
workers = 2
[hooks]
on = ["pre_receive"]
[permissions]
read_headers = true
read_body = "preview"
`,
  );
  await writeFile(
    join(dir, "main.mjs"),
    `import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const hello = line.length < 100 && "mairust" in JSON.parse(line);
  const answer = hello ? { mairust: 1, plugin: "${PLUGIN_ID}", version: "1.0.0", api: ["1"] } : {};
  process.stdout.write(\`\${JSON.stringify(answer)}\\n\`);
}
`,
  );
}

function hookToml(plugin: string): string {
  return `
[plugins]
folders = [${JSON.stringify(plugin)}]
allow_unsigned = ["${PLUGIN_ID}"]
allow_unsandboxed = ["${PLUGIN_ID}"]
[plugin."${PLUGIN_ID}"]
grants = { read_headers = true, read_body = "preview" }
[[hooks]]
name = "null"
point = "pre_receive"
plugin = "${PLUGIN_ID}"
mode = "enforce"
`;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  await exit;
}

function through(name: string, postfix: Postfix): Subject {
  return {
    name,
    async run() {
      const started = performance.now();
      await postfix.run("smtp-source", [
        "-m",
        String(MESSAGES),
        "-s",
        String(SESSIONS),
        "-l",
        String(SIZE_BYTES),
        "-f",
        "load@load.example",
        "-t",
        `user@${DOMAIN}`,
        `inet:127.0.0.1:${postfix.smtpPort}`,
      ]);
      const seconds = (performance.now() - started) / 1000;
      const deadline = deadlineAfter(START_MS);
      await postfix.waitQueueEmpty(deadline);
      deadline.dispose();
      return MESSAGES / seconds;
    },
  };
}
