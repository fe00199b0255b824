/**
 * A real Postfix whose way to the sidecar is taken away. While a message is handed over there it is answered, and goes nowhere else: when
 * the service went out of `master.cf` at once, master would end the process that hands it over, and the message would go the other way
 * too. What waits in the queue is brought there before.
 */
import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { applyPlan } from "../../src/site/apply.ts";
import { putService, removeService } from "../../src/site/master-cf.ts";
import { TABLE } from "../../src/site/postfix-read.ts";
import type { SiteFile, SitePlan } from "../../src/wire/site-calls.ts";
import { LmtpHop } from "../lib/lmtp-hop.ts";
import { MailDialog } from "../lib/mail-dialog.ts";
import { atOnce } from "../lib/site-hosts.ts";

const SERVICE = "mairust unix - - n - - lmtp\n";
const ROUTE = `transport_maps = texthash:$config_directory/${TABLE}\n`;
const ALL_MS = 60_000;

async function rig(t: TestContext) {
  const scratch = await makeScratch();
  const end = deadlineAfter(ALL_MS);
  await mkdir(join(scratch.dir, "p"));
  const [here, there] = [await LmtpHop.start(), await LmtpHop.start()];
  const postfix = await startPostfix(
    {
      dir: join(scratch.dir, "p"),
      domains: ["a.test"],
      bare: true,
      settings: { virtual_transport: `lmtp:${there.server}`, lmtp_tls_security_level: "none" },
    },
    end,
  );
  t.after(async () => {
    await postfix.stop();
    await here.stop();
    await there.stop();
    end.dispose();
    await scratch.remove();
  });
  const backupDir = join(scratch.dir, "backup");
  const apply = async (changes: Readonly<Record<string, (text: string) => string>>) => {
    const files: SiteFile[] = [];
    for (const [name, change] of Object.entries(changes)) {
      const path = join(postfix.configDir, name);
      const was = await readFile(path, "utf8").catch(() => "");
      files.push({ server: "postfix", path, was, text: change(was), mode: 0o644 });
    }
    const target = { scope: "a.test", stage: "observe" } as const;
    const plan: SitePlan = { target, changes: [], undo: [], obstacles: [], files };
    return applyPlan({ postfixDir: postfix.configDir }, plan, backupDir, atOnce);
  };
  await writeFile(join(postfix.configDir, TABLE), "");
  await apply({
    [TABLE]: () => `a.test mairust:${here.server}\n`,
    "master.cf": text => putService(text, "mairust", "unix", SERVICE),
    "main.cf": text => text + ROUTE,
  });
  const send = async () => {
    const dialog = await MailDialog.open(postfix.smtpPort, "smtp");
    const message = Buffer.from("Subject: one\r\n\r\ntext\r\n");
    const [taken] = await dialog.submit({ from: "s@example.org", to: ["ann@a.test"], message });
    assert.match(taken ?? "", /^250/u);
    dialog.close();
  };
  const until = async (what: () => boolean | Promise<boolean>) => {
    while (!(await what())) await sleep(10, end.signal);
  };
  return { postfix, here, there, apply, send, until, end, backupDir };
}

const AWAY = {
  "master.cf": (text: string) => removeService(text, "mairust", "unix"),
  "main.cf": (text: string) => text.replace(ROUTE, ""),
};

test("a message that is being handed over when its way is taken away is answered there, and goes nowhere else", async t => {
  const { postfix, here, there, apply, send, until, end } = await rig(t);
  // It comes together with the message's end.
  here.behaviour.onCommand = line => (line === "QUIT" ? "silent" : undefined);
  here.behaviour.onMessage = () => ["silent"];
  await send();
  await until(() => here.messages.length === 1);
  const applying = apply(AWAY);
  await until(async () => (await postfix.log()).filter(line => line.includes("reload --")).length === 2);
  here.answer("250 2.0.0 saved\r\n221 2.0.0 bye");
  await applying;
  await postfix.flush();
  await postfix.waitQueueEmpty(end);
  assert.deepEqual([here.messages.length, there.messages.length], [1, 0]);
  assert.doesNotMatch(await readFile(join(postfix.configDir, "master.cf"), "utf8"), /^mairust/mu);
});

test("a way that cannot be taken away is there again, in master.cf too, and mail goes on by it", async t => {
  const { postfix, here, there, apply, send, until, end } = await rig(t);
  here.behaviour.onCommand = line => (line === "QUIT" ? "silent" : undefined);
  here.behaviour.onMessage = () => ["silent"];
  await send();
  await until(() => here.messages.length === 1);
  const names = Object.keys(AWAY).map(name => join(postfix.configDir, name));
  const texts = () => Promise.all(names.map(name => readFile(name, "utf8")));
  const before = await texts();
  const applying = assert.rejects(apply(AWAY), { code: "invalid_state" });
  await until(async () => (await postfix.log()).filter(line => line.includes("reload --")).length === 2);
  // The second reload fails.
  await appendFile(join(postfix.configDir, "main.cf"), "daemon_directory = /nonexistent\n");
  here.behaviour.onCommand = () => undefined;
  here.behaviour.onMessage = () => undefined;
  here.answer("250 2.0.0 saved\r\n221 2.0.0 bye");
  await applying;
  assert.deepEqual(await texts(), before);
  await send();
  await postfix.waitQueueEmpty(end);
  assert.deepEqual([here.messages.length, there.messages.length], [2, 0]);
});

test("a run that was killed before the reload is mended by the next one, which finds nothing to change", async t => {
  const { postfix, apply, backupDir } = await rig(t);
  const reloads = async () => (await postfix.log()).filter(line => line.includes("reload --")).length;
  await writeFile(join(backupDir, "reload-due"), "postfix\n");
  const [was, again] = [await reloads(), await apply({})];
  assert.deepEqual([await reloads(), again.reloaded, again.backup], [was + 1, ["postfix reload"], ""]);
  assert.deepEqual((await apply({})).reloaded, []);
});

test("mail that waits in the queue is brought there once more before its way is taken away; what waits on goes the other", async t => {
  const { postfix, here, there, apply, send, until, end } = await rig(t);
  here.behaviour.onMessage = () => ["451 4.3.0 it took too long"];
  await send();
  await send();
  const isDeferred = async () =>
    (await postfix.queue()).filter(one => one.queueName === "deferred").length === 2;
  await until(isDeferred);
  // The first of them is there already, as it turns out.
  here.behaviour.onMessage = () => (here.messages.length === 2 ? ["250 2.0.0 known"] : ["451 4.3.0 no"]);
  await apply({ [TABLE]: () => "", ...AWAY });
  assert.deepEqual([here.messages.length, there.messages.length], [4, 0]);
  await postfix.flush();
  await postfix.waitQueueEmpty(end);
  assert.deepEqual([here.messages.length, there.messages.length], [4, 1]);
});
