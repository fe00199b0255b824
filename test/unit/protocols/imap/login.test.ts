/** How a session logs in: the two commands, what a failed one costs, what the log says of it, and where no password is taken. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { SessionContext } from "../../../../src/protocols/imap/context.ts";
import { loginRefusal } from "../../../../src/protocols/imap/login.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import { MASTER, PASSWORD } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  servers.push(server);
  return server;
}

const plain = (...parts: string[]) => Buffer.from(parts.join("\0")).toString("base64");

test("LOGIN and AUTHENTICATE PLAIN log in, as master with an authorization identity too", async () => {
  const { store, client } = await started();
  const address = store.account.address;
  for (const command of [
    `LOGIN ${address} ${PASSWORD}`,
    `LOGIN {10+}\r\n${address} "${PASSWORD}"`,
    `AUTHENTICATE PLAIN ${plain("", address, PASSWORD)}`,
    `AUTHENTICATE PLAIN ${plain(address, MASTER.user, MASTER.password)}`,
  ]) {
    const answers = await (await client()).command(command);
    assert.match(String(answers.at(-1)), /^OK \[CAPABILITY IMAP4rev1 [^\]]*\] Logged in$/u, command);
    assert.doesNotMatch(String(answers.at(-1)), /AUTH=|ESEARCH|IMAP4rev2/u);
  }
  assert.deepEqual(store.logins.at(-1), { ...MASTER, authorize: address, peer: "127.0.0.1" });
});

test("AUTHENTICATE PLAIN without initial response asks for it, and can be cancelled", async () => {
  const { store, client } = await started();
  const user = await client();
  user.send("a AUTHENTICATE PLAIN\r\n");
  assert.equal(await user.line(), "+ ");
  user.send("*\r\n");
  assert.equal(await user.line(), "a BAD AUTHENTICATE was cancelled");
  user.send("b AUTHENTICATE PLAIN\r\n");
  assert.equal(await user.line(), "+ ");
  user.send(`${plain("", store.account.address, PASSWORD)}\r\nc NOOP\r\n`);
  assert.match(await user.line(), /^b OK /u);
  assert.equal(await user.line(), "c OK NOOP completed");
  for (const broken of ["====", "!", plain("a", "b"), plain("", "", "x"), plain("a", "b", "c", "d"), "="]) {
    const other = await client();
    assert.match(String(await other.command(`AUTHENTICATE PLAIN ${broken}`)), /^BAD /u, broken);
  }
});

test("a failed login is slowed, logged in one form, counted, and ends the connection after a few", async () => {
  const { client, recorded } = await started({ limits: { loginDelayMs: 10, loginFailures: 3 } });
  const guesser = await client();
  const startedAt = performance.now();
  for (let i = 0; i < 3; i += 1) {
    assert.deepEqual(await guesser.command('LOGIN "x\ty" wrong'), [
      "NO [AUTHENTICATIONFAILED] Authentication failed",
    ]);
  }
  assert.ok(performance.now() - startedAt >= 10 + 20 + 40 - 3);
  assert.equal(await guesser.line(), "* BYE Too many failed logins");
  assert.equal(await guesser.rest(), "");
  assert.equal(recorded.loginFailures, 3);
  const failures = recorded.logs.filter(line => line.startsWith("warn login failed "));
  assert.equal(
    failures[0],
    'warn login failed {"service":"imap","user":"x?y","ip":"127.0.0.1","reason":"auth_failed"}',
  );
  assert.ok(!recorded.logs.some(line => line.includes("wrong")), "no password in the log");
});

test("the log names the account that a master user asked for, and what was wrong; the peer hears the same of both", async () => {
  const { client, recorded } = await started();
  const guesser = await client();
  for (const credentials of [
    ["nobody@a.test", MASTER.user, MASTER.password],
    ["ann@a.test", MASTER.user, "wrong"],
  ]) {
    assert.deepEqual(await guesser.command(`AUTHENTICATE PLAIN ${plain(...credentials)}`), [
      "NO [AUTHENTICATIONFAILED] Authentication failed",
    ]);
  }
  const common = 'warn login failed {"service":"imap","user":"dovecot"';
  assert.deepEqual(
    recorded.logs.filter(line => line.startsWith("warn login failed ")),
    [
      `${common},"account":"nobody@a.test","ip":"127.0.0.1","reason":"unknown_account"}`,
      `${common},"account":"ann@a.test","ip":"127.0.0.1","reason":"auth_failed"}`,
    ],
  );
});

test("no password is looked at on a connection that others could read", () => {
  const open = { account: undefined, secure: false } as SessionContext;
  assert.equal(loginRefusal(open)?.code, "PRIVACYREQUIRED");
  assert.equal(loginRefusal({ ...open, secure: true }), undefined);
});
