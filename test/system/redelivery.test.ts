import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { DeliveryStep } from "../../src/delivery/intake-options.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { STEPS_OF_STORE } from "../../src/wire/kill-steps.ts";
import type { LossRow } from "../../src/wire/loss-calls.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { commandLines, readmeSection } from "../lib/readme.ts";
import { supervise, verifyNoLoss } from "../lib/supervise.ts";

const USER = "taro@example.test";
const WAIT_MS = 30_000;
let site: MailSite;

before(async () => {
  site = await startMailSite({ users: [USER], toml: "[loss_proof]\nallow_kill = true\n" });
});
after(() => site?.stop());

const message = (subject: string) =>
  `From: sender@example.org\r\nTo: ${USER}\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@example.org>\r\n\r\nbody of ${subject}\r\n`;

function subjects(way: "dovecot" | "direct"): Promise<readonly (string | undefined)[]> {
  return site.withImap(USER, way, async client => {
    const lock = await client.getMailboxLock("INBOX");
    try {
      const found: (string | undefined)[] = [];
      for await (const one of client.fetch("1:*", { envelope: true })) found.push(one.envelope?.subject);
      return found;
    } finally {
      lock.release();
    }
  });
}

/** Whether the redelivery finds its message in the store. */
const STEPS: ReadonlyArray<readonly [step: DeliveryStep, recognised: boolean]> = [
  ["received", false],
  ["decided", false],
  ["persisted", false],
  ["committed", true],
];

const ALREADY_STORED = /\(already stored\)/u;

/** A log is written behind what it tells of. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isSo())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
  deadline.dispose();
}

for (const [step, recognised] of STEPS) {
  test(`a message whose delivery was killed (-9) when it was ${step} is delivered again by Postfix and stored once`, async () => {
    await site.sidecar.stop();
    await site.sidecar.restart({ step });
    await site.send("sender@example.org", [USER], message(step));
    assert.equal(await site.sidecar.ended(), "SIGKILL", "the process was killed at the step");
    const logBefore = site.sidecar.logText().length;
    await site.sidecar.restart();
    await site.drainQueue();
    for (const way of ["direct", "dovecot"] as const) {
      assert.equal((await subjects(way)).filter(subject => subject === step).length, 1, `copies seen ${way}`);
    }
    const sent = recognised ? /status=sent \(250 2\.0\.0 .*already stored/u : /status=sent/u;
    await until("Postfix has noted it", async () => sent.test((await site.postfix.log()).join("\n")));
    const newLog = () => site.sidecar.logText().slice(logBefore);
    if (recognised) await until("it is logged", async () => ALREADY_STORED.test(newLog()));
    else assert.doesNotMatch(newLog(), ALREADY_STORED);
  });
}

test("mail that arrives while the sidecar is down waits in Postfix's queue and is stored afterwards", async () => {
  await site.sidecar.kill();
  await site.send("sender@example.org", [USER], message("down"));
  await site.sidecar.restart();
  await site.drainQueue();
  assert.equal((await subjects("dovecot")).filter(subject => subject === "down").length, 1);
});

test("README: verify-no-loss kills the service at every step while its canaries pass, finds all of them, and leaves none", async () => {
  const commands = commandLines(readmeSection("Prove it on your host"));
  assert.equal(commands.length, 3);
  const stopSupervising = supervise(site.sidecar);
  const reports: { steps: LossRow[]; total: LossRow }[] = [];
  for (const command of commands) {
    const [npx, mairust, name, ...args] = command.replace("example.com", "example.test").split(" ");
    assert.equal(`${npx} ${mairust} ${name}`, "npx mairust verify-no-loss");
    const { code, stdout, stderr } = await verifyNoLoss(site, args);
    assert.equal(code, 0, stderr);
    if (stdout.length > 0) reports.push(JSON.parse(stdout.toString()));
  }
  await stopSupervising();
  const [quiet, killed, ...more] = reports;
  assert.equal(more.length, 0, "a dry run sends nothing");
  const rows = (report: { steps: LossRow[] } | undefined) =>
    report?.steps.map(row => [row.step, row.kills, row.found]);
  assert.deepEqual(rows(quiet), [["none", 0, 100]]);
  assert.deepEqual(
    rows(killed),
    [...STEPS_OF_STORE, "random"].map(step => [step, 1, 20]),
  );
  for (const { total } of reports)
    assert.deepEqual([total.accepted, total.lost, total.doubles, total.altered], [100, 0, 0, 0]);
  const { stdout: accounts } = await site.sidecar.mairust(["account", "list", "-f", "json"]);
  assert.doesNotMatch(accounts.toString(), /mairust-canary/u);
});

test("a kill at a step needs the configuration's leave, and a canary in somebody's mailbox a word about it", async () => {
  const { stderr, code } = await verifyNoLoss(site, ["--to", USER]);
  assert.equal(code, 64, stderr);
  assert.match(stderr, /use --domain, .*or --keep/u);
  const { mairust, configFile } = site.sidecar;
  const allowed = readFileSync(configFile, "utf8");
  writeFileSync(configFile, allowed.replace("allow_kill = true", "allow_kill = false"));
  assert.equal((await mairust(["reload"])).code, 0);
  const refused = await verifyNoLoss(site, ["--domain", "example.test", "--kill", "all", "--yes"]);
  assert.equal(refused.code, 77, refused.stderr);
  assert.match(refused.stderr, /loss_proof\.allow_kill/u);
});
