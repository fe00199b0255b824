/**
 * The private Postfix and Dovecot themselves, and the files of `postfix/` and `dovecot/` in them, without a sidecar:
 * Postfix delivers to a Dovecot with maildir, a second Dovecot reads that one through `stage-store.conf`.
 */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import { runCommand } from "../../src/mailhost/command.ts";
import { readLogLines } from "../../src/mailhost/daemon.ts";
import { startDovecot } from "../../src/mailhost/dovecot.ts";
import { startPostfix } from "../../src/mailhost/postfix.ts";
import type { QueuedMessage } from "../../src/mailhost/postfix-queue.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, every, sleep } from "../../src/platform/deadline.ts";
import { packageRoot } from "../../src/platform/package-root.ts";

const START_MS = 60_000;
const ANN = { address: "ann@a.test", password: "ann-secret" };
const BOB = { address: "bob@a.test", password: "bob-secret" };
const MASTER = { address: "dovecot", password: "m%u$ter <secret>" };

const scratch = await makeScratch();
after(() => scratch.remove());

async function folder(name: string): Promise<string> {
  const dir = join(scratch.dir, name);
  await mkdir(dir);
  return dir;
}

function imapClient(port: number, user: typeof ANN): ImapFlow {
  const auth = { user: user.address, pass: user.password };
  return new ImapFlow({ host: "127.0.0.1", port, secure: false, auth, logger: false });
}

async function send(port: number, to: string[], subject: string): Promise<void> {
  const transport = createTransport({ host: "127.0.0.1", port, secure: false, ignoreTLS: true });
  await transport.sendMail({ from: "sender@a.test", to, subject, text: `${subject}\n` });
  transport.close();
}

/** Names, sizes and times of every file of the host's own mail servers. */
async function hostState(): Promise<string> {
  const dirs = ["/etc/postfix", "/var/spool/postfix", "/etc/dovecot", "/var/lib/dovecot", "/var/lib/postfix"];
  const { stdout } = await execa("find", [...dirs, "-printf", "%p %s %T@\n"], { reject: false });
  return stdout.split("\n").sort().join("\n");
}

async function groupMembers(pid: number): Promise<string[]> {
  const { stdout } = await execa("ps", ["-eo", "pgid=,stat=,args="]);
  return stdout.split("\n").filter(line => {
    const [group, state] = line.trim().split(/\s+/);
    return group === String(pid) && !state?.startsWith("Z");
  });
}

test("mail to an alias travels through Postfix and is read through the imapc configuration as shipped", async () => {
  const deadline = deadlineAfter(3 * START_MS);
  const before = await hostState();
  const store = await startDovecot(
    { dir: await folder("store"), mode: { kind: "maildir", master: MASTER }, users: [ANN, BOB] },
    deadline,
  );
  const upstream = {
    host: "127.0.0.1",
    port: store.imapPort,
    masterUser: MASTER.address,
    masterPassword: MASTER.password,
  };
  const front = await startDovecot(
    { dir: await folder("front"), mode: { kind: "imapc", upstream }, users: [ANN, BOB] },
    deadline,
  );
  const postfix = await startPostfix(
    {
      dir: await folder("postfix"),
      domains: ["a.test"],
      nextHop: `inet:127.0.0.1:${store.lmtpPort}`,
      aliases: { "team@a.test": [ANN.address, BOB.address] },
    },
    deadline,
  );
  try {
    await send(postfix.smtpPort, ["team@a.test"], "through the mail host");
    await postfix.waitQueueEmpty(deadline);
    const sent = (await postfix.log()).filter(line => line.includes("status=sent"));
    assert.equal(sent.length, 2);
    assert.match(sent[0] ?? "", /\b[0-9B-Zb-z]{15}: to=<ann@a\.test>, orig_to=<team@a\.test>/); // a long queue id

    await readsInbox(front.imapPort);
    await keepsReadOnly(front.imapPort);
    await seenPersists(front.imapPort);
    assert.deepEqual(await upstreamFlags(store.imapPort), []);
    assert.ok((await readdir(join(front.home(ANN.address), "mairust-local"))).includes(".Sent"));
  } finally {
    for (const server of [postfix, front, store]) {
      await server.stop();
      assert.deepEqual(await groupMembers(server.pid), []);
    }
  }
  assert.equal(await hostState(), before);
});

async function readsInbox(port: number): Promise<void> {
  const client = imapClient(port, ANN);
  await client.connect();
  try {
    const box = await client.mailboxOpen("INBOX");
    assert.equal(box.exists, 1);
    const message = await client.fetchOne("1", { envelope: true, source: true, bodyStructure: true });
    assert.ok(message);
    assert.equal(message.envelope?.subject, "through the mail host");
    assert.match(message.source?.toString() ?? "", /\r\n\r\nthrough the mail host\r\n$/);
    assert.deepEqual(await client.search({ subject: "host", since: new Date(0) }, { uid: true }), [1]);
  } finally {
    await client.logout();
  }
}

