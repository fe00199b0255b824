/** Whole accounts by IMAP between a real Dovecot and the service, both ways. */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { Client } from "../../../src/cli/client.ts";
import { importExit } from "../../../src/cli/commands/import.ts";
import { exportCalls, importCalls } from "../../../src/cli/transfer-client.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { exportImap } from "../../../src/transfer/export-imap.ts";
import { importImap } from "../../../src/transfer/import-imap.ts";
import type { ImportReport } from "../../../src/wire/api/transfer.ts";
import type { ImapExportMailboxReport, ImapExportReport } from "../../../src/wire/transfer-calls.ts";
import {
  assertMoved,
  exportArgs,
  fillSources,
  folderDir,
  importArgs,
  MASTER,
  type Moves,
  moveUnderKills,
  readAccount,
  startMoves,
  verifyArgs,
} from "../../lib/imap-moves.ts";
import { SeededRandom } from "../../lib/random.ts";

const ACCOUNTS = 3;
const MESSAGES = 300;
/** Of the import, and of the export. */
const KILLS = [2, 3] as const;
const KILL_WITHIN_MS = 1500;
const USER = "u0@example.test";
const TARGET = "to-u0@example.test";
/** At Dovecot only; here made by the domain's `auto`. */
const WORK = "仕事/案件 A&B";

let scratch: { readonly dir: string; remove(): Promise<void> };
let moves: Moves;
let passwordFile: string;

before(async () => {
  scratch = await makeScratch();
  moves = await startMoves(scratch.dir, ACCOUNTS);
  passwordFile = join(scratch.dir, "password");
  writeFileSync(passwordFile, "secret\n");
});
after(async () => {
  await moves?.stop();
  await scratch?.remove();
});

async function withDovecot<T>(user: string, work: (client: ImapFlow) => Promise<T>): Promise<T> {
  const auth = { user, pass: "secret" };
  const common = { host: "127.0.0.1", port: moves.dovecot.imapPort, secure: false, logger: false as const };
  const client = new ImapFlow({ ...common, auth, disableAutoIdle: true });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.logout();
  }
}

const at = (user: string): string => `imap://${encodeURIComponent(user)}@127.0.0.1:${moves.dovecot.imapPort}`;

async function transfer<T>(
  how: "import" | "export",
  user: string,
  account: string,
  ...more: string[]
): Promise<{ readonly code: number | null; readonly report: T; readonly err: string }> {
  const args = [how, "imap", at(user), "--account", account, "--password-file", passwordFile, ...more];
  const { code, stdout, stderr } = await moves.sidecar.mairust([...args, "-f", "json"]);
  return { code, err: stderr, report: stdout.length === 0 ? ({} as T) : JSON.parse(stdout.toString()) };
}
const take = (...more: string[]) => transfer<ImportReport>("import", USER, USER, ...more);
const give = (...more: string[]) => transfer<ImapExportReport>("export", TARGET, USER, ...more);

const there = (user: string) => ({
  ...{ host: "127.0.0.1", port: moves.dovecot.imapPort, secure: false, verifyCertificate: true },
  ...{ user, password: "secret", authorize: undefined },
});
const ASKED = { maps: [], bytesPerSecond: undefined, dryRun: false, onProgress: () => undefined };

/** With the service as it is, but a message comes to a folder just when all of it was copied. */
function takeWhileMailComes(): Promise<ImportReport> {
  const calls = importCalls(new Client(moves.sidecar.apiSocket));
  return importImap({
    ...{ ...ASKED, account: USER, uids: "keep", final: false, there: there(USER) },
    calls: {
      ...calls,
      async close(id, body) {
        const closed = await calls.close(id, body);
        if (body.name === WORK)
          await withDovecot(USER, client => client.append(WORK, "Subject: meanwhile\r\n\r\nnew\r\n"));
        return closed;
      },
    },
  });
}

/** With the service as it is, but for one message of a mailbox that seems to be gone. */
function giveWithout(uid: number): Promise<ImapExportReport> {
  const calls = exportCalls(new Client(moves.sidecar.apiSocket));
  return exportImap({
    ...{ ...ASKED, account: USER, there: there(TARGET) },
    expunge: true,
    calls: {
      ...calls,
      async messages(account, mailbox, cursor) {
        const page = await calls.messages(account, mailbox, cursor);
        if (mailbox !== WORK) return page;
        return { ...page, items: page.items.filter(message => message.uid !== uid) };
      },
    },
  });
}

const sum = <M>(report: { readonly mailboxes: readonly M[] }, of: (mailbox: M) => number): number =>
  report.mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);
const copied = (report: ImapExportReport | ImportReport) =>
  sum<{ readonly copied: number }>(report, mailbox => mailbox.copied);
const total = (
  report: ImapExportReport,
  key: "recognized" | "expunged" | "flags_updated" | "removed_there",
) => sum<ImapExportMailboxReport>(report, mailbox => mailbox[key]);

test("accounts move from Dovecot into the service and on into Dovecot under kills: nothing lost, nothing twice", async () => {
  assert.equal(fillSources(moves, MESSAGES, 1), MESSAGES);
  const random = new SeededRandom(7);
  const plan = await take("--dry-run");
  assert.equal(plan.code, 0, plan.err);
  assert.equal(copied(plan.report), 100);
  await moveUnderKills(moves, importArgs(moves), KILLS[0], KILL_WITHIN_MS, random);
  const checked = await moves.sidecar.mairust(verifyArgs(moves));
  assert.equal(checked.code, 0, `${checked.stderr}${checked.stdout}`);
  await moveUnderKills(moves, exportArgs(moves), KILLS[1], KILL_WITHIN_MS, random);
  assert.equal(await assertMoved(moves), MESSAGES);
});

