/**
 * A private Dovecot on loopback: in front of the sidecar through imapc, with `dovecot/stage-store.conf` as it is, or
 * as a mail store of its own. The demo, the tests and the benchmarks read mail through it.
 *
 * Needs root (Dovecot changes users). The host's `/etc/dovecot`, `/run/dovecot` and `/var/lib/dovecot` are not touched.
 * Sources: dovecot(1), doveadm(1).
 */
import { chmod, chown, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { packageRoot } from "../platform/package-root.ts";
import { programPath, runCommand } from "./command.ts";
import { Daemon, readLogLines } from "./daemon.ts";
import {
  type DovecotMode,
  type DovecotPaths,
  type DovecotUser,
  dovecotConf,
  dovecotPaths,
  MAIL_UID,
  passwdFile,
} from "./dovecot-config.ts";
import { checkMailhostDir, freePort } from "./scratch.ts";
import { systemUser } from "./system-user.ts";

export interface DovecotOptions {
  /** Empty folder for this server alone (`makeScratch`). It stays after `stop()`. */
  readonly dir: string;
  readonly mode: DovecotMode;
  readonly users: readonly DovecotUser[];
  /** Configuration lines (2.3 syntax) that are set last. */
  readonly extraConfig?: string;
}

/** A running private Dovecot. IMAP and LMTP answer on 127.0.0.1 without TLS. */
export interface Dovecot {
  readonly imapPort: number;
  /** Set in mode `maildir`. */
  readonly lmtpPort: number | undefined;
  readonly configFile: string;
  readonly pid: number;
  /** Folder of a user: `Maildir/` in mode `maildir`; index and `mairust-local/` in mode `imapc`. */
  home(address: string): string;
  /** The lines of its log so far. */
  log(): Promise<string[]>;
  /** Run `doveadm` for this instance. @returns standard output */
  doveadm(args: readonly string[], deadline?: Deadline): Promise<string>;
  /** Stop it and all its processes. @throws {MairustError} `stop_failed` one is alive although it was killed */
  stop(): Promise<void>;
}

/**
 * Start a private Dovecot and wait until it greets.
 *
 * @throws {MairustError} `invalid_argument` `dir` cannot hold a mail server, or a user cannot be written; `not_found`
 *   Dovecot is not installed; `invalid_state` not root, or it did not start (with the last log lines)
 */
export async function startDovecot(options: DovecotOptions, deadline: Deadline): Promise<Dovecot> {
  if (process.getuid?.() !== 0)
    throw new MairustError("invalid_state", "Cannot start Dovecot: it needs root");
  await checkMailhostDir(options.dir);
  await systemUser("dovenull"); // its login processes run as this user: says clearly that the package is missing
  const paths = dovecotPaths(options.dir);
  const imapPort = await freePort();
  const lmtpPort = await freePort();
  await writeFiles(paths, imapPort, lmtpPort, options);
  const daemon = await Daemon.start(
    {
      name: "Dovecot",
      file: await programPath("dovecot"),
      args: ["-F", "-c", paths.config],
      logFile: paths.log,
      port: imapPort,
      greeting: "* OK",
    },
    deadline,
  );
  return {
    imapPort,
    lmtpPort: options.mode.kind === "maildir" ? lmtpPort : undefined,
    configFile: paths.config,
    pid: daemon.pid,
    home: address => join(paths.homes, address),
    log: () => readLogLines(paths.log),
    doveadm: (args, until) => runCommand("doveadm", ["-c", paths.config, ...args], { deadline: until }),
    stop: () => daemon.stop(),
  };
}

async function writeFiles(
  paths: DovecotPaths,
  imapPort: number,
  lmtpPort: number,
  { mode, users, extraConfig }: DovecotOptions,
): Promise<void> {
  const shipped = join(packageRoot(), "dovecot");
  await mkdir(paths.run, { recursive: true });
  await mkdir(paths.state, { recursive: true });
  await mkdir(paths.homes, { recursive: true });
  // Dovecot makes each user's home, as that user.
  await chown(paths.homes, MAIL_UID, MAIL_UID);
  // Read by the mail processes, and the checkout may be closed to them.
  await copyFile(join(shipped, "mairust.acl"), paths.acl);
  await chmod(paths.acl, 0o644);

  const { gid } = await systemUser("dovecot");
  const masters = mode.kind === "maildir" && mode.master !== undefined ? [mode.master] : [];
  for (const [file, entries] of [
    [paths.users, users],
    [paths.masters, masters],
  ] as const) {
    await writeFile(file, passwdFile(entries), { mode: 0o640 });
    await chown(file, 0, gid);
  }
  const conf = dovecotConf({
    paths,
    mode,
    imapPort,
    lmtpPort,
    stageStoreFile: join(shipped, "stage-store.conf"),
    extra: extraConfig ?? "",
  });
  if (mode.kind === "imapc") await writeFile(paths.secret, mode.upstream.masterPassword, { mode: 0o600 });
  await writeFile(paths.config, conf, { mode: 0o644 });
}
