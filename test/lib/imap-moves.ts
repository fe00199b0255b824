/**
 * Accounts that move from a Dovecot into a sidecar and on into other accounts of that Dovecot, while the command or the service is
 * killed at random; then what is there is read as any client reads it and compared. The short form is a test, the long one
 * `npm run moves`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chownSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ImapFlow } from "imapflow";
import { encodeModifiedUtf7 } from "../../src/core/modified-utf7.ts";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { MAIL_UID } from "../../src/mailhost/dovecot-config.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { SeededRandom } from "./random.ts";
import { MAIN, type Sidecar, startSidecar } from "./sidecar.ts";

const START_MS = 90_000;
/** A move that does not end by itself in so many runs never will. */
const MAX_RUNS = 200;
const LARGE_BYTES = 2_500_000;
export const MASTER = { address: "admin", password: "master secret" };

/** Folders that both sides have with their use, one in Japanese. */
const SPECIAL_USE = `
namespace inbox {
  mailbox "送信済み" {
    special_use = \\Sent
    auto = subscribe
  }
  mailbox "Deleted Items" {
    special_use = \\Trash
    auto = subscribe
  }
}
`;
const FOLDERS = ["INBOX", "送信済み", "仕事/案件 A&B", "Lists/dev", "Deleted Items"];
const KEYWORDS = ["important", "$Forwarded"];

export interface Moves {
  readonly dovecot: Dovecot;
  readonly sidecar: Sidecar;
  readonly dir: string;
  readonly accounts: readonly string[];
  stop(): Promise<void>;
}

const targetOf = (account: string): string => `to-${account}`;

/** @param dir  empty, short and open (`makeScratch`) */
export async function startMoves(dir: string, accounts: number): Promise<Moves> {
  const names = Array.from({ length: accounts }, (_, i) => `u${i}@example.test`);
  mkdirSync(join(dir, "d"));
  const deadline = deadlineAfter(START_MS);
  const dovecot = await startDovecot(
    {
      dir: join(dir, "d"),
      mode: { kind: "maildir", master: MASTER },
      users: names.flatMap(name => [name, targetOf(name)]).map(address => ({ address, password: "secret" })),
      extraConfig: SPECIAL_USE,
    },
    deadline,
  );
  deadline.dispose();
  const sidecar = await startSidecar({ dir: join(dir, "s"), logLevel: "warn" });
  writeFileSync(join(dir, "master"), MASTER.password);
  const lines = names.map(name => `${name},${targetOf(name)}\n`);
  writeFileSync(join(dir, "from.csv"), `account\n${names.join("\n")}\n`);
  writeFileSync(join(dir, "to.csv"), `account,user\n${lines.join("")}`);
  for (const name of names) assert.equal((await sidecar.mairust(["account", "add", name])).code, 0);
  return {
    ...{ dovecot, sidecar, dir, accounts: names },
    async stop() {
      await dovecot.stop();
      await sidecar.stop();
    },
  };
}

/** Files as an MDA writes them: usual, without Message-ID, twice the same, broken, and a large one. @returns how many */
export function fillSources({ dovecot, accounts }: Moves, messages: number, seed: number): number {
  const random = new SeededRandom(seed);
  let made = 0;
  for (const [i, account] of accounts.entries()) {
    const home = dovecot.home(account);
    const root = join(home, "Maildir");
    const own: string[] = [home, root];
    const count = Math.floor(messages / accounts.length) + (i < messages % accounts.length ? 1 : 0);
    for (const folder of FOLDERS) {
      const dir = folderUnder(root, folder);
      mkdirSync(dir, { recursive: true });
      for (const sub of ["cur", "new", "tmp"]) mkdirSync(join(dir, sub));
      writeFileSync(join(dir, "dovecot-keywords"), KEYWORDS.map((word, n) => `${n} ${word}\n`).join(""));
      if (folder !== "INBOX") writeFileSync(join(dir, "maildirfolder"), "");
      own.push(dir, ...["cur", "new", "tmp", "dovecot-keywords"].map(name => join(dir, name)));
    }
    for (let n = 0; n < count; n += 1) own.push(writeMade(root, n, account, random));
    writeFileSync(
      join(root, "subscriptions"),
      `${["仕事/案件 A&B"].map(encodeModifiedUtf7).join("\n").replace("/", ".")}\n`,
    );
    own.push(join(root, "subscriptions"));
    for (const path of own) chownSync(path, MAIL_UID, MAIL_UID);
    made += count;
  }
  return made;
}