test("a second import takes only what is new and flags that changed, a message it cannot read is named, and the others come", async () => {
  await withDovecot(USER, async client => {
    await client.append(WORK, "Subject: later\r\n\r\nnew\r\n", ["\\Seen"]);
    await client.append(WORK, "Subject: unreadable\r\n\r\nsecret\r\n", []);
    await client.append(WORK, "Subject: after it\r\n\r\nnew\r\n", []);
    await client.mailboxOpen(WORK);
    await client.messageFlagsAdd("1", ["\\Flagged", "urgent"], { uid: true });
  });
  const folder = folderDir(moves, USER, WORK);
  const paths = ["new", "cur"].flatMap(sub =>
    readdirSync(join(folder, sub)).map(name => join(folder, sub, name)),
  );
  const unreadable = paths.find(path => readFileSync(path, "utf8").startsWith("Subject: unreadable")) ?? "";
  chmodSync(unreadable, 0);
  const next = await take();
  assert.equal(next.code, 1, next.err);
  assert.deepEqual(next.report.failed, { unfetchable: 1 }, JSON.stringify(next.report.problems));
  assert.equal(copied(next.report), 2);
  assert.equal(
    sum(next.report, mailbox => mailbox.flags_updated),
    1,
  );
  chmodSync(unreadable, 0o600);
  await withDovecot(USER, async client => {
    await client.mailboxOpen(WORK);
    await client.messageDelete({ subject: "unreadable" });
  });
  const last = await take();
  assert.equal(last.code, 0, last.err);
  assert.equal(copied(last.report), 0);
});

test("mail that comes while a pass runs makes it exit 2, with nothing failed, and the next pass has it", async () => {
  const during = await takeWhileMailComes();
  assert.deepEqual([importExit(during), during.changed, during.failed, copied(during)], [2, true, {}, 0]);
  const next = await take();
  assert.deepEqual([next.code, copied(next.report)], [0, 1], next.err);
});

test("a second export carries over what is new, flags that changed, and by --delete what is gone", async () => {
  const next = await give();
  assert.equal(next.code, 0, `${next.err}${JSON.stringify(next.report)}`);
  assert.equal(copied(next.report), 3);
  assert.equal(total(next.report, "flags_updated"), 1);
  assert.deepEqual((await readAccount(moves, TARGET)).get(WORK), (await readAccount(moves, USER)).get(WORK));
  await withDovecot(TARGET, async client => {
    await client.mailboxOpen(WORK);
    await client.messageDelete({ subject: "after it" });
  });
  const removed = await give();
  assert.equal(removed.code, 0, removed.err);
  assert.equal(total(removed.report, "removed_there"), 1, "what was removed there does not come back");
  assert.equal(copied(removed.report), 0);
  const before = (await readAccount(moves, TARGET)).get(WORK)?.length ?? 0;
  const report = await giveWithout(1);
  assert.equal(total(report, "expunged"), 1);
  assert.equal((await readAccount(moves, TARGET)).get(WORK)?.length, before - 1);
});

test("a target that holds the mail already gets only what is new, even when what was written down is lost", async () => {
  const other = await transfer<ImapExportReport>("export", USER, USER);
  assert.equal(other.code, 0, `${other.err}${JSON.stringify(other.report)}`);
  assert.equal(copied(other.report), 0, "the source itself");
  assert.equal(
    total(other.report, "recognized"),
    sum(other.report, mailbox => mailbox.found),
  );
  assert.equal(total(other.report, "flags_updated"), 0);
});

test("a list of accounts with one that fails brings the others, and says which line is wrong", async () => {
  const csv = join(scratch.dir, "some.csv");
  writeFileSync(
    csv,
    "account,user\nu1@example.test,to-u1@example.test\nu2@example.test,nobody@example.test\n",
  );
  const args = ["export", "imap", `imap://127.0.0.1:${moves.dovecot.imapPort}`, "--accounts", csv];
  const master = ["--master-user", MASTER.address, "--password-file", join(scratch.dir, "master")];
  const moved = await moves.sidecar.mairust([
    ...args,
    ...master,
    "--rate",
    "100M",
    "--progress=json",
    "-f",
    "json",
  ]);
  assert.equal(moved.code, 1, moved.stderr);
  const states = JSON.parse(moved.stdout.toString()).map((one: { state: string }) => one.state);
  assert.deepEqual(states, ["done", "failed"]);
  assert.match(moved.stderr, /"accounts":2,/u);
  writeFileSync(csv, "account,usr\nx\n");
  const wrong = await moves.sidecar.mairust([...args, ...master]);
  assert.equal(wrong.code, 65);
  assert.match(wrong.stderr, /some\.csv:1: no such column "usr"/u);
});

test("wrong password, nobody there, no such account, both kinds of accounts: the exit codes say which", async () => {
  const wrong = join(scratch.dir, "wrong");
  writeFileSync(wrong, "wrong");
  const codeOf = async (...args: string[]) => (await moves.sidecar.mairust(args)).code;
  const login = ["--password-file", passwordFile];
  assert.equal(await codeOf("import", "imap", at(USER), "--account", USER, "--password-file", wrong), 77);
  assert.equal(await codeOf("export", "imap", at(USER), "--account", USER, "--password-file", wrong), 77);
  assert.equal(await codeOf("import", "imap", at(USER), "--account", "no@example.test", ...login), 67);
  assert.equal(await codeOf("import", "imap", at(USER), ...login), 64);
  assert.equal(await codeOf("import", "imap", at(USER), "--account", USER, "--rate", "1", ...login), 64);
  assert.equal(await codeOf("verify", "example.test", "--against", at(USER), ...login), 64);
});
