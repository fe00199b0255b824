/**
 * `setup` and `selftest` on running servers: a Postfix that delivers to a Dovecot, and a sidecar beside them. One account goes to stage
 * store and back, by commands alone, while the rest of its domain stays where it is.
 */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { blocks, commandLines, readmeSection } from "../lib/readme.ts";
import { inboxOf as readInbox } from "../lib/relay-site.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const TARO = "taro@a.test";
const HANA = "hana@a.test";
/** Whose mail Dovecot keeps until the last test. */
const JIRO = "jiro@c.test";
const PASSWORD = "secret";
/** In the place of the README's example.com. */
const README_DOMAIN = "b.test";
const README_USER = `taro@${README_DOMAIN}`;
const MASTER = { address: "admin", password: "master secret" };

const scratch = await makeScratch();
let dovecot: Dovecot;
let postfix: Postfix;
let sidecar: Sidecar;
let passwordFile = "";
after(async () => {
  await sidecar?.stop();
  await postfix?.stop();
  await dovecot?.stop();
  await scratch.remove();
});

before(async () => {
  const deadline = deadlineAfter(90_000);
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  dovecot = await startDovecot(
    {
      dir: await folder("d"),
      mode: { kind: "maildir", master: MASTER },
      users: [TARO, HANA, JIRO, README_USER].map(address => ({ address, password: PASSWORD })),
      extraConfig: "auth_verbose = yes\n",
    },
    deadline,
  );
  postfix = await startPostfix(
    {
      dir: await folder("p"),
      domains: ["a.test", README_DOMAIN, "c.test"],
      bare: true,
      settings: {
        virtual_transport: `lmtp:inet:127.0.0.1:${dovecot.lmtpPort}`,
        recipient_delimiter: "+",
        lmtp_tls_security_level: "none",
      },
    },
    deadline,
  );
  sidecar = await startSidecar({
    dir: await folder("s"),
    domain: "a.test",
    lmtpListen: [`unix:${postfix.lmtpSocket}`],
    lmtp: `socket_group = "postfix"\n`,
    milterListen: `unix:${postfix.milterSocket}`,
    milter: `socket_group = "postfix"\n`,
    toml: `[outbound]\nsmtp = "inet:127.0.0.1:${postfix.smtpPort}"\n${readmeDomain()}`,
  });
  passwordFile = join(scratch.dir, "password");
  await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  deadline.dispose();
});

/** The README's own, with the Dovecot of this test. */
function readmeDomain(): string {
  const [toml = ""] = blocks(readmeSection("Beside a live Postfix and Dovecot"), "toml");
  return toml
    .slice(toml.indexOf("[domains."))
    .replace("example.com", README_DOMAIN)
    .replace("unix:/run/dovecot/lmtp", `inet:127.0.0.1:${dovecot.lmtpPort}`);
}

async function mairust(...args: readonly string[]): Promise<{ readonly out: string; readonly err: string }> {
  const { code, stdout, stderr } = await sidecar.mairust(args);
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
  return { out: stdout.toString(), err: stderr };
}

const setup = (...args: readonly string[]) =>
  mairust(
    "setup",
    ...args,
    "--apply",
    "--postfix-dir",
    postfix.configDir,
    "--dovecot-config",
    dovecot.configFile,
    "--backup",
    join(scratch.dir, "backup"),
  );

const selftest = async (to: string) =>
  (
    await mairust(
      ...["selftest", "--to", to, "--through", "postfix", "--password-file", passwordFile],
      ...["--imap", `imap://${encodeURIComponent(to)}@127.0.0.1:${dovecot.imapPort}`],
    )
  ).err;

async function withImap<T>(
  auth: { readonly user: string; readonly pass: string; readonly authzid?: string },
  work: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: dovecot.imapPort,
    secure: false,
    doSTARTTLS: false,
    auth,
    logger: false,
  });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.logout();
  }
}

