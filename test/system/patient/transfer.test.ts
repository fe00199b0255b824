/** Import, export and verify against a Maildir that a real Dovecot wrote and serves. */
import assert from "node:assert/strict";
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import { MAIL_UID } from "../../../src/mailhost/dovecot-config.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import type { ImportReport } from "../../../src/wire/api/transfer.ts";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const START_MS = 90_000;
const USER = "taro@example.test";
const COPY = "copy@example.test";
const MASTER = { address: "admin", password: "master secret" };
const PASSWORD = "secret";

let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
let dovecot: Dovecot;
let passwordFile: string;

before(async () => {
  scratch = await makeScratch();
  mkdirSync(join(scratch.dir, "d"));
  const deadline = deadlineAfter(START_MS);
  dovecot = await startDovecot(
    {
      dir: join(scratch.dir, "d"),
      mode: { kind: "maildir", master: MASTER },
      users: [USER, COPY].map(address => ({ address, password: PASSWORD })),
      // Keywords of more than one mailbox, and what old Maildirs hold, do not disturb.
      extraConfig: "mail_max_keyword_length = 60",
    },
    deadline,
  );
  deadline.dispose();
  sidecar = await startSidecar({ dir: join(scratch.dir, "s") });
  passwordFile = join(scratch.dir, "password");
  writeFileSync(passwordFile, `${PASSWORD}\n`);
  for (const account of [USER, COPY, "again@example.test"])
    assert.equal((await sidecar.mairust(["account", "add", account])).code, 0);
});
after(async () => {
  await dovecot?.stop();
  await sidecar?.stop();
  await scratch?.remove();
});

async function withDovecot<T>(work: (client: ImapFlow) => Promise<T>): Promise<T> {
  const auth = { user: USER, pass: PASSWORD };
  const common = { host: "127.0.0.1", port: dovecot.imapPort, secure: false, logger: false as const };
  const client = new ImapFlow({ ...common, auth });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.logout();
  }
}

const maildir = (user = USER) => join(dovecot.home(user), "Maildir");

/** A file as an MDA that knows no Dovecot leaves it. */
function drop(folder: string, name: string, content: string | Buffer, seconds = 1_500_000_000): void {
  const tmp = join(maildir(), folder, "tmp", name.replace(/:.*/u, ""));
  writeFileSync(tmp, content);
  chownSync(tmp, MAIL_UID, MAIL_UID);
  utimesSync(tmp, seconds, seconds);
  renameSync(tmp, join(maildir(), folder, name.includes(":2,") ? "cur" : "new", name));
}

async function importInto(
  account: string,
  ...more: string[]
): Promise<{ code: number | null; report: ImportReport; err: string }> {
  const source = more.find(arg => arg.startsWith("/")) ?? maildir();
  const args = [
    "import",
    "maildir",
    source,
    "--account",
    account,
    "-f",
    "json",
    ...more.filter(arg => arg !== source),
  ];
  const { code, stdout, stderr } = await sidecar.mairust(args);
  return {
    code,
    err: stderr,
    report: stdout.length === 0 ? ({} as ImportReport) : JSON.parse(stdout.toString()),
  };
}

const verify = (account: string, user: string, ...more: string[]) =>
  sidecar.mairust([
    ...["verify", account, "--against", `imap://${encodeURIComponent(user)}@127.0.0.1:${dovecot.imapPort}`],
    ...["--password-file", passwordFile, ...more],
  ]);

const total = (
  report: ImportReport,
  key: "found" | "copied" | "already" | "failed" | "skipped" | "flags_updated",
) => report.mailboxes.reduce((sum, mailbox) => sum + mailbox[key], 0);

const ODD: Readonly<Record<string, string | Buffer>> = {
  "lone line ends": "Subject: lf\nFrom: a@b.test\n\nline\nmixed\r\nlone\rcr\n\nend",
  "no end of line": "Subject: short\n\nno end",
  "header only": "Subject: header only\n",
  "header and nothing": "Subject: header",
  "no header": "\nonly a body\n",
  "not a message": "no colon here\nnor here\n",
  binary: Buffer.from([0x53, 0x3a, 0x20, 0x78, 0x0a, 0x0a, 0x80, 0xff, 0xfe, 0x0a, 0x01]),
  nul: Buffer.from("Subject: n\0ul\n\nbody \0\0 here\n", "latin1"),
  "long line": `Subject: long\n\n${"x".repeat(300_000)}\n`,
  large: `Subject: large\n\n${"some text that is repeated\n".repeat(120_000)}`,
};

