/** The way into another IMAP server, against one that shows each octet it gets: tokens, TLS, STARTTLS, and what is never sent. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findByImap } from "../../../src/cli/imap-find.ts";
import { closeImap, connectImap, listMailboxes } from "../../../src/transfer/imap-login.ts";
import type { ImapLogin } from "../../../src/wire/transfer-calls.ts";
import { makeCertificate } from "../../lib/certificate.ts";
import { type ScriptedImap, type ScriptedImapOptions, startScriptedImap } from "../../lib/scripted-imap.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-imap-login-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const certificate = makeCertificate(folder, "localhost");

const TOKEN = "ya29.a0AfH6SMB-token";
/** Of this host, but not by name: what it is for is another host's. */
const ELSEWHERE = "0.0.0.0";
const PLAIN = ["AUTH=PLAIN", "SASL-IR"];

async function withServer<T>(
  options: ScriptedImapOptions,
  work: (server: ScriptedImap, login: ImapLogin) => Promise<T>,
): Promise<T> {
  const server = await startScriptedImap(options);
  try {
    return await work(server, {
      ...{ host: "127.0.0.1", port: server.port, secure: options.implicit ?? false, verifyCertificate: true },
      ...{ user: "taro@example.com", password: "secret", authorize: undefined },
    });
  } finally {
    await server.stop();
  }
}

async function loggedIn(login: ImapLogin): Promise<readonly string[]> {
  const client = await connectImap(login);
  try {
    return (await listMailboxes(client, login)).map(({ name }) => name);
  } finally {
    await closeImap(client);
  }
}

const withToken = (login: ImapLogin): ImapLogin => ({ ...login, password: "", accessToken: TOKEN });

/** The initial response of each AUTHENTICATE, decoded, behind its mechanism. */
const saslOf = ({ lines }: ScriptedImap) =>
  lines.flatMap(({ text }) => {
    const [, command, mechanism = "", response = ""] = text.split(" ");
    return command === "AUTHENTICATE"
      ? [`${mechanism} ${Buffer.from(response, "base64").toString("latin1")}`]
      : [];
  });

/** Whether a line has something that lets its reader in. */
const isSecret = ({ text }: { readonly text: string }) =>
  /AUTHENTICATE|LOGIN|secret|ya29|c2VjcmV0/u.test(text);

test("a token goes as XOAUTH2: the user, the token, and nothing else", () =>
  withServer({ capabilities: ["AUTH=XOAUTH2", ...PLAIN] }, async (server, login) => {
    assert.deepEqual(await loggedIn(withToken(login)), ["INBOX"]);
    assert.deepEqual(saslOf(server), [`XOAUTH2 user=taro@example.com\x01auth=Bearer ${TOKEN}\x01\x01`]);
  }));

test("a token goes as OAUTHBEARER where a server offers that too", () =>
  withServer({ capabilities: ["AUTH=XOAUTH2", "AUTH=OAUTHBEARER"] }, async (server, login) => {
    await loggedIn(withToken(login));
    const gs2 = `n,a=taro@example.com,\x01host=127.0.0.1\x01port=${server.port}\x01auth=Bearer ${TOKEN}\x01\x01`;
    assert.deepEqual(saslOf(server), [`OAUTHBEARER ${gs2}`]);
  }));

test("a token that is refused is a refused login; the dialogue is ended as XOAUTH2 asks for, and no message shows the token", () => {
  const challenge = Buffer.from('{"status":"400","schemes":"Bearer"}').toString("base64");
  return withServer({ capabilities: ["AUTH=XOAUTH2"], challenge }, async (server, login) => {
    await assert.rejects(loggedIn(withToken(login)), (error: Error & { code?: string }) => {
      assert.equal(error.code, "auth_failed");
      assert.match(error.message, /^cannot log in at 127\.0\.0\.1:\d+: login refused/u);
      assert.ok(!error.message.includes(TOKEN));
      return true;
    });
    assert.equal(server.lines.at(-1)?.text, "");
  });
});

test("a token is never sent as a password to a server without OAuth2", () =>
  withServer({ capabilities: PLAIN }, async (server, login) => {
    await assert.rejects(loggedIn(withToken(login)), { code: "store_unavailable" });
    assert.deepEqual(server.lines.filter(isSecret), []);
  }));

test("a master user gets the mail of whom the login names, or none: never its own", async () => {
  const forTaro = (login: ImapLogin): ImapLogin => ({
    ...login,
    user: "admin",
    authorize: "taro@example.com",
  });
  await withServer({ capabilities: [] }, async (_, login) => {
    assert.deepEqual(await loggedIn(login), ["INBOX"], "its own login by LOGIN");
    await assert.rejects(loggedIn(forTaro(login)), { code: "not_permitted", message: /no AUTH=PLAIN/u });
  });
  await withServer({ capabilities: PLAIN }, async (_, login) =>
    assert.deepEqual(await loggedIn(forTaro(login)), ["INBOX"]),
  );
  await withServer({ capabilities: PLAIN, challenge: "" }, (_, login) =>
    assert.rejects(loggedIn(forTaro(login)), { code: "auth_failed" }),
  );
});

test("a certificate that is not trusted is refused before anything is sent, by TLS and by STARTTLS; --insecure takes it", async () => {
  for (const implicit of [true, false]) {
    await withServer({ capabilities: PLAIN, certificate, implicit }, async (server, login) => {
      const there = { ...login, host: ELSEWHERE };
      await assert.rejects(loggedIn(there), (error: Error & { code?: string }) => {
        assert.equal(error.code, "not_permitted");
        assert.match(
          error.message,
          /its certificate is not trusted \(self-signed certificate\): .*--insecure/u,
        );
        return true;
      });
      assert.deepEqual(server.lines.filter(isSecret), []);
      assert.deepEqual(await loggedIn({ ...there, verifyCertificate: false }), ["INBOX"]);
      const secrets = server.lines.filter(isSecret);
      assert.ok(secrets.length > 0 && secrets.every(({ encrypted }) => encrypted));
    });
  }
});

test("to another host nothing goes in clear: without STARTTLS there is no login", () =>
  withServer({ capabilities: PLAIN }, async (server, login) => {
    for (const there of [login, withToken(login)])
      await assert.rejects(loggedIn({ ...there, host: ELSEWHERE, verifyCertificate: false }), {
        code: "store_unavailable",
        message: /does not support STARTTLS/u,
      });
    assert.deepEqual(server.lines.filter(isSecret), []);
  }));

test("within this host a server is taken as it is: in clear, or by STARTTLS whoever signed its certificate", async () => {
  await withServer({ capabilities: PLAIN }, async (_, login) =>
    assert.deepEqual(await loggedIn(login), ["INBOX"]),
  );
  await withServer({ capabilities: PLAIN, certificate }, async (server, login) => {
    assert.deepEqual(await loggedIn(login), ["INBOX"]);
    assert.ok(server.lines.filter(isSecret).every(({ encrypted }) => encrypted));
  });
});

test("selftest reads by the same rules: no password in clear to another host, no certificate that is not trusted", async () => {
  const look = (login: ImapLogin) =>
    findByImap({ ...login, host: ELSEWHERE }, "<none@example.com>", performance.now());
  await withServer({ capabilities: PLAIN }, async (server, login) => {
    await assert.rejects(look(login), { exitCode: 69 });
    assert.deepEqual(server.lines.filter(isSecret), []);
  });
  await withServer({ capabilities: PLAIN, certificate }, async (server, login) => {
    await assert.rejects(look(login), { exitCode: 77, message: /its certificate is not trusted/u });
    assert.deepEqual(server.lines.filter(isSecret), []);
  });
});
