/** Import, export and verify against a Maildir that a real Dovecot wrote and serves. */
import assert from "node:assert/strict";
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { MAIL_UID } from "../../src/mailhost/dovecot-config.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import type { ImportReport } from "../../src/wire/api/transfer.ts";
import { corpusThere, readCorpus } from "../lib/corpus.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

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