/** What cannot be written is refused with NO; Local/ takes what clients save, and carries the special uses. */
async function keepsReadOnly(port: number): Promise<void> {
  const client = imapClient(port, ANN);
  await client.connect();
  try {
    await assert.rejects(client.append("INBOX", "Subject: no\r\n\r\n"), { serverResponseCode: "NOPERM" });
    await assert.rejects(client.mailboxCreate("Projects"), { serverResponseCode: "NOPERM" });
    const folders = await client.list();
    const uses = Object.fromEntries(folders.map(box => [box.path, box.specialUse]));
    assert.equal(uses["Local/Sent"], "\\Sent");
    assert.equal(uses["Local/Drafts"], "\\Drafts");
    assert.equal(uses["Local/Trash"], "\\Trash");
    assert.ok(await client.append("Local/Sent", "Subject: mine\r\n\r\n", ["\\Seen"]));
    await client.mailboxOpen("INBOX");
    assert.ok(await client.messageCopy("1", "Local/Trash"));
    await client.mailboxOpen("Local/Trash");
    assert.ok(await client.messageDelete("1"));
  } finally {
    await client.logout();
  }
}

/** Dovecot's private index keeps \Seen; other flags are refused silently (as dovecot/README.md says). */
async function seenPersists(port: number): Promise<void> {
  for (const expected of [[], ["\\Seen"]]) {
    const client = imapClient(port, ANN);
    await client.connect();
    try {
      await client.mailboxOpen("INBOX");
      const message = await client.fetchOne("1", { flags: true });
      assert.ok(message);
      assert.deepEqual([...(message.flags ?? [])], expected);
      await client.messageFlagsAdd("1", ["\\Seen"]);
      await client.messageFlagsAdd("1", ["\\Flagged"]);
    } finally {
      await client.logout();
    }
  }
}

async function upstreamFlags(port: number): Promise<string[]> {
  const client = imapClient(port, ANN);
  await client.connect();
  try {
    await client.mailboxOpen("INBOX", { readOnly: true });
    const message = await client.fetchOne("1", { flags: true });
    assert.ok(message);
    return [...(message.flags ?? [])].filter(flag => flag !== "\\Recent");
  } finally {
    await client.logout();
  }
}

test("mail waits in Postfix while nobody listens, and leaves when it is flushed", async () => {
  const deadline = deadlineAfter(2 * START_MS);
  const postfix = await startPostfix({ dir: await folder("waiting"), domains: ["a.test"] }, deadline);
  const dir = await folder("late-store");
  let store: Awaited<ReturnType<typeof startDovecot>> | undefined;
  try {
    await send(postfix.smtpPort, [ANN.address], "waits");
    await assert.rejects(postfix.waitQueueEmpty(deadlineAfter(500)), { code: "deadline" });
    const isPutBack = ({ queueName, recipients }: QueuedMessage) =>
      queueName === "deferred" && recipients.some(r => r.delayReason?.includes("mairust/lmtp.sock"));
    while (!(await postfix.queue()).some(isPutBack)) await sleep(50, deadline.signal);

    const mode = { kind: "maildir", lmtpSocket: postfix.lmtpSocket } as const;
    store = await startDovecot({ dir, mode, users: [ANN] }, deadline);
    await postfix.flush();
    await postfix.waitQueueEmpty(deadline);
    assert.ok((await readdir(join(store.home(ANN.address), "Maildir", "new"))).length > 0);
  } finally {
    await postfix.stop();
    await store?.stop();
  }
});

test("a server that cannot start says why, with its last log lines, and leaves no process", async () => {
  const deadline = deadlineAfter(2 * START_MS);
  const postfix = { dir: await folder("bad-postfix"), domains: ["a.test"] };
  // Its time is over when the log says it, however long that takes.
  const saidSo = new AbortController();
  const stopLooking = every(50, async () => {
    const log = await readLogLines(join(postfix.dir, "postfix.log"));
    if (log.some(line => line.includes("bad boolean configuration"))) saidSo.abort();
  });
  await assert
    .rejects(
      startPostfix(
        { ...postfix, settings: { smtpd_peername_lookup: "perhaps" } },
        deadlineAfter(START_MS, saidSo.signal),
      ),
      /Cannot start Postfix: port \d+ did not greet.*bad boolean configuration: smtpd_peername_lookup = perhaps/s,
    )
    .finally(stopLooking);
  const dovecot = { dir: await folder("bad-dovecot"), mode: { kind: "maildir" }, users: [] } as const;
  await assert.rejects(
    startDovecot({ ...dovecot, extraConfig: "no_such_setting = yes" }, deadline),
    /Cannot start Dovecot: it ended with exit code \d+\n.*no_such_setting/s,
  );
  const { stdout } = await execa("ps", ["-eo", "args="]);
  assert.ok(!stdout.includes(scratch.dir), stdout);
});