const asUser = (user: string) => ({ user, pass: PASSWORD });
const asMaster = (user: string) => ({ user: MASTER.address, pass: MASTER.password, authzid: user });
const countIn = async (client: ImapFlow, folder: string) => {
  const status = await client.status(folder, { messages: true });
  return status === false ? undefined : status.messages;
};
const inboxOfBytes = async (client: ImapFlow) =>
  (await readInbox(client)).map(bytes => bytes.toString("latin1"));
const inboxOf = (auth: Parameters<typeof withImap>[0]) => withImap(auth, client => countIn(client, "INBOX"));
const folders = (user: string) =>
  withImap(asUser(user), async client => (await client.list()).map(one => one.path).sort());

test("mail goes through Postfix to Dovecot before anything is set up, and in stage observe", async () => {
  assert.match(await selftest(TARO), /found in INBOX .* after \d+ ms[\s\S]*the sidecar did not see it/u);
  const { out } = await setup("a.test", "--stage", "observe");
  assert.match(out, /a\.test, stage observe: done[\s\S]*ran postfix reload/u);
  assert.match(await selftest(TARO), /found in INBOX/u);
});

test("one account is read from the sidecar, its domain is not, and a master user sees what Dovecot keeps", async () => {
  const { out } = await setup(TARO, "--stage", "store");
  assert.match(out, /users\/imap\/taro@a\.test[\s\S]*ran doveadm .* reload/u);
  assert.match(await selftest(TARO), /stored after \d+ ms/u);
  assert.match(await selftest(HANA), /found in INBOX/u);
  assert.equal(await inboxOf(asUser(TARO)), 1, "only what came since");
  assert.equal(await inboxOf(asMaster(TARO)), 2, "what Dovecot keeps");
  assert.equal(await inboxOf(asUser(HANA)), 1);
  assert.ok((await folders(TARO)).includes("Local/Sent"));
  assert.deepEqual(await folders(HANA), ["INBOX"]);
  await withImap(asUser(TARO), async client => {
    await assert.rejects(client.append("INBOX", "Subject: x\r\n\r\nx\r\n"), "the sidecar is read-only");
    assert.notEqual(await client.append("Local/Drafts", "Subject: x\r\n\r\nx\r\n"), false);
    assert.ok(!client.capabilities.has("THREAD=REFERENCES"));
  });
  await withImap(asUser(HANA), async client => assert.ok(client.capabilities.has("THREAD=REFERENCES")));
  assert.equal((await dovecot.doveadm(["search", "-u", TARO, "all"])).split("\n").length, 2);
});

test("the copy of stage mirror stands beside an account's own mail, in no listing", async () => {
  await setup(HANA, "--stage", "mirror");
  await withImap(asUser(HANA), async client => {
    assert.deepEqual(
      (await client.list()).map(one => one.path),
      ["INBOX"],
    );
    assert.equal(await countIn(client, "MaiRust/INBOX"), 0, "the sidecar has none of it yet");
    assert.equal(await countIn(client, "INBOX"), 1);
  });
});

test("logins of accounts that are not set up leave no line about unknown users, which feeds fail2ban", async () => {
  assert.deepEqual(
    (await dovecot.log()).filter(line => line.includes("unknown user")),
    [],
  );
});

test("doctor finds no error on what setup has made", async () => {
  const { code, stdout, stderr } = await sidecar.mairust([
    "doctor",
    ...["-f", "json", "--postfix-dir", postfix.configDir, "--dovecot-config", dovecot.configFile],
  ]);
  const found = JSON.parse(stdout.toString()) as readonly {
    readonly severity: string;
    readonly code: string;
  }[];
  assert.deepEqual(
    found.filter(one => one.severity !== "advice"),
    [],
    stderr,
  );
  assert.equal(code, 0);
});

test("the way back shows the account what Dovecot has kept, and mail goes there again", async () => {
  await setup(TARO, HANA, "a.test", "--undo");
  assert.match(await selftest(TARO), /found in INBOX[\s\S]*the sidecar did not see it/u);
  assert.equal(await inboxOf(asUser(TARO)), 3);
  assert.deepEqual(await folders(HANA), ["INBOX"]);
  assert.ok(!(await postfix.run("postconf", ["-n"])).includes("mairust_"));
});

