/**
 * A plugin from an empty folder to tags on real mail through Postfix, by the commands that an author and an operator give: init, test,
 * package, keygen, sign, verify; keys trust, install, review, approve, enable. For Node and for Python, each in the sandbox.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { MAIN } from "../lib/sidecar.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const ACCOUNT = "taro@example.com";
const COMMAND_MS = 60_000;
const run = promisify(execFile);
let site: MailSite;
let desk = "";

before(async () => {
  site = await startMailSite({ users: [ACCOUNT], domain: "example.com", milterStage: "store" });
  // Where an author works: not where the service lives.
  desk = join(site.sidecar.dir, "desk");
  mkdirSync(desk);
});
after(() => site?.stop());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One line of the command line, in the author's folder; only the operator's lines have a configuration. */
async function mairust(isOperator: boolean, ...args: readonly string[]): Promise<Ran> {
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: desk,
    ...(isOperator ? { MAIRUST_CONFIG: site.sidecar.configFile } : {}),
  };
  try {
    const { stdout, stderr } = await run(process.execPath, [MAIN, ...args], {
      cwd: desk,
      env,
      timeout: COMMAND_MS,
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

const author = (...args: readonly string[]) => mairust(false, ...args);
const operator = (...args: readonly string[]) => mairust(true, ...args);

async function good(ran: Promise<Ran>): Promise<string> {
  const { code, out, err } = await ran;
  assert.equal(code, 0, `${out}\n${err}`);
  return out;
}

async function send(subject: string): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  const text = `From: a@sender.test\r\nSubject: ${subject}\r\n\r\nhello\r\n.\r\n`;
  const reply = await client.send("a@sender.test", [ACCOUNT], text);
  client.close();
  await site.drainQueue();
  return /queued as (\S+)/u.exec(reply)?.[1] ?? assert.fail(reply);
}

async function tagsOf(queueId: string): Promise<readonly string[]> {
  const out = await good(operator("msg", "search", `queueid:${queueId}`, "-f", "json"));
  const found = JSON.parse(out) as { readonly places: readonly { readonly tags: readonly string[] }[] }[];
  return found.flatMap(({ places }) => places.flatMap(({ tags }) => tags));
}

for (const lang of ["node", "python"]) {
  test(`from an empty folder to tags on real mail, in ${lang}`, async () => {
    const name = `bills-${lang}`;
    const id = `com.example.${name}`;
    const file = `${id}-0.1.0.mairust-plugin`;

    // The author: no service, no mail server.
    await good(author("plugin", "init", name, "--lang", lang, "--kind", "tag"));
    assert.match(await good(author("plugin", "test", name)), /pass|ok/iu);
    await good(author("plugin", "package", name));
    await good(author("plugin", "keygen", `${name}.key`));
    await good(author("plugin", "sign", file, "--key", `${name}.key`));
    assert.match(
      await good(author("plugin", "verify", file, "--key", `${name}.key.pub`)),
      /^developer\t[0-9a-f]{64}\ted25519\tgood$/mu,
    );

    // The operator does not know the key yet.
    const unknown = await operator("plugin", "install", file);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.err, /sign/u);
    await good(operator("plugin", "keys", "trust", `${name}.key.pub`, "--role", "private"));
    await good(operator("plugin", "install", file));
    assert.match(await good(operator("plugin", "review", id, "--lang", "en")), /header/iu);
    assert.match(await good(operator("plugin", "review", id, "--lang", "ja")), /[\u3040-\u30ff]/u);
    const early = await operator("plugin", "enable", id);
    assert.notEqual(early.code, 0, "it was enabled without anybody's consent");
    assert.deepEqual(await tagsOf(await send("invoice 4711")), []);
    await good(operator("plugin", "approve", id));
    await good(operator("plugin", "enable", id, "--mode", "enforce"));

    const queueId = await send("invoice 4712");
    assert.deepEqual(await tagsOf(queueId), ["invoice"]);
    assert.deepEqual(await tagsOf(await send("Lunch?")), []);
    assert.match(await good(operator("ledger", "--plugin", id)), new RegExp(`${id}[\\s\\S]*script:`, "u"));
    const health = await good(operator("plugin", "health", id));
    assert.match(health, /network/u, "the report of its limits");
    assert.match(await good(operator("audit", "--object", id)), /plugin\.approve/u);

    // Taken back: what it did, then itself.
    await good(operator("undo", "--plugin", id, "--yes"));
    assert.deepEqual(await tagsOf(queueId), []);
    await good(operator("plugin", "disable", id));
    assert.deepEqual(await tagsOf(await send("invoice 4713")), []);
    await good(operator("plugin", "uninstall", id, "--yes"));
    assert.doesNotMatch(await good(operator("plugin", "list")), new RegExp(`${id}.*enabled`, "u"));
  });
}
