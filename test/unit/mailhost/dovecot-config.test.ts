import assert from "node:assert/strict";
import { test } from "node:test";
import { dovecotConf, dovecotPaths, MAIL_UID, passwdFile } from "../../../src/mailhost/dovecot-config.ts";

const base = {
  paths: dovecotPaths("/tmp/mr1"),
  imapPort: 1144,
  lmtpPort: 1145,
  stageStoreFile: "/opt/mairust/dovecot/stage-store.conf",
  extra: "mail_debug = yes",
};

test("dovecotConf() in mode imapc includes the shipped file and sets only what is local after it", () => {
  const upstream = { host: "127.0.0.1", port: 1143, masterUser: "dovecot", masterPassword: "secret" };
  const text = dovecotConf({ ...base, mode: { kind: "imapc", upstream } });
  const after = text.slice(text.indexOf("!include /opt/mairust/dovecot/stage-store.conf\n"));
  assert.match(after, /^imapc_port = 1143$/m);
  assert.match(after, /^imapc_password = <\/tmp\/mr1\/master\.secret$/m);
  assert.match(after, /acl = vfile:\/tmp\/mr1\/mairust\.acl/);
  assert.ok(text.endsWith("mail_debug = yes"));
  assert.ok(!text.includes("secret\n") || !/imapc_password = [^<]/.test(text));
  assert.match(text, /^protocols = imap$/m);
});

test("dovecotConf() in mode maildir has LMTP, and a socket or a master user only where asked", () => {
  const plain = dovecotConf({ ...base, mode: { kind: "maildir" } });
  assert.match(plain, /^protocols = imap lmtp$/m);
  assert.ok(!plain.includes("unix_listener") && !plain.includes("master = yes"));
  const mode = {
    kind: "maildir",
    master: { address: "m", password: "p" },
    lmtpSocket: "/tmp/mr1/l.sock",
  } as const;
  const full = dovecotConf({ ...base, mode });
  assert.match(full, /unix_listener \/tmp\/mr1\/l\.sock \{/);
  assert.match(full, /master = yes/);
});

test("passwdFile() refuses names and passwords that would change the line", () => {
  assert.equal(
    passwdFile([{ address: "a@b.test", password: "p" }]),
    `a@b.test:p:${MAIL_UID}:${MAIL_UID}::::\n`,
  );
  for (const user of [
    { address: "a:0:0", password: "p" },
    { address: "", password: "p" },
    { address: "a b", password: "p" },
    { address: "a", password: "p:0:0" },
    { address: "a", password: "p\nroot:" },
  ]) {
    assert.throws(() => passwdFile([user]), { code: "invalid_argument" });
  }
});