function writeMade(root: string, n: number, account: string, random: SeededRandom): string {
  // More than half of all mail is in the INBOX.
  const folder = random.chance(0.55) ? "INBOX" : random.pick(FOLDERS);
  const dir = folderUnder(root, folder);
  const letters = [...random.pick(["", "S", "FS", "RS", "Sa", "DST", "RSab", "Fb"])].sort().join("");
  const seconds = 1_500_000_000 + n * 60;
  const path = join(dir, "cur", `${seconds}.M${n}P1.made:2,${letters}`);
  writeFileSync(path, contentOf(n, account, random));
  utimesSync(path, seconds, seconds);
  return path;
}

function contentOf(n: number, account: string, random: SeededRandom): Buffer {
  const body = "some text that comes again\n".repeat(random.whole(0, 40));
  if (n === 3)
    return Buffer.from(`Subject: large ${account}\n\n${"0123456789abcdef\n".repeat(LARGE_BYTES / 17)}`);
  switch (n % 10) {
    case 1:
      return Buffer.from(`Subject: twice the same\n\n${account}\n`);
    case 2:
      return Buffer.from(`Subject: no Message-ID ${n}\nFrom: a@b.test\n\n${body}${n}`);
    case 4:
      return Buffer.from(`no colon here ${n}\nnor here\n`, "latin1");
    case 5:
      return Buffer.from([0x53, 0x3a, 0x20, 0x80, 0xff, 0x0a, 0x0a, 0xfe, n & 0xff, (n >> 8) & 0xff, 0x0a]);
    case 6:
      // The same beginning for more than is looked at first; only the end differs.
      return Buffer.from(`Subject: long header\nX-Long: ${"x".repeat(1500)}\n\n${body}${n % 20}\n`);
    default:
      return Buffer.from(
        `Return-Path: <a@b.test>\nReceived: from x by y; ${n}\nSubject: made ${n} 日本\nMessage-ID: <${n}.${account}>\n\n${body}`,
      );
  }
}

/** Of a folder of an account at Dovecot. */
export function folderDir({ dovecot }: Moves, account: string, folder: string): string {
  return folderUnder(join(dovecot.home(account), "Maildir"), folder);
}

const folderUnder = (root: string, folder: string): string =>
  folder === "INBOX" ? root : join(root, `.${folder.split("/").map(encodeModifiedUtf7).join(".")}`);

export interface MoveResult {
  readonly runs: number;
  readonly kills: number;
  readonly seconds: number;
  readonly copied: number;
}

interface AccountReport {
  readonly account: string;
  readonly state: string;
  readonly report: { readonly mailboxes: readonly { readonly copied: number }[] } | null;
}

/**
 * Run a command until it ended by itself with 0, after that many kills: of the command, or of the service.
 * @param withinMs  each kill comes at a random time up to this after the first message, or, one in five, after the start
 */
