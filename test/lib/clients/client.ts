/** What the tests know of a real mail client: how it is run, what it keeps, and what it changes in a message, as data. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Deadline } from "../../../src/core/deadline.ts";
import { notHere } from "../not-here.ts";

/** Debian's programs, and Debian's Python: the clients' modules belong to it. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_BYTES = 256 * 1024 * 1024;
/** Of a client's output in an error text. */
const QUOTED_CHARS = 2000;

/** How a client reaches a mailbox and proves who it is. */
export interface Access {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Authorization identity of a master login; undefined when `user` is the account. */
  readonly authorize: string | undefined;
}

/** One account in one folder: the first run copies all, the next what is new. */
export interface SyncJob {
  readonly access: Access;
  /** The client's own, kept between runs. */
  readonly dir: string;
  /** Mailboxes with mail, for clients that are told which. */
  readonly mailboxes: readonly string[];
  readonly deadline: Deadline;
}

export interface KeptMessage {
  readonly bytes: Buffer;
  readonly uid?: number;
  readonly flags?: readonly string[];
  readonly date?: Date;
}

/** Mailbox name → what the client has of it. */
export type Kept = ReadonlyMap<string, readonly KeptMessage[]>;

export interface MailClient {
  readonly name: string;
  readonly programs: readonly string[];
  /** How it logs in directly: as the user, or as a master user for the account. */
  readonly login: "password" | "master";
  /** Flags it takes over; "all": keywords too; undefined: none. */
  readonly flags: readonly string[] | "all" | undefined;
  readonly dates: boolean;
  /** Mailboxes without mail are in what it keeps. */
  readonly emptyMailboxes: boolean;
  /** What it makes of each message before it writes it; undefined: it passes over the message, as documented. */
  writes(messages: readonly Buffer[], job: SyncJob): Promise<ReadonlyArray<Buffer | undefined>>;
  /** @throws {Error} it ended in another way than well; with the end of its output */
  sync(job: SyncJob): Promise<void>;
  read(job: SyncJob): Promise<Kept>;
  /** Ends what it started besides its program. */
  close?(job: SyncJob): Promise<void>;
}

/** For clients that keep every octet. */
export const unchanged = (messages: readonly Buffer[]): Promise<readonly Buffer[]> =>
  Promise.resolve(messages);

/** For clients whose files have UNIX line ends: CRLF becomes LF, a bare CR stays. */
export function withLf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
}

export interface Ran {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  /** Exit codes besides 0. */
  readonly allowed?: readonly number[];
  readonly input?: Buffer;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Run a client's program to its end.
 * @throws {Error} it ended with another code than `allowed`, or the deadline passed; with the end of its output
 */
export async function runProgram(
  file: string,
  args: readonly string[],
  job: Pick<SyncJob, "dir" | "deadline">,
  options: RunOptions = {},
): Promise<Ran> {
  const result = await execa(file, args, {
    cwd: job.dir,
    env: { PATH: SYSTEM_PATH, HOME: job.dir, LC_ALL: "C.UTF-8", ...options.env },
    extendEnv: false,
    encoding: "buffer",
    stripFinalNewline: false,
    maxBuffer: OUTPUT_BYTES,
    reject: false,
    cancelSignal: job.deadline.signal,
    ...(options.input === undefined ? { stdin: "ignore" } : { input: options.input }),
  });
  const stdout = Buffer.from(result.stdout);
  const stderr = Buffer.from(result.stderr).toString();
  if (result.exitCode !== undefined && [0, ...(options.allowed ?? [])].includes(result.exitCode)) {
    return { exitCode: result.exitCode, stdout, stderr };
  }
  const said = `${stdout.toString().slice(-QUOTED_CHARS)}\n${stderr.slice(-QUOTED_CHARS)}`;
  throw new Error(
    `${file} ${args.join(" ")}: ${result.shortMessage ?? `exit code ${result.exitCode}`}\n${said}`,
  );
}

/** @returns the first program that is not installed; undefined when all are. In CI a missing one is an error. */
export async function missingProgram(programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    const found = await Promise.all(
      SYSTEM_PATH.split(":").map(dir =>
        access(join(dir, program), constants.X_OK).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (found.includes(true)) continue;
    notHere(`"${program}" is not installed: test/setup-host clients`);
    return program;
  }
  return undefined;
}
