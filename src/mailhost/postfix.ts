/**
 * A private Postfix: own configuration, queue and data folder, SMTP on a loopback port. The demo, the tests and the
 * benchmarks hand mail to the sidecar through it, with `postfix/stage-store.*` set by the script an operator runs.
 *
 * Needs root (Postfix does). The host's `/etc/postfix` and `/var/spool/postfix` are not touched. No mail leaves: what
 * the transport table does not route is returned.
 * Sources: postfix(1), master(8), postqueue(1), MAILLOG_README.
 */
import { chmod, chown, mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import { packageRoot } from "../platform/package-root.ts";
import { runCommand } from "./command.ts";
import { Daemon, POLL_MS, QUOTED_LOG_LINES, readLogLines } from "./daemon.ts";
import {
  LMTP_NEXT_HOP,
  lookupTable,
  mainCf,
  masterCf,
  type PostfixPaths,
  postfixPaths,
} from "./postfix-config.ts";
import { parseQueue, type QueuedMessage } from "./postfix-queue.ts";
import { checkMailhostDir, freePort } from "./scratch.ts";
import { systemUser } from "./system-user.ts";

/** Age that configuration files pretend to have. */
const COOL_MS = 60_000;
/** Lists of the queue that must be empty, one after the other: a message that moves between two folders while they are read is in none. */
const EMPTY_LISTS = 3;

export interface PostfixOptions {
  /** Empty folder for this server alone (`makeScratch`). It stays after `stop()`. */
  readonly dir: string;
  /** Domains it accepts mail for. */
  readonly domains: readonly string[];
  /** Next hop of the domains, by the transport `mairust`; default {@link LMTP_NEXT_HOP}. */
  readonly nextHop?: string;
  /** transport(5), in place of "every domain to `nextHop`": address or domain to `transport:nexthop`. */
  readonly routes?: Readonly<Record<string, string>>;
  /** virtual(5): address to one or more addresses. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  /** Ask the sidecar's milter, with the lines of `postfix/milter-<stage>.cf`; default: no milter. */
  readonly milter?: "observe" | "store";
  /** Nothing of the sidecar: no route, no table; for what sets that up itself. */
  readonly bare?: boolean;
  /** main.cf parameters that are set last. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A running private Postfix. */
export interface Postfix {
  readonly smtpPort: number;
  readonly configDir: string;
  readonly queueDir: string;
  /** Folder of the sidecar's sockets: root's, group `postfix`, mode 0770. */
  readonly socketDir: string;
  /** Absolute path of the socket that {@link LMTP_NEXT_HOP} means. */
  readonly lmtpSocket: string;
  /** Absolute path of the socket that the shipped milter lines name. */
  readonly milterSocket: string;
  readonly pid: number;
  /** Try all deferred mail now (`postqueue -f`). */
  flush(): Promise<void>;
  queue(): Promise<QueuedMessage[]>;
  /** Wait until no mail is queued. @throws {MairustError} `deadline` with what still is */
  waitQueueEmpty(deadline: Deadline): Promise<void>;
  /** The lines of its mail log so far. */
  log(): Promise<string[]>;
  /** Run one of Postfix's commands (`postconf`, `postsuper`, `smtp-source` …) for this instance. @returns standard output */
  run(file: string, args: readonly string[], deadline?: Deadline): Promise<string>;
  /** Stop it and all its processes. @throws {MairustError} `stop_failed` one is alive although it was killed */
  stop(): Promise<void>;
}

/**
 * Start a private Postfix and wait until it greets.
 *
 * @throws {MairustError} `invalid_argument` `dir` cannot hold a mail server; `not_found` Postfix is not installed;
 *   `invalid_state` not root, or it did not start (with the last log lines)
 */
export async function startPostfix(options: PostfixOptions, deadline: Deadline): Promise<Postfix> {
  if (process.getuid?.() !== 0)
    throw new MairustError("invalid_state", "Cannot start Postfix: it needs root");
  await checkMailhostDir(options.dir);
  const paths = postfixPaths(options.dir);
  const smtpPort = await freePort();
  await writeFiles(paths, smtpPort, options);
  await letCool(paths);

  const run = (file: string, args: readonly string[], until?: Deadline) =>
    runCommand(file, args, { env: { MAIL_CONFIG: paths.config }, deadline: until });
  const shipped = (name: string) => join(packageRoot(), "postfix", name);
  if (options.bare !== true) await run("sh", [shipped("stage-store.apply")], deadline);
  if (options.milter !== undefined) {
    await letCool(paths);
    await run("sh", [shipped("milter.apply"), options.milter], deadline);
  }
  const settings = Object.entries(options.settings ?? {}).map(([name, value]) => `${name} = ${value}`);
  if (settings.length > 0) await run("postconf", ["-e", ...settings], deadline);
  await letCool(paths);
  await check(paths, run, deadline);
  const daemonDir = (await run("postconf", ["-hx", "daemon_directory"], deadline)).trim();
  const daemon = await Daemon.start(
    {
      name: "Postfix",
      // Not `postfix start-fg`: that leaves a shell between this process and the server.
      file: join(daemonDir, "master"),
      args: ["-c", paths.config],
      logFile: paths.log,
      port: smtpPort,
      greeting: "220 ",
    },
    deadline,
  );
  return runningPostfix(paths, smtpPort, daemon, run);
}

async function writeFiles(paths: PostfixPaths, smtpPort: number, options: PostfixOptions): Promise<void> {
  const { uid, gid } = await systemUser("postfix");
  for (const dir of [paths.config, paths.queue, paths.data, paths.sockets])
    await mkdir(dir, { recursive: true });
  for (const dir of [paths.config, paths.queue]) await chmod(dir, 0o755);
  await chown(paths.data, uid, gid);
  await chmod(paths.data, 0o700);
  // Nobody but Postfix connects to the sidecar.
  await chown(paths.sockets, 0, gid);
  await chmod(paths.sockets, 0o770);

  const nextHop = options.nextHop ?? LMTP_NEXT_HOP;
  const routes =
    options.routes ?? Object.fromEntries(options.domains.map(domain => [domain, `mairust:${nextHop}`]));
  const aliases = Object.entries(options.aliases ?? {}).map(([from, to]) => [from, to.join(", ")]);
  const write = (name: string, text: string) => writeFile(join(paths.config, name), text, { mode: 0o644 });
  await write("main.cf", mainCf(paths, options.domains));
  await write("master.cf", masterCf(smtpPort));
  await write("virtual", lookupTable(Object.fromEntries(aliases)));
  if (options.bare !== true) await write("mairust-transport", lookupTable(routes));
}

/**
 * `postfix check`, which also makes the folders of the queue. What it finds wrong goes to the mail log, and what it
 * finds before it knows the log only to a terminal.
 */
async function check(paths: PostfixPaths, run: Postfix["run"], deadline: Deadline): Promise<void> {
  try {
    await run("postfix", ["check"], deadline);
  } catch (error) {
    const log = (await readLogLines(paths.log)).slice(-QUOTED_LOG_LINES);
    const lines = log.length > 0 ? log : [`try at a terminal: postfix -c ${paths.config} check`];
    const text = `Cannot start Postfix: ${messageOf(error)}\n${lines.join("\n")}`;
    throw new MairustError("invalid_state", text, { cause: error });
  }
}

/** Postfix waits until a file it reads is more than a second old (`dict_load_file`): up to 2 s for each program. */
async function letCool(paths: PostfixPaths): Promise<void> {
  const past = new Date(Date.now() - COOL_MS);
  for (const name of ["main.cf", "virtual", "mairust-transport"])
    await utimes(join(paths.config, name), past, past).catch(error => {
      if (name !== "mairust-transport") throw error;
    });
}

function runningPostfix(paths: PostfixPaths, smtpPort: number, daemon: Daemon, run: Postfix["run"]): Postfix {
  const queue = async () => parseQueue(await run("postqueue", ["-j"]));
  return {
    smtpPort,
    configDir: paths.config,
    queueDir: paths.queue,
    socketDir: paths.sockets,
    lmtpSocket: join(paths.sockets, "lmtp.sock"),
    milterSocket: join(paths.sockets, "milter.sock"),
    pid: daemon.pid,
    run,
    queue,
    flush: async () => {
      await run("postqueue", ["-f"]);
    },
    log: () => readLogLines(paths.log),
    stop: () => daemon.stop(),
    async waitQueueEmpty(deadline) {
      for (let empty = 0; ; ) {
        const queued = await queue();
        empty = queued.length === 0 ? empty + 1 : 0;
        if (empty === EMPTY_LISTS) return;
        if (queued.length > 0 && deadline.remainingMs() === 0) {
          const what = queued.map(describe).join("; ");
          throw new MairustError(
            "deadline",
            `Cannot see the queue empty in time: ${queued.length} left: ${what}`,
          );
        }
        await sleep(POLL_MS);
      }
    },
  };
}

function describe(message: QueuedMessage): string {
  const recipients = message.recipients.map(r => `${r.address} (${r.delayReason ?? "waiting"})`);
  return `${message.queueId} in ${message.queueName} to ${recipients.join(", ")}`;
}