async function fillDovecot(): Promise<void> {
  await withDovecot(async client => {
    for (const folder of ["送信済み", "仕事", "仕事/案件 A&B", "Lists/dev", "Empty"])
      await client.mailboxCreate(folder);
    await client.mailboxSubscribe("仕事");
    await client.mailboxSubscribe("Lists/dev");
    const date = new Date("2019-03-04T05:06:07Z");
    for (const [i, folder] of ["INBOX", "送信済み", "仕事", "仕事/案件 A&B", "Lists/dev"].entries()) {
      for (let n = 0; n < 5; n += 1) {
        const flags =
          [["\\Seen"], ["\\Flagged", "important"], ["\\Answered", "\\Seen", "$Forwarded"], ["\\Draft"], []][
            n
          ] ?? [];
        await client.append(
          folder,
          `Subject: ${folder} ${n}\r\nMessage-ID: <${i}.${n}@x.test>\r\n\r\nbody ${n}\r\n`,
          flags,
          date,
        );
      }
    }
    // Gaps in the UIDs.
    await client.mailboxOpen("INBOX");
    await client.messageDelete("2,4", { uid: true });
  });
  let n = 0;
  for (const content of Object.values(ODD)) drop("", `1500000000.M${++n}P1.odd`, content, 1_500_000_000 + n);
  if (corpusThere())
    for (const { bytes } of readCorpus().filter(one => one.bytes.length < 200_000)) {
      const text = bytes.toString("latin1").replaceAll("\r\n", "\n");
      drop("", `1500001000.M${++n}P1.corpus`, Buffer.from(text, "latin1"), 1_500_001_000 + n);
    }
  // Dovecot gives them UIDs.
  await withDovecot(async client => void (await client.mailboxOpen("INBOX")));
}

test("a Maildir of Dovecot comes over with bytes, dates, flags, keywords, folders and UIDs, and verify finds both equal", async () => {
  await fillDovecot();
  const plan = await importInto(USER, "--dry-run");
  assert.equal(plan.code, 0, plan.err);
  const first = await importInto(USER);
  assert.equal(first.code, 0, `${first.err}${JSON.stringify(first.report)}`);
  assert.equal(total(first.report, "copied"), total(first.report, "found"));
  assert.equal(total(plan.report, "copied"), total(first.report, "copied"));
  const byName = new Map(first.report.mailboxes.map(mailbox => [mailbox.source, mailbox]));
  assert.equal(byName.get("送信済み")?.mailbox, "Sent");
  assert.equal(byName.get("仕事/案件 A&B")?.mailbox, "仕事/案件 A&B");
  assert.ok(first.report.mailboxes.every(mailbox => mailbox.uids === "kept"));
  const checked = await verify(USER, USER, "--full");
  assert.equal(checked.code, 0, `${checked.stderr}${checked.stdout}`);
  assert.equal((await verify(USER, USER)).code, 0);
});

test("a second pass copies only what is new, and flags that changed at the source; what changed here stays", async () => {
  const again = await importInto(USER);
  assert.equal(again.code, 0, again.err);
  assert.equal(total(again.report, "copied") + total(again.report, "flags_updated"), 0);
  assert.equal(total(again.report, "already"), total(again.report, "found"));
  await withDovecot(async client => {
    await client.append("仕事", "Subject: later\r\n\r\nnew\r\n", ["\\Seen"]);
    await client.mailboxOpen("仕事");
    await client.messageFlagsAdd("1", ["\\Flagged", "urgent"], { uid: true });
    await client.messageFlagsRemove("2", ["important"], { uid: true });
    await client.messageDelete("3", { uid: true });
  });
  const next = await importInto(USER);
  assert.equal(next.code, 0, next.err);
  assert.equal(total(next.report, "copied"), 1);
  assert.equal(total(next.report, "flags_updated"), 2);
  assert.equal(next.report.mailboxes.find(mailbox => mailbox.source === "仕事")?.gone_at_source, 1);
  const checked = await verify(USER, USER, "--full", "-f", "json");
  assert.equal(checked.code, 1);
  const differences = JSON.parse(checked.stdout.toString()).differences;
  assert.deepEqual(
    differences.map((one: { mailbox: string; kind: string; uid: number }) => [
      one.mailbox,
      one.kind,
      one.uid,
    ]),
    [["仕事", "extra", 3]],
    "the message that was deleted at the source stays here",
  );
});