test("servers end when the process that started them is killed", async () => {
  const orphan = fileURLToPath(import.meta.url.replace("mailhost.test.", "mailhost-orphan."));
  const args = [...process.execArgv, orphan, await folder("orphan")];
  const { stdout } = await execa(process.execPath, args, { reject: false });
  const pids = stdout.trim().split(" ").map(Number);
  assert.equal(pids.length, 2);
  const deadline = deadlineAfter(START_MS);
  for (const pid of pids) {
    assert.ok(pid > 1);
    while ((await groupMembers(pid)).length > 0) {
      assert.ok(deadline.remainingMs() > 0, `processes of ${pid} are alive`);
      await sleep(50);
    }
  }
});

for (const [name, lines] of [
  [
    "with routes of its own",
    "transport_maps = hash:/etc/postfix/transport, regexp:/etc/postfix/x\nbiff = no\n",
  ],
  ["without routes", "biff = no\n"],
  ["with an empty route setting", "transport_maps =\nenable_long_queue_ids = no\n"],
] as const) {
  test(`apply and undo of stage store leave a Postfix ${name} as it was, byte for byte`, async () => {
    const dir = join(scratch.dir, "instance");
    await mkdir(dir);
    try {
      await writeFile(join(dir, "main.cf"), `compatibility_level = 3.6\n${lines}mydestination = localhost\n`);
      await writeFile(join(dir, "master.cf"), "smtp inet n - y - - smtpd\nlmtp unix - - y - - lmtp\n");
      await writeFile(join(dir, "mairust-transport"), "a.test mairust:unix:mairust/lmtp.sock\n");
      const env = { MAIL_CONFIG: dir };
      const run = async (file: string, ...args: string[]) => {
        // Postfix waits until main.cf is more than a second old.
        await utimes(join(dir, "main.cf"), new Date(0), new Date(0));
        return runCommand(file, args, { env });
      };
      const script = (verb: string) => run("sh", join(packageRoot(), "postfix", `stage-store.${verb}`));
      const shown = async () => `${await run("postconf", "-n")}\n${await run("postconf", "-M")}`;
      const files = async () =>
        `${await readFile(join(dir, "main.cf"))}${await readFile(join(dir, "master.cf"))}`;
      const before = { shown: await shown(), names: await readdir(dir) };
      const mainCf = await files();

      await script("apply");
      const applied = await files();
      await script("apply");
      assert.equal(await files(), applied, "a second run changes something");
      const transports = await run("postconf", "-hx", "transport_maps");
      assert.ok(transports.startsWith(`texthash:${dir}/mairust-transport`), transports);
      assert.equal(transports.includes("hash:/etc/postfix/transport, regexp:"), lines.includes("regexp"));
      assert.match(await run("postconf", "-M", "mairust/unix"), /lmtp_data_done_timeout=60s/);

      await script("undo");
      assert.deepEqual({ shown: await shown(), names: await readdir(dir) }, before);
      assert.equal((await files()).replace(/\s+/g, " "), mainCf.replace(/\s+/g, " "));
      await assert.rejects(script("undo"), /nothing to undo/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
}

test("Dovecot reads stage-store.conf after a configuration that already has plugins, without losing them", async () => {
  const file = join(scratch.dir, "operator.conf");
  const shipped = join(packageRoot(), "dovecot", "stage-store.conf");
  const own = [
    "protocols = imap",
    "mail_plugins = $mail_plugins quota",
    "protocol imap {",
    "  mail_plugins = $mail_plugins imap_quota",
    "}",
    "namespace inbox {",
    "  inbox = yes",
    "  mailbox Sent {",
    "    special_use = \\Sent",
    "  }",
    "}",
  ];
  await writeFile(file, `${own.join("\n")}\n!include ${shipped}\n`);
  const { stdout, stderr } = await execa("doveconf", ["-n", "-c", file]);
  assert.equal(stderr, "");
  const protocol = / {2}mail_plugins = " quota imap_quota acl imap_acl"\n\}/;
  assert.match(
    stdout,
    new RegExp(`protocol imap \\{\n {2}imap_capability = IMAP4rev1 [^\n]+\n${protocol.source}`),
  );
  assert.match(
    stdout,
    /imapc_features = rfc822\.size fetch-headers fetch-bodystructure search delay-login send-id\n/,
  );
  assert.match(stdout, /location = imapc:~\/mairust:INDEXPVT=~\/mairust-private\n/);
  assert.equal(stdout.match(/special_use = \\Sent/g)?.length, 1);
});

test("the sidecar's socket folder is open to Postfix alone", async () => {
  const deadline = deadlineAfter(START_MS);
  const postfix = await startPostfix({ dir: await folder("sockets"), domains: ["a.test"] }, deadline);
  try {
    assert.equal((await stat(postfix.socketDir)).mode & 0o777, 0o770);
  } finally {
    await postfix.stop();
  }
});

test("docker compose accepts docker-compose.yml", async t => {
  const plugin = await execa("docker", ["compose", "version"], { reject: false });
  if (plugin.failed)
    return t.skip("no docker compose here: test/unit/mailhost/compose.test.ts checks the structure");
  const args = ["compose", "-f", join(packageRoot(), "docker-compose.yml"), "config", "--quiet"];
  const { stderr, exitCode } = await execa("docker", args, { reject: false });
  assert.equal(exitCode, 0, stderr);
});