export async function moveUnderKills(
  { sidecar }: Moves,
  args: readonly string[],
  kills: number,
  withinMs: number,
  random: SeededRandom,
): Promise<MoveResult> {
  const started = performance.now();
  let done = 0;
  for (let runs = 1; runs <= MAX_RUNS; runs += 1) {
    const child = spawn(
      process.execPath,
      [MAIN, "--config", sidecar.configFile, ...args, "-f", "json", "--progress=json"],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    const texts = { out: "", err: "" };
    child.stdout.on("data", chunk => {
      texts.out += chunk;
    });
    let progressed: () => void = () => undefined;
    const first = new Promise<void>(resolve => {
      progressed = resolve;
    });
    child.stderr.on("data", chunk => {
      texts.err += chunk;
      if (texts.err.includes('"progress"')) progressed();
    });
    const closed = once(child, "close") as Promise<[number | null]>;
    if (done < kills) {
      done += 1;
      if (!random.chance(0.2)) await Promise.race([first, closed]);
      const wait = deadlineAfter(random.whole(1, withinMs));
      const timedOut = new Promise<undefined>(resolve =>
        wait.signal.addEventListener("abort", () => resolve(undefined)),
      );
      // Keeps the process alive, unlike the deadline's timer.
      await Promise.race([closed, timedOut]);
      wait.dispose();
      const isService = random.chance(0.4);
      if (isService) await sidecar.kill();
      else child.kill("SIGKILL");
      await closed;
      if (isService) await sidecar.restart();
      continue;
    }
    const [code] = await closed;
    // 2: a source that is read for the first time may get its UIDs meanwhile.
    if (code === 2) continue;
    assert.equal(code, 0, `${args.join(" ")}: ${texts.err}${texts.out}`);
    const reports = JSON.parse(texts.out) as readonly AccountReport[];
    const copied = reports.reduce(
      (sum, { report }) => sum + (report?.mailboxes ?? []).reduce((all, box) => all + box.copied, 0),
      0,
    );
    return { runs, kills: done, seconds: (performance.now() - started) / 1000, copied };
  }
  throw new Error(`${args.join(" ")} does not end`);
}

const url = ({ dovecot }: Moves): string => `imap://127.0.0.1:${dovecot.imapPort}`;
const asMaster = ({ dir }: Moves): readonly string[] => [
  ...["--master-user", MASTER.address, "--password-file", join(dir, "master")],
];

export const importArgs = (moves: Moves): readonly string[] => [
  ...["import", "imap", url(moves), "--accounts", join(moves.dir, "from.csv"), ...asMaster(moves)],
];
export const exportArgs = (moves: Moves): readonly string[] => [
  ...["export", "imap", url(moves), "--accounts", join(moves.dir, "to.csv"), ...asMaster(moves)],
];
export const verifyArgs = (moves: Moves): readonly string[] => [
  ...["verify", "example.test", "--against", url(moves), ...asMaster(moves), "--full"],
];

/** Folder → its messages as text: digest, flags, date; sorted. */
export type ReadAccount = ReadonlyMap<string, readonly string[]>;

export async function readAccount({ dovecot }: Moves, account: string): Promise<ReadAccount> {
  const auth = { user: account, pass: "secret" };
  const common = { host: "127.0.0.1", port: dovecot.imapPort, secure: false, logger: false as const };
  const client = new ImapFlow({ ...common, auth, disableAutoIdle: true });
  await client.connect();
  const folders = new Map<string, readonly string[]>();
  try {
    for (const box of await client.list()) {
      if (box.flags.has("\\Noselect") || box.flags.has("\\NonExistent")) continue;
      const opened = await client.mailboxOpen(box.path, { readOnly: true });
      const lines: string[] = [`subscribed ${box.subscribed}`];
      const query = { uid: true, flags: true, internalDate: true, source: true } as const;
      if (opened.exists > 0)
        for await (const one of client.fetch("1:*", query)) {
          const digest = createHash("sha256")
            .update(one.source ?? "")
            .digest("hex");
          const flags = [...(one.flags ?? [])].filter(flag => flag !== "\\Recent").sort();
          lines.push(`${digest} ${flags.join(" ")} ${new Date(one.internalDate ?? 0).toISOString()}`);
        }
      folders.set(box.path, lines.sort());
    }
  } finally {
    await client.logout();
  }
  return folders;
}

/** Every account at its target: the same folders, messages, flags and dates as at its source, each as often. @returns messages */
export async function assertMoved(moves: Moves): Promise<number> {
  let messages = 0;
  for (const account of moves.accounts) {
    const from = await readAccount(moves, account);
    const to = await readAccount(moves, targetOf(account));
    assert.deepEqual([...to.keys()].sort(), [...from.keys()].sort(), account);
    for (const [folder, lines] of from) {
      assert.deepEqual(to.get(folder), lines, `${account} ${folder}`);
      messages += lines.length - 1;
    }
  }
  return messages;
}
