/** `import maildir` against a whole service in this process: what it does with odd sources, UIDs, quotas, and a second pass. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { transferEngines } from "../../../src/compose/transfer.ts";
import type { ImportReport } from "../../../src/wire/api/transfer.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { TestMaildir } from "../../lib/maildir.ts";
import { command } from "../api/command.ts";
import { type RunningService, startService } from "../api/service.ts";

let running: RunningService;
let dir: string;
let made = 0;

before(async () => {
  running = await startService();
  dir = mkdtempSync(join(tmpdir(), "mr-import-"));
});
after(async () => {
  await running.stop();
  rmSync(dir, { recursive: true, force: true });
});

const standalone = { transfer: () => Promise.resolve(transferEngines) };
const run = (...args: string[]) => command(running.site.configFile, args, { standalone });

async function newAccount(...more: string[]): Promise<string> {
  const address = `u${++made}@example.test`;
  assert.equal((await run("account", "add", address, ...more)).code, 0);
  return address;
}

const newMaildir = () => new TestMaildir(join(dir, `m${++made}`));

async function importFrom(source: TestMaildir, account: string, ...more: string[]) {
  const { code, out, err } = await run(
    "import",
    "maildir",
    source.dir,
    "--account",
    account,
    "-f",
    "json",
    ...more,
  );
  assert.notEqual(out, "", err);
  const report: ImportReport = JSON.parse(out);
  const inbox = report.mailboxes.find(mailbox => mailbox.source === "INBOX");
  assert.ok(inbox);
  return { code, err, report, inbox };
}

interface Listed {
  readonly uid: number;
  readonly flags: readonly string[];
  readonly keywords: readonly string[];
  readonly size_bytes: number;
}

async function listed(account: string, mailbox = "INBOX"): Promise<readonly Listed[]> {
  const path = `/api/v1/accounts/${encodeURIComponent(account)}/mailboxes/${encodeURIComponent(mailbox)}/messages?limit=200`;
  return (await running.ask("GET", path)).body.items as Listed[];
}

async function mailboxOf(account: string, name: string) {
  const { body } = await running.ask("GET", `/api/v1/accounts/${encodeURIComponent(account)}/mailboxes`);
  return (body.items as { name: string; uid_validity: number; uid_next: number; subscribed: boolean }[]).find(
    mailbox => mailbox.name === name,
  );
}

const uids = async (account: string) => (await listed(account)).map(message => message.uid);
const message = (subject: string) => `Subject: ${subject}\n\nbody\n`;

test("what is no message is passed over or failed with its reason, and all the rest is copied", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.add("", { name: "1.good", content: message("good") });
  source.add("", { name: "2.empty:2,", content: "" });
  source.add("", { name: "3.nul:2,S", content: "Subject: a\0b\n\n\0" });
  source.add("", { name: ".hidden", content: message("hidden") });
  source.add("", { name: "4.zipped", content: Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]) });
  writeFileSync(join(dir, "secret"), "of somebody else\n");
  symlinkSync(join(dir, "secret"), join(source.dir, "cur", "5.link:2,"));
  mkdirSync(join(source.dir, "cur", "6.folder:2,"));
  execFileSync("mkfifo", [join(source.dir, "cur", "7.fifo:2,")]);
  symlinkSync(dir, join(source.dir, ".Link"));
  writeFileSync(join(source.dir, "tmp", "8.unfinished"), message("unfinished"));
  const { code, report, inbox } = await importFrom(source, account);
  assert.equal(code, 1);
  assert.deepEqual([inbox.found, inbox.copied, inbox.skipped, inbox.failed], [8, 3, 1, 4]);
  assert.deepEqual(report.failed, { compressed: 1, not_a_file: 3 });
  assert.deepEqual(report.skipped, { hidden: 1 });
  assert.deepEqual(report.problems.map(problem => problem.file).sort(), [
    "INBOX",
    "cur/5.link:2,",
    "cur/6.folder:2,",
    "cur/7.fifo:2,",
    "new/4.zipped",
  ]);
  assert.match(report.notes.join(), /\.Link.*symbolic link/u);
  assert.deepEqual(
    (await listed(account)).map(one => one.size_bytes),
    [23, 0, 17],
  );
  const raw = await run("msg", "raw", "--account", account, "--mailbox", "INBOX", "--uid", "3");
  assert.equal(raw.out, "Subject: a\0b\r\n\r\n\0");
});

test("mail that came here and to the source is recognised by its bytes without the trace: no copy, the source's flags, our UIDs", async () => {
  const account = await newAccount();
  const bodies = ["Message-ID: <1@x>\nSubject: one\n\nmirrored\n", "Subject: nameless\n\nmirrored\n"];
  const [named = "", nameless = ""] = bodies;
  const address = running.service.addresses().find(({ name }) => name === "lmtp")?.address ?? "";
  const client = await LmtpTestClient.open(Number(address.split(":").at(-1)));
  const received = "Received: by postfix.test; Mon, 2 Mar 2026 10:00:00 +0000\n";
  for (const [i, mail] of [named, named, nameless].entries()) {
    const bytes = Buffer.from(`${received}${mail}`.replaceAll("\n", "\r\n"));
    assert.match((await client.deliver([account], bytes, `MIRROR${i}`))[0] ?? "", /^250 /u);
  }
  client.close();
  const source = newMaildir();
  const there = (mail: string) =>
    `Return-Path: <a@b>\nDelivered-To: c@d\nReceived: by dovecot.test; now\nReceived: by sidecar.test; now\n${received}${mail}`;
  source.add("", { name: "1.old:2,S", content: message("old") });
  source.add("", { name: "2.one:2,FS", content: there(named) });
  source.add("", { name: "3.other:2,", content: there(named.replace("mirrored", "other")) });
  source.add("", { name: "4.twin:2,", content: there(named) });
  source.add("", { name: "5.more:2,", content: there(named) });
  source.add("", {
    name: "6.nameless:2,R",
    content: there(nameless),
    seconds: Math.floor(Date.now() / 1000),
  });
  const { code, inbox } = await importFrom(source, account);
  assert.deepEqual([code, inbox.found, inbox.copied, inbox.already, inbox.uids], [0, 6, 3, 3, "own"]);
  const flags = (await listed(account)).map(one => [one.uid, [...one.flags].sort().join(" ")]);
  const oldest = [
    [1, "\\Flagged \\Seen"],
    [2, ""],
    [3, "\\Answered"],
  ];
  assert.deepEqual(flags.slice(0, 3), oldest);
  assert.equal(flags.length, 6);
  renameSync(join(source.dir, "cur", "4.twin:2,"), join(source.dir, "cur", "4.twin:2,S"));
  const again = await importFrom(source, account);
  assert.deepEqual([again.inbox.copied, again.inbox.already, again.inbox.flags_updated], [0, 6, 1]);
  assert.deepEqual((await listed(account))[1]?.flags, ["\\Seen"]);
});

test("UIDs and UIDVALIDITY are the source's when the whole mailbox can be the same, UIDNEXT too, and new mail goes on there", async () => {
  const account = await newAccount();
  const source = newMaildir();
  for (const name of ["1.a", "2.b", "3.c"]) source.add("", { name: `${name}:2,`, content: message(name) });
  source.list("", 4242, 50, { "1.a": 30, "2.b": 7, "3.c": 31 });
  const { code, inbox } = await importFrom(source, account);
  assert.equal(code, 0);
  assert.equal(inbox.uids, "kept");
  assert.deepEqual(await uids(account), [7, 30, 31]);
  const { uid_validity: validity, uid_next: next } = (await mailboxOf(account, "INBOX")) ?? {};
  assert.deepEqual([validity, next], [4242, 50]);
  source.add("", { name: "4.d:2,", content: message("4.d") });
  source.list("", 4242, 52, { "1.a": 30, "2.b": 7, "3.c": 31, "4.d": 51 });
  assert.equal((await importFrom(source, account)).code, 0);
  assert.deepEqual(await uids(account), [7, 30, 31, 51]);
});

test("an empty folder of the source keeps its UIDVALIDITY and UIDNEXT as well", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.list("", 99, 1234, {});
  source.list(".Gone", 98, 5, {});
  assert.equal((await importFrom(source, account)).code, 0);
  assert.deepEqual(
    [(await mailboxOf(account, "INBOX"))?.uid_next, (await mailboxOf(account, "Gone"))?.uid_validity],
    [1234, 98],
  );
});

test("UIDs are our own without a list, in a mailbox that held mail, for folders put together, and when asked for", async () => {
  const source = newMaildir();
  source.add("", { name: "1.a:2,", content: message("a") });
  const unlisted = await importFrom(source, await newAccount());
  assert.match(unlisted.inbox.uids_reason, /no dovecot-uidlist/u);
  source.list("", 4242, 50, { "1.a": 30 });
  const used = await newAccount();
  const path = `/api/v1/accounts/${encodeURIComponent(used)}/mailboxes/INBOX/messages`;
  assert.equal((await running.ask("POST", path, { message: Buffer.from("Subject: x\r\n\r\n") })).status, 201);
  const second = await importFrom(source, used);
  assert.deepEqual([second.code, second.inbox.uids], [0, "own"]);
  assert.match(second.inbox.uids_reason, /held mail before/u);
  assert.deepEqual(await uids(used), [1, 2]);
  const asked = await newAccount();
  assert.equal((await importFrom(source, asked, "--uids", "own")).inbox.uids, "own");
  assert.deepEqual(await uids(asked), [1]);
  assert.notEqual((await mailboxOf(asked, "INBOX"))?.uid_validity, 4242);
  source.add(".Other", { name: "9.o:2,", content: message("o") });
  const merged = await newAccount();
  const both = await importFrom(source, merged, "--map", "Other=INBOX");
  assert.match(both.inbox.uids_reason, /several folders/u);
  assert.deepEqual(await uids(merged), [1, 2]);
});

test("mail that its server has not numbered waits, with exit 2; --final numbers it as Dovecot would", async () => {
  const account = await newAccount();
  const source = newMaildir();
  for (const name of ["1.a", "30.late", "4.early"]) source.add("", { name, content: message(name) });
  source.list("", 5, 9, { "1.a": 3 });
  const first = await importFrom(source, account);
  assert.deepEqual([first.code, first.inbox.copied, first.inbox.skipped], [2, 1, 2]);
  assert.deepEqual(first.report.skipped, { no_uid_yet: 2 });
  const last = await importFrom(source, account, "--final");
  assert.deepEqual([last.code, last.inbox.copied], [0, 2]);
  assert.deepEqual(await uids(account), [3, 9, 10]);
  const raw = await run("msg", "raw", "--account", account, "--mailbox", "INBOX", "--uid", "9");
  assert.match(raw.out, /4\.early/u);
});

test("mail that arrived here took a UID: what the source has under it is refused, and --uids own copies it", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.add("", { name: "1.a:2,", content: message("a") });
  source.list("", 5, 2, { "1.a": 1 });
  assert.equal((await importFrom(source, account)).code, 0);
  const path = `/api/v1/accounts/${encodeURIComponent(account)}/mailboxes/INBOX/messages`;
  assert.equal((await running.ask("POST", path, { message: Buffer.from("Subject: x\r\n\r\n") })).status, 201);
  source.add("", { name: "2.b:2,", content: message("b") });
  source.list("", 5, 3, { "1.a": 1, "2.b": 2 });
  const refused = await importFrom(source, account);
  assert.deepEqual([refused.code, refused.report.failed], [1, { uid_taken: 1 }]);
  assert.deepEqual(await uids(account), [1, 2]);
  assert.equal((await importFrom(source, account, "--uids", "own")).code, 0);
  assert.deepEqual(await uids(account), [1, 2, 3]);
});

test("a source that was numbered anew cannot go on in a mailbox that has its old UIDs", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.add("", { name: "1.a:2,", content: message("a") });
  source.list("", 5, 2, { "1.a": 1 });
  assert.equal((await importFrom(source, account)).code, 0);
  source.add("", { name: "2.b:2,", content: message("b") });
  source.list("", 6, 3, { "1.a": 1, "2.b": 2 });
  const refused = await importFrom(source, account);
  assert.deepEqual([refused.code, refused.report.failed], [1, { uid_taken: 1 }]);
  assert.match(refused.inbox.uids_reason, /UIDVALIDITY was 5/u);
  assert.deepEqual(await uids(account), [1]);
});

test("flags that changed at the source are changed here, those that were changed here stay, and an expunged message stays away", async () => {
  const account = await newAccount();
  const source = newMaildir();
  const path = source.add("", { name: "1.a:2,Sa", content: message("a") });
  source.add("", { name: "2.b:2,", content: message("b") });
  writeFileSync(join(source.dir, "dovecot-keywords"), "0 work\n1 home\n");
  assert.equal((await importFrom(source, account)).code, 0);
  const before = await listed(account);
  assert.deepEqual([before[0]?.flags, before[0]?.keywords], [["\\Seen"], ["work"]]);
  renameSync(path, join(source.dir, "cur", "1.a:2,Fb"));
  const dry = await importFrom(source, account, "--dry-run");
  assert.equal(dry.inbox.flags_updated, 1);
  assert.deepEqual((await listed(account))[0]?.flags, ["\\Seen"], "a dry run changes nothing");
  const again = await importFrom(source, account);
  assert.deepEqual([again.code, again.inbox.flags_updated, again.inbox.copied], [0, 1, 0]);
  const now = await listed(account);
  assert.deepEqual([now[0]?.flags, now[0]?.keywords, now.length], [["\\Flagged"], ["home"], 2]);
});

test("a file that got another name is the same message, equal files are not", async () => {
  const account = await newAccount();
  const source = newMaildir();
  const path = source.add("", { name: "1.a:2,", content: message("same") });
  source.add("", { name: "2.b:2,", content: message("same") });
  assert.equal((await importFrom(source, account)).inbox.copied, 2);
  renameSync(path, join(source.dir, "cur", "9.renamed:2,"));
  const again = await importFrom(source, account);
  assert.deepEqual([again.inbox.copied, again.inbox.already], [0, 2]);
  source.add("", { name: "3.c:2,", content: message("same") });
  assert.equal((await importFrom(source, account)).inbox.copied, 1);
  unlinkSync(join(source.dir, "cur", "2.b:2,"));
  assert.equal((await importFrom(source, account)).inbox.gone_at_source, 1);
  assert.equal((await listed(account)).length, 3);
});

test("a full account: what fits is copied in order, the rest is failed and comes when there is room", async () => {
  const account = await newAccount("--quota", "2K");
  const source = newMaildir();
  source.fill("", 10, 400);
  const full = await importFrom(source, account);
  assert.equal(full.code, 1);
  assert.ok(full.inbox.copied > 0 && full.inbox.copied < 10);
  assert.deepEqual(full.report.failed, { over_quota: 10 - full.inbox.copied });
  assert.equal((await run("account", "quota", account, "1M")).code, 0);
  assert.equal((await importFrom(source, account)).code, 0);
  assert.deepEqual(
    await uids(account),
    Array.from({ length: 10 }, (_, i) => i + 1),
  );
});

test("two imports at once store every message once", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.fill("", 150);
  const both = await Promise.all([importFrom(source, account), importFrom(source, account)]);
  assert.deepEqual(
    both.map(one => one.code),
    [0, 0],
  );
  assert.equal(both[0].inbox.copied + both[1].inbox.copied, 150);
  assert.equal((await listed(account)).length, 150);
});

test("a dry run says what would happen and makes nothing; the report is kept and can be read", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.fill(".New", 3);
  const dry = await importFrom(source, account, "--dry-run");
  assert.equal(dry.code, 0);
  assert.equal(dry.report.mailboxes.find(mailbox => mailbox.mailbox === "New")?.copied, 3);
  assert.equal(await mailboxOf(account, "New"), undefined);
  const before = await running.ask("GET", `/api/v1/imports?account=${encodeURIComponent(account)}`);
  assert.deepEqual(before.body.items, []);
  writeFileSync(join(source.dir, "subscriptions"), "V\t2\n\nINBOX\n");
  assert.equal((await importFrom(source, account)).code, 0);
  assert.equal((await mailboxOf(account, "New"))?.subscribed, false);
  const { body } = await running.ask("GET", `/api/v1/imports?account=${encodeURIComponent(account)}`);
  const [kept] = body.items as { id: number; state: string; copied: number; report: ImportReport }[];
  assert.deepEqual([kept?.state, kept?.copied, kept?.report.mailboxes.length], ["done", 3, 2]);
  assert.equal((await running.ask("GET", `/api/v1/imports/${kept?.id}`)).status, 200);
});

test("a batch that breaks off, or is none, stores nothing", async () => {
  const account = await newAccount();
  const query = `account=${encodeURIComponent(account)}&mailbox=INBOX`;
  const post = (bytes: Buffer) =>
    running.ask("POST", `/api/v1/imports/1/messages?${query}`, {
      message: bytes,
      headers: { "content-type": "application/octet-stream" },
    });
  const { dataFrames, endFrame, headFrame, lastFrame } = await import("../../../src/wire/message-batch.ts");
  const head = { key: "k", source_uid: null, flags: [], keywords: [], internal_date: "2020-01-01T00:00:00Z" };
  const whole = [headFrame(head), ...dataFrames(Buffer.from("Subject: x\r\n\r\n")), endFrame()];
  assert.equal((await post(Buffer.concat(whole))).status, 400);
  assert.equal(
    (await post(Buffer.concat([headFrame({ ...head, flags: ["\\Nonsense"] }), endFrame(), lastFrame()])))
      .status,
    400,
  );
  assert.deepEqual(await listed(account), []);
  assert.equal((await post(Buffer.concat([...whole, lastFrame()]))).status, 200);
  assert.equal((await post(Buffer.concat([...whole, lastFrame()]))).status, 200);
  assert.equal((await listed(account)).length, 1, "sent again it is there already");
});

test("a batch of too many messages is refused; the hundreds that were stored before are known, so nothing comes twice", async () => {
  const account = await newAccount();
  const query = `account=${encodeURIComponent(account)}&mailbox=INBOX`;
  const { endFrame, headFrame, lastFrame } = await import("../../../src/wire/message-batch.ts");
  const head = { source_uid: null, flags: [], keywords: [], internal_date: "2020-01-01T00:00:00Z" };
  const frames = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => [
      headFrame({ ...head, key: `k${from + i}` }),
      endFrame(),
    ]).flat();
  const post = (bytes: Buffer) =>
    running.ask("POST", `/api/v1/imports/1/messages?${query}`, {
      message: bytes,
      headers: { "content-type": "application/octet-stream" },
    });
  assert.equal((await post(Buffer.concat([...frames(0, 501), lastFrame()]))).status, 400);
  assert.equal((await post(Buffer.concat([...frames(0, 500), lastFrame()]))).status, 200);
  assert.equal((await post(Buffer.concat([...frames(500, 501), lastFrame()]))).status, 200);
  assert.equal((await mailboxOf(account, "INBOX"))?.uid_next, 502);
});

test("UIDVALIDITY cannot change once a mailbox held an entry", async () => {
  const account = await newAccount();
  const source = newMaildir();
  source.fill("", 1);
  assert.equal((await importFrom(source, account, "--uids", "own")).code, 0);
  source.list("", 4242, 2, { "1600000000.M0P1.fill": 1 });
  const kept = await importFrom(source, account);
  assert.equal(kept.inbox.uids, "own");
  assert.notEqual((await mailboxOf(account, "INBOX"))?.uid_validity, 4242);
});
