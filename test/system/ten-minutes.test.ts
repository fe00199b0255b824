/** What the README says about a script of one's own, word for word, with a real Postfix. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { blocks, commandLines, quickNpx, readmeSection, TEN_MINUTES } from "../lib/readme.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const WAIT_MS = 30_000;
const ACCOUNT = "taro@example.com";
const section = readmeSection(TEN_MINUTES);
const run = promisify(execFile);
let site: MailSite;
let bin = "";

before(async () => {
  site = await startMailSite({ users: [ACCOUNT], domain: "example.com", milterStage: "store" });
  bin = quickNpx(site.sidecar.dir);
});
after(() => site?.stop());

/** The README's `/etc/mairust` is the folder of this service. */
const here = (text: string) => text.replaceAll("/etc/mairust", site.sidecar.dir);

async function command(line: string, queueId = ""): Promise<string> {
  const file = join(site.sidecar.dir, "mail.eml");
  const { stdout } = await run("sh", ["-c", line.replace("mail.eml", file).replace("QUEUE-ID", queueId)], {
    cwd: packageRoot(),
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: site.sidecar.dir,
      MAIRUST_CONFIG: site.sidecar.configFile,
    },
    timeout: 60_000,
  });
  return stdout;
}

async function send(subject: string): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  const reply = await client.send(
    "alice@sender.test",
    [ACCOUNT],
    `Subject: ${subject}\r\n\r\nhello\r\n.\r\n`,
  );
  client.close();
  await site.drainQueue();
  return reply;
}

/** A timeline is written while its message is on its way already. */
async function saysInTime(look: () => Promise<string>, texts: readonly RegExp[]): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  for (;;) {
    const said = await look();
    if (texts.every(text => text.test(said))) break;
    assert.ok(deadline.remainingMs() > 0, `${texts.join(", ")} in:\n${said}`);
    await sleep(100);
  }
  deadline.dispose();
}

const queueIdOf = (reply: string) => /queued as (\S+)/u.exec(reply)?.[1] ?? assert.fail(reply);

test("a script of one's own refuses and tags mail, as the README says", async () => {
  for (const block of [...blocks(section, "bash"), ...blocks(section, "toml")]) {
    const file = here(/^# (\/\S+)\n/u.exec(block)?.[1] ?? assert.fail(`a block without its file:\n${block}`));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, here(block));
  }
  writeFileSync(join(site.sidecar.dir, "mail.eml"), "Subject: You won the lottery\r\n\r\nhello\r\n");
  const lines = commandLines(section);
  const at = (pattern: RegExp) => {
    const found = lines.filter(line => pattern.test(line));
    assert.equal(found.length, 1, `${pattern} in ${lines.join("\n")}`);
    return found[0] ?? "";
  };
  const told = new Set<string>();
  const follow = async (pattern: RegExp, queueId?: string) => {
    told.add(at(pattern));
    return command(at(pattern), queueId);
  };

  await follow(/reload$/u);
  await follow(/hook add/u);
  assert.match(await follow(/hook test/u), /reject/u);
  assert.match(await follow(/plugin list/u), /com\.example\.lottery/u);

  // In shadow: called and recorded, nothing done.
  const shadow = queueIdOf(await send("You won the lottery"));
  await saysInTime(
    () => follow(/explain/u, shadow),
    [/hook=lottery mode=shadow .*verdict=reject/u, /stored/u],
  );
  assert.match(await follow(/ledger/u), /com\.example\.lottery/u);
  assert.deepEqual(await tagsOf(shadow), []);

  await follow(/hook mode/u);
  const refused = await send("You won the lottery");
  assert.match(refused, /^550 5\.7\.1 no lotteries here id=[0-9a-f-]{36}/u);
  const id = /id=(\S+)/u.exec(refused)?.[1] ?? "";
  await saysInTime(
    () => command(`npx mairust explain ${id}`),
    [/hook=lottery mode=enforce .*verdict=reject/u],
  );
  assert.deepEqual(await tagsOf(queueIdOf(await send("Lunch?"))), ["judged"]);
  assert.deepEqual([...told].sort(), [...lines].sort(), "a line of the README that nobody followed");

  // How it is taken back stands in the text.
  for (const [, line = ""] of section.matchAll(/`(hook (?:mode|rm) [^`]+)`/gu)) {
    assert.match(await command(`npx mairust ${line}`), /lottery/u);
  }
  assert.match(await send("You won the lottery"), /queued as/u);
});

async function tagsOf(queueId: string): Promise<readonly string[]> {
  const found = JSON.parse(await command(`npx mairust msg search queueid:${queueId} -f json`)) as {
    readonly places: readonly { readonly tags: readonly string[] }[];
  }[];
  return found.flatMap(({ places }) => places.flatMap(({ tags }) => tags));
}
