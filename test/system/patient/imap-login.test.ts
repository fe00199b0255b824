/** The way into a real Dovecot: its own certificate by TLS and STARTTLS, and an OAuth2 token that Dovecot asks an HTTP server about. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import { freePort, makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { closeImap, connectImap, listMailboxes } from "../../../src/transfer/imap-login.ts";
import type { ImapLogin } from "../../../src/wire/transfer-calls.ts";
import { makeCertificate } from "../../lib/certificate.ts";

const USER = "taro@example.test";
const MASTER = { address: "admin", password: "master secret" };
const TOKEN = "a-token.of-1234";
/** Dovecot listens there too; it is not taken for this host. */
const ELSEWHERE = "0.0.0.0";

const scratch = await makeScratch();
const asked: string[] = [];
const tokens = createServer((request, response) => {
  let body = "";
  request.on("data", chunk => {
    body += chunk;
  });
  request.on("end", () => {
    asked.push(`${request.url} ${body}`);
    const isGood = new URLSearchParams(body).get("token") === TOKEN;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(isGood ? { active: true, username: USER } : { active: false }));
  });
});
let dovecot: Dovecot;
let imapsPort = 0;

before(async () => {
  await new Promise<void>(resolve => tokens.listen(0, "127.0.0.1", resolve));
  const address = tokens.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const oauth = join(scratch.dir, "oauth2.conf");
  writeFileSync(
    oauth,
    `introspection_mode = post
introspection_url = http://127.0.0.1:${port}/introspect
username_attribute = username
active_attribute = active
active_value = true
`,
  );
  const { path, keyPath } = makeCertificate(scratch.dir, "localhost");
  imapsPort = await freePort();
  const deadline = deadlineAfter(90_000);
  dovecot = await startDovecot(
    {
      dir: scratch.dir,
      mode: { kind: "maildir", master: MASTER },
      users: [{ address: USER, password: "secret" }],
      extraConfig: `
ssl = yes
ssl_cert = <${path}
ssl_key = <${keyPath}
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${oauth}
}
service imap-login {
  inet_listener imaps {
    port = ${imapsPort}
  }
}
`,
    },
    deadline,
  );
  deadline.dispose();
});
after(async () => {
  await dovecot?.stop();
  await new Promise(resolve => tokens.close(resolve));
  await scratch.remove();
});

const at = (more: Partial<ImapLogin>): ImapLogin => ({
  ...{ host: "127.0.0.1", port: dovecot.imapPort, secure: false, verifyCertificate: true },
  ...{ user: USER, password: "secret", authorize: undefined },
  ...more,
});

async function boxes(login: ImapLogin): Promise<readonly string[]> {
  const client = await connectImap(login);
  try {
    return (await listMailboxes(client, login)).map(({ name }) => name);
  } finally {
    await closeImap(client);
  }
}

const UNTRUSTED = {
  code: "not_permitted",
  message: /certificate is not trusted \(self-signed certificate\)/u,
};

test("Dovecot's own certificate is refused by TLS and STARTTLS, unless any is taken, and is no matter within this host", async () => {
  const bySecure = { port: imapsPort, secure: true };
  for (const way of [bySecure, { host: ELSEWHERE }]) {
    await assert.rejects(boxes(at(way)), UNTRUSTED);
    assert.deepEqual(await boxes(at({ ...way, verifyCertificate: false })), ["INBOX"]);
  }
  assert.deepEqual(await boxes(at({})), ["INBOX"]);
  const logins = (await dovecot.log()).filter(line => line.includes(" Login: "));
  assert.equal(logins.length, 3);
  assert.ok(
    logins.every(line => / TLS[, ]/u.test(line)),
    logins.join("\n"),
  );
});

test("an OAuth2 token opens the account that it is for, and none when Dovecot is told that it is old", async () => {
  const withToken = (accessToken: string) => at({ password: "", accessToken });
  assert.deepEqual(await boxes(withToken(TOKEN)), ["INBOX"]);
  assert.ok(
    asked.some(one => one.includes(TOKEN)),
    asked.join("\n"),
  );
  await assert.rejects(boxes(withToken("old")), { code: "auth_failed" });
});

test("a master user opens the mail that the login names, by STARTTLS too", async () => {
  const master = { user: MASTER.address, password: MASTER.password, authorize: USER };
  assert.deepEqual(await boxes(at(master)), ["INBOX"]);
  assert.deepEqual(await boxes(at({ ...master, host: ELSEWHERE, verifyCertificate: false })), ["INBOX"]);
});