test("verify sees what differs: a flag, a date, bytes, a missing and a further message", async () => {
  const dir = join(maildir(), ".Lists.dev", "cur");
  const [flagged, dated, changed] = readdirSync(dir).sort();
  renameSync(join(dir, flagged ?? ""), join(dir, `${flagged}T`));
  utimesSync(join(dir, dated ?? ""), 1, 1);
  const file = join(dir, changed ?? "");
  const { mtime } = statSync(file);
  writeFileSync(file, readFileSync(file, "utf8").replace("body", "BODY"));
  utimesSync(file, mtime, mtime);
  // What Dovecot remembers of the files.
  for (const name of readdirSync(join(dir, "..")))
    if (name.startsWith("dovecot.index")) rmSync(join(dir, "..", name));
  const checked = await verify(USER, USER, "--full", "-f", "json");
  const kinds = JSON.parse(checked.stdout.toString())
    .differences.filter((one: { mailbox: string }) => one.mailbox === "Lists/dev")
    .map((one: { kind: string }) => one.kind);
  assert.deepEqual(kinds.sort(), ["bytes", "date", "flags"], checked.stdout.toString());
  assert.equal(
    (await verify(USER, USER)).code,
    1,
    "headers and sizes are equal but for the date and the flag",
  );
});

test("an export is a Maildir that Dovecot serves with the same UIDs, and importing it gives the same set", async () => {
  const target = maildir(COPY);
  mkdirSync(dovecot.home(COPY), { recursive: true });
  chownSync(dovecot.home(COPY), MAIL_UID, MAIL_UID);
  const args = ["export", "maildir", target, "--account", USER, "--owner", `${MAIL_UID}:${MAIL_UID}`];
  const written = await sidecar.mairust(args);
  assert.equal(written.code, 0, written.stderr);
  const served = await verify(USER, COPY, "--full");
  assert.equal(served.code, 0, `${served.stderr}${served.stdout}`);
  const resumed = await sidecar.mairust([...args, "-f", "json"]);
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stderr, /wrote 0 of/u);

  const back = await importInto("again@example.test", target);
  assert.equal(back.code, 0, `${back.err}${JSON.stringify(back.report.mailboxes)}`);
  const same = await verify("again@example.test", COPY, "--full");
  assert.equal(same.code, 0, `${same.stderr}${same.stdout}`);
  const other = await sidecar.mairust(["export", "maildir", maildir(), "--account", USER]);
  assert.equal(other.code, 73, "a folder that holds something else is refused");
  assert.equal(
    (await sidecar.mairust(["export", "maildir", target, "--account", "again@example.test"])).code,
    73,
  );
});

test("master login, wrong password, no such account, no Maildir: the exit codes say which", async () => {
  const masterFile = join(scratch.dir, "master");
  writeFileSync(masterFile, MASTER.password);
  const url = `imap://${encodeURIComponent(COPY)}@127.0.0.1:${dovecot.imapPort}`;
  const asMaster = [
    "verify",
    USER,
    "--against",
    url,
    "--master-user",
    MASTER.address,
    "--password-file",
    masterFile,
  ];
  const checked = await sidecar.mairust(asMaster);
  assert.equal(checked.code, 0, checked.stderr);
  assert.equal(
    (await sidecar.mairust(["verify", USER, "--against", url, "--password-file", masterFile])).code,
    77,
  );
  assert.equal(
    (
      await sidecar.mairust([
        "verify",
        "nobody@example.test",
        "--against",
        url,
        "--password-file",
        masterFile,
      ])
    ).code,
    67,
  );
  assert.equal(
    (await sidecar.mairust(["verify", USER, "--against", "http://x", "--password-file", masterFile])).code,
    64,
  );
  assert.equal(
    (await sidecar.mairust(["verify", USER, "--against", url, "--password-file", "/nowhere"])).code,
    66,
  );
  const away = ["verify", USER, "--against", "imap://x@127.0.0.1:1", "--password-file", masterFile];
  assert.equal((await sidecar.mairust(away)).code, 69);
  assert.equal((await importInto("nobody@example.test")).code, 67);
  assert.equal((await importInto(USER, "/nowhere")).code, 66);
  assert.equal((await importInto(USER, scratch.dir)).code, 65);
  assert.equal((await importInto(USER, "--uids", "some")).code, 64);
  assert.equal((await importInto(USER, "--progress=bar")).code, 64);
  assert.equal((await sidecar.mairust(["export", "maildir", "/proc/x", "--account", USER])).code, 73);
});
