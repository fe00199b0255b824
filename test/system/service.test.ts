import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { run, type Sidecar, startSidecar } from "../lib/sidecar.ts";

const USER = "taro@example.test";
const LEAVE_MS = 30_000;
let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;

before(async () => {
  scratch = await makeScratch();
  sidecar = await startSidecar({ dir: join(scratch.dir, "s") });
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

async function deliver(subject: string, to = USER): Promise<string> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: sidecar.lmtpPort,
    lmtp: true,
    ignoreTLS: true,
  });
  const { response } = await transport.sendMail({
    envelope: { from: "a@example.org", to: [to] },
    raw: `Subject: ${subject}\r\nMessage-ID: <${subject}@example.org>\r\n\r\nbody\r\n`,
  });
  transport.close();
  return response;
}

async function connected(): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: sidecar.imapPort,
    secure: false,
    doSTARTTLS: false,
    logger: false,
    auth: { user: "dovecot", pass: sidecar.masterPassword, authzid: USER, loginMethod: "AUTH=PLAIN" },
  });
  await client.connect();
  return client;
}

/** Mail whose way to the client is measured: a machine that stands still for a moment makes one late, not each. */
const IDLE_MAIL = 5;

test("new mail reaches a client in IDLE within a second of its delivery", async () => {
  await deliver("first");
  const client = await connected();
  await client.mailboxOpen("INBOX");
  void client.idle();
  await new Promise(resolve => setTimeout(resolve, 200));
  const times: number[] = [];
  while (times.length < IDLE_MAIL && !times.some(ms => ms < 1000)) {
    const heard = new Promise<number>(resolve => client.once("exists", () => resolve(performance.now())));
    const sent = performance.now();
    await deliver("while idle");
    times.push((await heard) - sent);
  }
  assert.ok(Math.min(...times) < 1000, `${times.join(" ms, ")} ms`);
  await client.logout();
});

test("a service killed with -9 starts again on the same data, with what it had answered 250 for", async () => {
  await deliver("before the kill");
  await sidecar.kill();
  await sidecar.restart();
  const found = await sidecar.mairust(["msg", "search", "-f", "json", 'subject:"before the kill"']);
  assert.equal(found.code, 0, found.stderr);
  assert.match(found.stdout.toString(), /before the kill/u);
});

test("SIGTERM ends the service with 0 and leaves no process", async () => {
  const { pid } = sidecar;
  assert.equal(await sidecar.stop(), 0);
  assert.throws(() => process.kill(pid, 0));
  await sidecar.restart();
});

test("reload applies a valid configuration, and keeps the old one when the new one is invalid", async () => {
  const text = readFileSync(sidecar.configFile, "utf8");
  writeFileSync(sidecar.configFile, `${text}\n[domains."new.test"]\naccounts = "auto"\n`);
  const good = await sidecar.mairust(["reload"]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(await deliver("to the new domain", "x@new.test"), /250 2\.0\.0/u);
  writeFileSync(sidecar.configFile, `${text}\n[domains."newer.test"]\nacounts = "auto"\n`);
  const bad = await sidecar.mairust(["reload"]);
  assert.notEqual(bad.code, 0);
  assert.match(bad.stdout.toString() + bad.stderr, /acounts[\s\S]*accounts/u, "says what is meant");
  assert.match(await deliver("still there", "x@new.test"), /250 2\.0\.0/u);
  // A domain that only the file made, and that it no longer names, takes no mail any more.
  writeFileSync(sidecar.configFile, text);
  assert.equal((await sidecar.mairust(["reload"])).code, 0);
  await assert.rejects(deliver("no longer", "x@new.test"), /550 5\.1\.2/u);
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // gone meanwhile
  }
}

test("a reload that is refused changes nothing, leaves no process, and what needs a restart is told each time", async () => {
  const text = readFileSync(sidecar.configFile, "utf8");
  // But for the one that makes search texts, which comes when it is needed.
  const children = () =>
    readFileSync(`/proc/${sidecar.pid}/task/${sidecar.pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(pid => !commandLine(pid).includes("extract-process")).length;
  const before = children();
  const hook =
    '[[hooks]]\nname = "x"\npoint = "pre_delivery"\nplugin = "com.example.nobody"\nmode = "enforce"\n';
  writeFileSync(sidecar.configFile, `${text}\n[domains."half.test"]\naccounts = "auto"\n${hook}`);
  for (let i = 0; i < 3; i++) assert.notEqual((await sidecar.mairust(["reload"])).code, 0);
  // What is on its way out is still there for a moment.
  const end = performance.now() + LEAVE_MS;
  while (children() > before && performance.now() < end)
    await new Promise(resolve => setTimeout(resolve, 50));
  assert.ok(children() <= before, `${children()} processes, ${before} before`);
  await assert.rejects(deliver("half", "x@half.test"), /550 5\.1\.2/u);
  writeFileSync(sidecar.configFile, text.replace("[imap]", "[imap]\nconnections = 77"));
  for (let i = 0; i < 2; i++) {
    const { stdout, stderr } = await sidecar.mairust(["reload"]);
    assert.match(stdout.toString() + stderr, /imap\.connections/u);
  }
  writeFileSync(sidecar.configFile, text);
  await sidecar.mairust(["reload"]);
});

test("a wrong configuration is refused with every problem at once, file, line and column, and exit code 78", async () => {
  const file = join(scratch.dir, "wrong.toml");
  writeFileSync(file, 'hostnme = "x"\n[lmtp]\nconnections = "many"\n[otel]\nenabled = true\n');
  for (const command of [["serve"], ["config", "check"]]) {
    const { code, stderr, stdout } = await run(["--config", file, ...command]);
    const text = stdout.toString() + stderr;
    assert.equal(code, 78, text);
    assert.match(text, /wrong\.toml:1:1[\s\S]*hostname/u);
    assert.match(text, /wrong\.toml:3:\d+/u);
    assert.match(text, /otel\.enabled[\s\S]*not built/u);
  }
});

test("the API's UNIX socket is for its owner alone, and a command without service says so with 69", async () => {
  assert.equal(statSync(sidecar.apiSocket).mode & 0o777, 0o600);
  const file = join(scratch.dir, "nobody.toml");
  writeFileSync(file, `runtime_dir = ${JSON.stringify(join(scratch.dir, "nobody"))}\n`);
  const { code, stderr } = await run(["--config", file, "domain", "list"]);
  assert.equal(code, 69, stderr);
  assert.match(stderr, /nobody\/api\.sock/u);
});
