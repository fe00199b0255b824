import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { filingPlugin } from "../lib/filing-plugin.ts";
import { MailDialog } from "../lib/mail-dialog.ts";
import { drainQueue } from "../lib/mail-site.ts";
import { findPigeonhole } from "../lib/pigeonhole.ts";
import { inboxOf, type RelaySite, startRelaySite } from "../lib/relay-site.ts";

const NAMES = [
  "a@observe.test",
  "b@observe.test",
  "a@hooks.test",
  "b@hooks.test",
  "a@mirror.test",
  "b@mirror.test",
];
/** A hook files their mail. */
const FILED = "filed@hooks.test";
/** Nobody takes fields out of their mail. */
const UNTOUCHED = "filed@observe.test";
const WAIT_MS = 60_000;
const scratch = await makeScratch();
const pigeonhole = await findPigeonhole(join(scratch.dir, "sieve"));
let site: RelaySite;
let count = 0;

before(async () => {
  site = await startRelaySite({
    stages: { "observe.test": "observe", "hooks.test": "hooks", "mirror.test": "mirror" },
    users: [...NAMES, FILED, UNTOUCHED],
    toml: filingPlugin(join(scratch.dir, "plugins"), FILED),
    aliases: { "both@hooks.test": ["a@hooks.test", "b@hooks.test"], "also@hooks.test": ["a@hooks.test"] },
    postfixSettings: {
      minimal_backoff_time: "1s",
      maximal_backoff_time: "2s",
      queue_run_delay: "1s",
      transport_retry_time: "1s",
      // RCPTs of one domain and of several come in one transaction.
      lmtp_destination_recipient_limit: "50",
    },
    dovecot: `
protocol lmtp {
  mail_plugins = $mail_plugins quota
}
quota_full_tempfail = yes
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:bytes=1000000
  quota_grace = 0
}
${pigeonhole?.settings ?? ""}`,
  });
  await pigeonhole?.installRule(join(site.sidecar.dir, "data"), site.dovecot.configFile);
});
after(async () => {
  await site?.stop();
  await scratch.remove();
});

const body = (id: string) =>
  `From: s@example.org\r\nTo: x@example.org\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <${id}@example.org>\r\nSubject: ${id}\r\n\r\n.dots\r\n..\r\nM\xe4rz\r\n`;

/** By LMTP to the sidecar, as Postfix would. */
async function lmtp(to: readonly string[], id: string, text = body(id), queueId?: string) {
  count += 1;
  const dialog = await MailDialog.open(site.sidecar.lmtpPort, "lmtp");
  const message = Buffer.from(text, "latin1");
  const replies = await dialog.submit({
    from: "s@example.org",
    to,
    message,
    queueId: queueId ?? `Q${count}`,
  });
  dialog.close();
  return replies;
}

async function send(to: readonly string[], id: string): Promise<void> {
  const smtp = await MailDialog.open(site.postfix.smtpPort, "smtp");
  const [reply] = await smtp.submit({ from: "s@example.org", to, message: Buffer.from(body(id), "latin1") });
  smtp.close();
  assert.match(reply ?? "", /^250/u);
}

const inbox = async (user: string, way: "dovecot" | "direct" = "dovecot", id = "") =>
  (await site.withImap(user, way, inboxOf))
    .map(one => one.toString("latin1"))
    .filter(one => one.includes(id));

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  const end = deadlineAfter(WAIT_MS);
  try {
    while (!(await done())) await sleep(50, end.signal);
  } catch (error) {
    throw new Error(`not in time: ${what}`, { cause: error });
  } finally {
    end.dispose();
  }
}

test("mail through Postfix lies in Dovecot byte for byte in each stage, and in mirror here too", async () => {
  await send(NAMES, "first");
  await drainQueue(site.postfix);
  for (const name of NAMES) {
    const [found, ...more] = await inbox(name, "dovecot", "first");
    assert.equal(more.length, 0, name);
    assert.ok(found?.endsWith(body("first")), `${name}: ${found}`);
    const ours = /^Received: from [^\r]+\r\n\tby mail\.store\.test with LMTP id [^\r]+;\r\n/mu.test(
      found ?? "",
    );
    assert.equal(ours, !name.endsWith("@observe.test"), name);
  }
  const [mirrored] = await inbox("a@mirror.test", "direct", "first");
  assert.ok(mirrored?.endsWith(body("first")));
  assert.match(mirrored ?? "", /^Return-Path: <s@example\.org>\r\nDelivered-To: a@mirror\.test\r\n/u);
});

