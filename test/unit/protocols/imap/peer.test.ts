import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { capabilities } from "../../../../src/protocols/imap/capability.ts";
import { peerOf } from "../../../../src/protocols/imap/peer.ts";
import { DOVECOT } from "../../../../src/protocols/imap/profile.ts";

function socketFrom(remoteAddress: string | undefined, encrypted = false): Socket {
  return Object.defineProperties(new Socket(), {
    remoteAddress: { value: remoteAddress },
    ...(encrypted ? { encrypted: { value: true } } : {}),
  });
}

test("passwords are only welcome over TLS, loopback and UNIX sockets", () => {
  assert.deepEqual(peerOf(socketFrom(undefined)), { peer: "unix", secure: true });
  assert.deepEqual(peerOf(socketFrom("::ffff:127.0.0.1")), { peer: "127.0.0.1", secure: true });
  assert.deepEqual(peerOf(socketFrom("::1")), { peer: "::1", secure: true });
  assert.deepEqual(peerOf(socketFrom("192.0.2.1")), { peer: "192.0.2.1", secure: false });
  assert.deepEqual(peerOf(socketFrom("2001:db8::127.0.0.1")), { peer: "2001:db8::127.0.0.1", secure: false });
  assert.deepEqual(peerOf(socketFrom("192.0.2.1", true)), { peer: "192.0.2.1", secure: true });
});

test("capabilities() announces no login where passwords are refused", () => {
  const session = { account: undefined, profile: DOVECOT };
  const open = capabilities({ ...session, secure: false });
  assert.match(open, /^IMAP4rev1 LOGINDISABLED LITERAL\+ /u);
  assert.doesNotMatch(open, /AUTH=|SASL-IR/u);
  assert.match(capabilities({ ...session, secure: true }), /^IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL\+ /u);
});
