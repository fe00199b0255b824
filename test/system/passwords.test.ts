/** Users' own passwords against the real service: what lets in, what does not, and that no password or hash is told to anybody. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { ImapTestClient } from "../lib/imap-client.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const USER = "taro@example.test";
/** In every password of this file. */
const CANARY = "CANARY秘密";
const hidden = ["CANARY", "$argon2id$v=19$m=19456"];
let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
const told: string[] = [];

before(async () => {
  scratch = await makeScratch();
  sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "debug" });
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

async function mairust(args: readonly string[], input?: string) {
  const result = await sidecar.mairust(args, input);
  told.push(result.stdout.toString(), result.stderr);
  return result;
}

/** The last line of the answer to `LOGIN`, with the password as a literal: any octets. */
async function login(user: string, password: string | Buffer): Promise<string> {
  const client = new ImapTestClient(sidecar.imapPort);
  await client.line();
  const octets = Buffer.from(password).toString("latin1");
  const answers = await client.command(`LOGIN "${user}" {${octets.length}+}\r\n${octets}`);
  client.close();
  told.push(...answers);
  return String(answers.at(-1));
}

function ask(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const sent = request(
      { socketPath: sidecar.apiSocket, method, path, headers, agent: false },
      async answer => {
        let text = "";
        for await (const chunk of answer) text += String(chunk);
        told.push(text);
        resolve({ status: answer.statusCode ?? 0, text });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

const OK = /^OK \[CAPABILITY /u;
const FAILED = "NO [AUTHENTICATIONFAILED] Authentication failed";

test("a password from standard input or a file lets in, a changed or cleared one no more, at once", async () => {
  const file = join(scratch.dir, "password");
  writeFileSync(file, `${CANARY} one\r\nsecond line\n`);
  assert.equal((await mairust(["account", "add", USER, "--password-file", file])).code, 0);
  assert.match(await login(USER, `${CANARY} one`), OK);
  assert.match(await login("Taro@EXAMPLE.test", `${CANARY} one`), OK);
  assert.equal((await mairust(["account", "passwd", USER], `${CANARY} two\n`)).code, 0);
  assert.equal(await login(USER, `${CANARY} one`), FAILED);
  assert.match(await login(USER, `${CANARY} two`), OK);
  writeFileSync(file, `${CANARY} three\n`);
  assert.equal((await mairust(["account", "passwd", USER, "--password-file", file])).code, 0);
  assert.match(await login(USER, `${CANARY} three`), OK);
  assert.equal((await mairust(["account", "passwd", USER, "--clear"])).code, 0);
  assert.equal(await login(USER, `${CANARY} three`), FAILED);
});

test("wrong, unknown, without a password, an alias, another's name: all are answered alike", async () => {
  await mairust(["account", "passwd", USER], `${CANARY} four\n`);
  await mairust(["account", "add", "none@example.test"]);
  await mairust(["account", "alias", "add", USER, "alias@example.test"]);
  for (const [user, password] of [
    [USER, `${CANARY} wrong`],
    ["nobody@example.test", `${CANARY} four`],
    ["none@example.test", `${CANARY} four`],
    ["alias@example.test", `${CANARY} four`],
    ["taro", `${CANARY} four`],
    [USER, Buffer.from("\xff\xfeCANARY", "latin1")],
    [USER, ""],
  ] as const)
    assert.equal(await login(user, password), FAILED, user);
});

test("what cannot be used is refused: two sources, no line, broken text, other schemes, both members", async () => {
  const passwd = ["account", "passwd", USER];
  assert.equal((await mairust([...passwd, "--clear", "--hash", "x"])).code, 64);
  assert.equal((await mairust(passwd, "\n")).code, 66);
  assert.equal((await mairust([...passwd, "--password-file", "/nonexistent"])).code, 66);
  const broken = join(scratch.dir, "broken");
  writeFileSync(broken, Buffer.from("\xffCANARY\n", "latin1"));
  assert.equal((await mairust([...passwd, "--password-file", broken])).code, 65);
  assert.equal((await mairust([...passwd, "--hash", "{SHA512-CRYPT}$6$CANARY"])).code, 64);
  const path = "/api/v1/accounts/taro%40example.test/password";
  for (const body of [
    `{"password": "${CANARY}`,
    `{"password": "${CANARY}", "other": "${CANARY}"}`,
    `{"password": ["${CANARY}"]}`,
    `{"password": "${CANARY}", "hash": "${CANARY}"}`,
    `{"password": "${CANARY.repeat(500)}"}`,
    `{"hash": "${CANARY}"}`,
    `{"password": "${CANARY}\\u0000"}`,
  ])
    assert.equal((await ask("PUT", path, body)).status, 400, body.slice(0, 40));
  assert.equal((await ask("PUT", path.replace("taro", "nobody"), `{"password":"${CANARY}"}`)).status, 404);
  const added = await ask(
    "POST",
    "/api/v1/accounts",
    `{"address": "new@example.test", "hash": "x", "password": "${CANARY}"}`,
  );
  assert.equal(added.status, 400);
  assert.equal((await ask("GET", "/api/v1/accounts/new%40example.test")).status, 404);
  assert.match(await login(USER, `${CANARY} four`), OK);
});

test("no answer, no line of the log and no output of a command holds a password or a hash", async () => {
  const shown = await ask("GET", "/api/v1/accounts/taro%40example.test");
  assert.equal(JSON.parse(shown.text).has_password, true);
  await ask("GET", "/api/v1/accounts");
  await mairust(["account", "show", USER, "-f", "json"]);
  assert.match(sidecar.logText(), /account password changed/u);
  assert.match(sidecar.logText(), /login failed/u);
  // Octets outside ASCII are seen in whatever way they are written.
  const all = [sidecar.logText(), ...told].join("\n");
  for (const secret of hidden) {
    const at = all.indexOf(secret);
    assert.equal(at, -1, all.slice(Math.max(0, at - 200), at + 50));
  }
});