test("the README's configuration and commands beside a live Postfix and Dovecot work as written, in their order", async () => {
  const section = readmeSection("Beside a live Postfix and Dovecot");
  const lines = commandLines(section).filter(line =>
    /^npx mairust (?:account|setup|doctor|selftest|stage) /u.test(`${line} `),
  );
  assert.ok(lines.length >= 12, lines.join("\n"));
  const servers = ["--postfix-dir", postfix.configDir, "--dovecot-config", dovecot.configFile];
  const said: string[] = [];
  for (const line of lines) {
    const args = line
      .replaceAll("example.com", README_DOMAIN)
      .replace("@127.0.0.1", `@127.0.0.1:${dovecot.imapPort}`)
      .replace("password.txt", passwordFile)
      .split(" ")
      .slice(2);
    const more = ["setup", "doctor", "stage"].includes(args[0] ?? "") ? servers : [];
    const backup = args.includes("--apply") ? ["--backup", join(scratch.dir, "backup")] : [];
    const { out, err } = await mairust(...args, ...more, ...backup);
    said.push(`${line}\n${out}${err}`);
  }
  const throughPostfix = said.filter(one => one.includes("--through postfix"));
  assert.equal(throughPostfix.length, 2);
  for (const one of throughPostfix) assert.match(one, /found in INBOX/u);
  const messages = await withImap(asUser(README_USER), inboxOfBytes);
  assert.equal(messages.length, 3);
  // Of `observe` nothing is seen in the mail.
  assert.equal(messages.filter(one => /^\tby mail\.a\.test with LMTP id /mu.test(one)).length, 1);
  assert.match(said.at(-1) ?? "", /--undo/u);
});

test("mail that was read before the first step up to store is read after it, whoever looked in between", async () => {
  const flagsOf = (box: string) =>
    withImap(asUser(JIRO), async client => {
      await client.mailboxOpen(box, { readOnly: true });
      const found: boolean[] = [];
      for await (const one of client.fetch("1:*", { flags: true }))
        found.push(one.flags?.has("\\Seen") === true);
      return found;
    });
  await withImap(asUser(JIRO), async client => {
    for (const flags of [["\\Seen"], ["\\Seen", "\\Flagged"], []])
      await client.append("INBOX", `Subject: ${flags.length}\r\n\r\nx\r\n`, flags);
    await client.mailboxCreate("日本");
    await client.append("日本", "Subject: x\r\n\r\nx\r\n", ["\\Seen"]);
  });
  const places = ["--postfix-dir", postfix.configDir, "--dovecot-config", dovecot.configFile];
  const backup = ["--backup", join(scratch.dir, "backup")];
  const hop = `inet:127.0.0.1:${dovecot.lmtpPort}`;
  await mairust("domain", "add", "c.test", "--stage", "mirror", "--relay-lmtp", hop);
  await mairust("account", "add", JIRO);
  const from = ["import", "imap", `imap://127.0.0.1:${dovecot.imapPort}`, "--account", JIRO];
  const masterFile = join(scratch.dir, "master");
  await writeFile(masterFile, MASTER.password, { mode: 0o600 });
  await mairust(...from, "--master-user", MASTER.address, "--password-file", masterFile);
  // Dovecot's own record of what was read begins here, and knows nothing.
  await setup("c.test", "--stage", "store");
  assert.deepEqual(await flagsOf("INBOX"), [false, false, false]);
  const step = ["stage", "set", "c.test", "store", "--without-verify", "--apply", "--yes"];
  const { err } = await mairust(...step, ...places, ...backup);
  assert.match(err, /3 messages of 1 accounts are marked as read in Dovecot/u);
  assert.deepEqual([await flagsOf("INBOX"), await flagsOf("日本")], [[true, true, false], [true]]);
});