test("all stages in one transaction, with doubles: one reply of Dovecot for each RCPT, one copy for each mailbox", async () => {
  const to = [
    "a@observe.test",
    "x@store.test",
    "nobody@hooks.test",
    "a@hooks.test",
    "a@mirror.test",
    "a@hooks.test",
  ];
  const replies = await lmtp(to, "mixed");
  assert.match(replies[0] ?? "", /^250 2\.0\.0 <a@observe\.test> \S+ Saved/u);
  assert.match(replies[1] ?? "", /^250 2\.0\.0 stored id=/u);
  assert.match(replies[2] ?? "", /^550 5\.1\.1 <nobody@hooks\.test> User doesn't exist/u);
  for (const i of [3, 4, 5]) assert.match(replies[i] ?? "", /^250 2\.0\.0 <a@\S+ \S+ Saved/u);
  assert.equal(replies.length, to.length);
  for (const name of ["a@observe.test", "a@hooks.test", "a@mirror.test"])
    assert.equal((await inbox(name, "dovecot", "mixed")).length, 1, name);
  assert.equal((await inbox("x@store.test", "direct", "mixed")).length, 1);
  assert.equal((await inbox("a@mirror.test", "direct", "mixed")).length, 1);
});

test("a bare LF with a dot behind it ends nothing: the octets reach Dovecot as they were", async () => {
  const text = `${body("smuggled")}x\n.\nMAIL FROM:<evil@example.org>\r\nend\r\n`;
  const replies = await lmtp(["b@observe.test", "b@hooks.test"], "smuggled", text);
  assert.deepEqual(
    replies.map(reply => reply?.slice(0, 3)),
    ["250", "250"],
  );
  for (const name of ["b@observe.test", "b@hooks.test"]) {
    const [found] = await inbox(name, "dovecot", "smuggled");
    // Dovecot keeps lines, not their ends.
    assert.ok(found?.endsWith(text.replace(/\r?\n/gu, "\r\n")), found);
  }
});

test("a recipient that Dovecot does not know bounces, one whose quota is used up waits", async () => {
  const big = `${body("big")}${`${"x".repeat(70)}\r\n`.repeat(16_000)}`;
  const [full] = await lmtp(["a@mirror.test"], "big", big);
  assert.match(full ?? "", /^452 4\.2\.2 /u);
  assert.equal((await inbox("a@mirror.test", "direct", "big")).length, 0);
  await send(["unknown@hooks.test"], "bounced");
  await drainQueue(site.postfix);
  const log = (await site.postfix.log()).join("\n");
  assert.match(log, /to=<unknown@hooks\.test>.*status=bounced .*User doesn't exist/u);
});

test("Postfix's aliases: two ways to one mailbox come to one copy, one way to two mailboxes to two", async () => {
  await send(["both@hooks.test", "also@hooks.test"], "aliased");
  await drainQueue(site.postfix);
  for (const name of ["a@hooks.test", "b@hooks.test"])
    assert.equal((await inbox(name, "dovecot", "aliased")).length, 1, name);
});

test("the same delivery again is not relayed again, and explain tells of the relay", async () => {
  assert.match((await lmtp(["a@hooks.test"], "again", body("again"), "AGAIN"))[0] ?? "", /Saved/u);
  assert.match(
    (await lmtp(["a@hooks.test"], "again", body("again"), "AGAIN"))[0] ?? "",
    /^250 2\.0\.0 id=\S+ already relayed/u,
  );
  assert.equal((await inbox("a@hooks.test", "dovecot", "again")).length, 1);
  await until("the timeline", async () => {
    const { stdout } = await site.sidecar.mairust(["explain", "AGAIN"]);
    return /\trelayed\ta@hooks\.test\treply="250 2\.0\.0 <a@hooks\.test> \S+ Saved" server=unix:/u.test(
      String(stdout),
    );
  });
});

/** The folders of Dovecot that hold mail, and all that is in each. */
const foldersOf = (user: string) =>
  site.withImap(user, "dovecot", async client => {
    const found = new Map<string, string>();
    for (const { path, flags } of await client.list()) {
      if (flags.has("\\Noselect") || flags.has("\\NonExistent")) continue;
      const lock = await client.getMailboxLock(path);
      if (client.mailbox !== false && client.mailbox.exists > 0)
        for await (const { source } of client.fetch("1:*", { source: true }))
          found.set(path, `${found.get(path) ?? ""}${source?.toString("latin1") ?? ""}`);
      lock.release();
    }
    return found;
  });

const bySieve = { skip: pigeonhole === undefined ? "Sieve is not unpacked: test/setup-host peers" : false };

test(
  "the shipped Sieve rule files into the folder that a hook chose, makes it, and takes the field out",
  bySieve,
  async () => {
    const folders = ["Lists", "受注/2026年", "長い名前の".repeat(12), "Two  words?"];
    for (const [i, folder] of folders.entries()) {
      const subject = JSON.stringify(folder).replace(/[^ -~]/gu, c => `\\u${c.charCodeAt(0).toString(16)}`);
      const text = body(`filed${i}`).replace(/^Subject: .*$/mu, `Subject: ${subject}`);
      assert.match((await lmtp([FILED], "filed", text))[0] ?? "", /^250 .*Saved/u);
    }
    const found = await foldersOf(FILED);
    for (const [i, folder] of folders.entries()) {
      const bytes = found.get(folder) ?? "";
      assert.ok(bytes.includes(`<filed${i}@example.org>`), `${folder}: ${[...found.keys()].join(", ")}`);
      assert.doesNotMatch(bytes, /X-MaiRust-Folder/iu);
      assert.ok(bytes.endsWith("\r\n.dots\r\n..\r\nM\xe4rz\r\n"), "byte for byte");
    }
    assert.equal(found.get("INBOX"), undefined);
  },
);

test(
  "where Dovecot has another separator, the rule files into folders of folders there too",
  bySieve,
  async () => {
    const place = await pigeonhole?.wouldFile("a/b/c/d/e/f/g/h", ".", site.dovecot.configFile);
    assert.equal(place, "a.b.c.d.e.f.g.h");
  },
);

test(
  "a folder field from outside files nothing: without the secret the rule passes it over",
  bySieve,
  async () => {
    const field = (id: string, secret: string) => `X-MaiRust-Folder: ${secret} Forged\r\n${body(id)}`;
    for (const secret of ["", "@SECRET@", "*", "0123456789abcdef0123456789abcdef"]) {
      const text = field("forged", secret);
      assert.match((await lmtp([UNTOUCHED, FILED], "forged", text))[1] ?? "", /^250 .*Saved/u);
    }
    const untouched = await foldersOf(UNTOUCHED);
    assert.deepEqual([...untouched.keys()], ["INBOX"]);
    assert.equal(
      untouched.get("INBOX")?.match(/^X-MaiRust-Folder: /gmu)?.length,
      4,
      "observe changes nothing",
    );
    const filed = await foldersOf(FILED);
    assert.equal(filed.get("Forged"), undefined);
    assert.doesNotMatch(filed.get("INBOX") ?? "", /X-MaiRust-Folder/iu);
  },
);

test("a next hop that restarts costs nothing, one that is down makes Postfix keep the mail", async () => {
  await site.dovecot.doveadm(["reload"]);
  // In that moment nobody may be there to take a connection: then it is tried again, as Postfix does.
  await until("it takes mail again", async () => {
    const [answer = ""] = await lmtp(["a@hooks.test"], "reloaded");
    assert.match(answer, /^(?:250 .*Saved|451 4\.3\.0 the next hop cannot be reached)/u);
    return answer.startsWith("250");
  });
  await site.stopDovecot();
  await send(["b@hooks.test", "b@mirror.test", "b@observe.test"], "kept");
  const isKept = /to=<b@\w+\.test>.*status=deferred .*451 4\.3\.0 the next hop cannot be reached/u;
  await until("a deferral", async () => (await site.postfix.log()).some(line => isKept.test(line)));
  // It is tried every second: on its way from one folder to another a message is sometimes seen nowhere.
  await until("it is in the queue", async () => (await site.postfix.queue()).length === 1);
  assert.equal((await inbox("b@mirror.test", "direct", "kept")).length, 0);
});
