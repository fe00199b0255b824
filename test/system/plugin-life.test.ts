/**
 * A plugin from an empty folder to tags on real mail through Postfix, by the commands that an author and an operator give: init, test,
 * package, keygen, sign, verify; keys trust, install, review, approve, enable; undo, disable, uninstall. In the sandbox, with a service that
 * is root and with one that is an ordinary user.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chownSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { systemUser } from "../../src/mailhost/system-user.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { MAIN } from "../lib/sidecar.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const ACCOUNT = "taro@example.com";
const COMMAND_MS = 120_000;
const WAIT_MS = 60_000;
const run = promisify(execFile);
/** In group postfix, as the README's service user is. */
const ORDINARY = { uid: (await systemUser("nobody")).uid, gid: (await systemUser("postfix")).gid };
/** A checkout below somebody's home may be closed to others. */
const isOpen = await run(process.execPath, [MAIN, "--version"], { cwd: "/", ...ORDINARY }).then(
  () => true,
  () => false,
);
const HAS_BUBBLEWRAP = existsSync("/usr/bin/bwrap");

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

class Life {
  readonly #site: MailSite;
  readonly #user: typeof ORDINARY | undefined;
  /** Where an author works: not where the service lives. */
  readonly #desk: string;

  private constructor(site: MailSite, user: typeof ORDINARY | undefined) {
    this.#site = site;
    this.#user = user;
    this.#desk = join(site.sidecar.dir, "desk");
    mkdirSync(this.#desk);
    if (user !== undefined) chownSync(this.#desk, user.uid, user.gid);
  }

  /** @param user  of the author and of the service; undefined: root */
  static async start(t: TestContext, user: typeof ORDINARY | undefined): Promise<Life> {
    const site = await startMailSite({
      ...{ users: [ACCOUNT], domain: "example.com", milterStage: "store" },
      postfixSettings: { in_flow_delay: "0" },
      ...(user === undefined ? {} : { user }),
    });
    t.after(() => site.stop());
    return new Life(site, user);
  }

  /** No service, no mail server, no configuration. */
  author(...args: readonly string[]): Promise<Ran> {
    return this.#mairust(args, {}, this.#user);
  }

  operator(...args: readonly string[]): Promise<Ran> {
    return this.#mairust(args, { MAIRUST_CONFIG: this.#site.sidecar.configFile });
  }

  async #mairust(args: readonly string[], more: NodeJS.ProcessEnv, user = {}): Promise<Ran> {
    const env = { PATH: process.env.PATH ?? "", HOME: this.#desk, ...more };
    const options = { cwd: this.#desk, env, timeout: COMMAND_MS, ...user };
    try {
      const { stdout, stderr } = await run(process.execPath, [MAIN, ...args], options);
      return { code: 0, out: stdout, err: stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, out: stdout, err: stderr };
    }
  }

  /** @returns its queue id, when it was delivered */
  async send(subject: string): Promise<string> {
    const client = await SmtpTestClient.open(this.#site.postfix.smtpPort);
    const text = `From: a@sender.test\r\nSubject: ${subject}\r\n\r\nhello\r\n.\r\n`;
    const reply = await client.send("a@sender.test", [ACCOUNT], text);
    client.close();
    await this.#site.drainQueue();
    return /queued as (\S+)/u.exec(reply)?.[1] ?? assert.fail(reply);
  }

  async tagsOf(queueId: string): Promise<readonly string[]> {
    const out = await good(this.operator("msg", "search", `queueid:${queueId}`, "-f", "json"));
    const found = JSON.parse(out) as { readonly places: readonly { readonly tags: readonly string[] }[] }[];
    assert.equal(found.length, 1);
    return found.flatMap(({ places }) => places.flatMap(({ tags }) => tags));
  }

  /** In which tier the service started it last. */
  tierOf(id: string): string | undefined {
    const log = this.#site.sidecar.logText();
    return [...log.matchAll(/plugin_confined: plugin=(\S+) tier=(\d)/gu)].findLast(
      ([, of]) => of === id,
    )?.[2];
  }
}

async function good(ran: Promise<Ran>): Promise<string> {
  const { code, out, err } = await ran;
  assert.equal(code, 0, `${out}\n${err}`);
  return out;
}

/** @returns the package, signed; and the public key in `NAME.key.pub` */
async function write(life: Life, name: string, lang: string): Promise<string> {
  const file = `com.example.${name}-0.1.0.mairust-plugin`;
  await good(life.author("plugin", "init", name, "--lang", lang, "--kind", "tag"));
  assert.match(await good(life.author("plugin", "test", name)), /4 passed in/u);
  await good(life.author("plugin", "package", name));
  await good(life.author("plugin", "keygen", `${name}.key`));
  await good(life.author("plugin", "sign", file, "--key", `${name}.key`));
  assert.match(
    await good(life.author("plugin", "verify", file, "--key", `${name}.key.pub`)),
    /^developer\t[0-9a-f]{64}\ted25519\tgood$/mu,
  );
  return file;
}

/** Nothing of it runs before somebody agreed; then it runs on all mail. */
async function takeIn(life: Life, name: string, file: string): Promise<void> {
  const id = `com.example.${name}`;
  const unknown = await life.operator("plugin", "install", file);
  assert.notEqual(unknown.code, 0, "nobody trusts its key yet");
  assert.match(unknown.err, /sign/u);
  await good(life.operator("plugin", "keys", "trust", `${name}.key.pub`, "--role", "private"));
  await good(life.operator("plugin", "install", file));
  assert.match(await good(life.operator("plugin", "review", id, "--lang", "en")), /header fields: Subject/u);
  assert.match(
    await good(life.operator("plugin", "review", id, "--lang", "ja")),
    /ヘッダーを読みます: Subject/u,
  );
  const early = await life.operator("plugin", "enable", id);
  assert.notEqual(early.code, 0, "it was enabled without anybody's consent");
  assert.deepEqual(await life.tagsOf(await life.send("invoice 4711")), []);
  assert.equal(life.tierOf(id), undefined, "a process of it was started");
  await good(life.operator("plugin", "approve", id));
  await good(life.operator("plugin", "enable", id, "--mode", "enforce"));
}

interface Health {
  readonly status: string;
  readonly limits: readonly { readonly limit: string; readonly enforcement: string }[];
}

/** It has two seconds to answer: on a busy machine it may need another try. */
async function healthOf(life: Life, id: string): Promise<Health> {
  const deadline = deadlineAfter(WAIT_MS);
  for (;;) {
    const health = JSON.parse(await good(life.operator("plugin", "health", id, "-f", "json"))) as Health;
    if (health.status === "ok" || deadline.remainingMs() === 0) return health;
    await sleep(100);
  }
}

async function checkHeld(life: Life, id: string, tier: string): Promise<void> {
  assert.equal(life.tierOf(id), HAS_BUBBLEWRAP ? tier : "1");
  const health = await healthOf(life, id);
  assert.equal(health.status, "ok");
  const heldAs = (limit: string) => health.limits.find(one => one.limit === limit)?.enforcement;
  for (const limit of ["files", "network", "secrets", "process_tree"])
    assert.equal(heldAs(limit), "enforced", limit);
  // Without an account of the whole tree short processes may escape the look.
  assert.equal(heldAs("cpu"), tier === "3" ? "enforced" : "best_effort");
}

for (const [lang, who, user, tier] of [
  ["node", "root", undefined, "3"],
  ["python", "an ordinary user", ORDINARY, "2"],
] as const) {
  test(`from an empty folder to tags on real mail, in ${lang}, with a service that is ${who}`, {
    skip: user === undefined || isOpen ? false : "user nobody cannot read this checkout",
  }, async t => {
    const life = await Life.start(t, user);
    const name = `bills-${lang}`;
    const id = `com.example.${name}`;
    await takeIn(life, name, await write(life, name, lang));

    const queueId = await life.send("invoice 4712");
    assert.deepEqual(await life.tagsOf(queueId), ["invoice"]);
    assert.deepEqual(await life.tagsOf(await life.send("Lunch?")), []);
    await checkHeld(life, id, tier);
    assert.match(
      await good(life.operator("ledger", "--plugin", id)),
      new RegExp(`${id}[\\s\\S]*script:`, "u"),
    );
    assert.match(await good(life.operator("audit", "--object", id)), /plugin\.approve/u);

    // Taken back: what it did, then itself.
    await good(life.operator("undo", "--plugin", id, "--yes"));
    assert.deepEqual(await life.tagsOf(queueId), []);
    await good(life.operator("plugin", "disable", id));
    assert.deepEqual(await life.tagsOf(await life.send("invoice 4713")), []);
    await good(life.operator("plugin", "uninstall", id, "--yes"));
    assert.match(await good(life.operator("plugin", "list")), new RegExp(`^${id}\\t\\tuninstalled\\t`, "mu"));
  });
}
