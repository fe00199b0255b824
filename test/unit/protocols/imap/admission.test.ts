/** Places for connections: what strangers cannot take, whom they must make room for, and when a handshake's turn is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission, type Place } from "../../../../src/protocols/imap/admission.ts";
import { DEFAULT_LIMITS, type ImapLimits } from "../../../../src/protocols/imap/limits.ts";

const nothing = () => undefined;

function admission(connections: number, limits: Partial<ImapLimits> = {}) {
  const clock = { now: 0 };
  const all = new Admission({ connections }, { ...DEFAULT_LIMITS, ...limits }, () => clock.now);
  const enter = (kind: "dovecot" | "client", peer = "127.0.0.1", makeRoom: () => void = nothing) =>
    all.enter(kind, peer, makeRoom);
  const place = (kind: "dovecot" | "client", peer?: string): Place => {
    const found = enter(kind, peer);
    assert.ok(typeof found !== "string", String(found));
    return found;
  };
  return { all, clock, enter, place };
}

test("clients have half of the connections, so that Dovecot finds room whatever they do", () => {
  const { all, enter, place } = admission(7);
  const clients = Array.from({ length: 3 }, () => {
    const one = place("client");
    one.loggedIn();
    return one;
  });
  assert.equal(enter("client"), "clients");
  for (let i = 0; i < 4; i++) place("dovecot");
  assert.equal(enter("dovecot"), "total");
  clients[0]?.leave();
  clients[0]?.leave();
  assert.equal(all.open, 6);
  place("dovecot");
  assert.equal(enter("client"), "total");
});

test("strangers alone do not fill what clients have", () => {
  const { enter, place } = admission(20);
  for (let i = 0; i < 4; i++) place("client");
  place("client").loggedIn();
  place("client");
  assert.equal(enter("client"), "strangers");
});

test("one network has few connections, fewer of them not logged in; IPv6 is counted by 64 bits, this host not at all", () => {
  const { enter, place } = admission(100, { connectionsPerNetwork: 3, strangersPerNetwork: 2 });
  const first = place("client", "2001:db8:0:1::1");
  place("client", "2001:db8:0:1:ffff::2");
  assert.equal(enter("client", "2001:db8::1:0:0:0:3"), "address");
  place("client", "2001:db8:0:2::1");
  first.loggedIn();
  const third = place("client", "2001:db8:0:1::3");
  third.loggedIn();
  assert.equal(enter("client", "2001:db8:0:1::4"), "address", "three, be they logged in");
  third.leave();
  place("client", "2001:db8:0:1::4");
  for (let i = 0; i < 5; i++) place("client", "127.0.0.1");
  for (let i = 0; i < 5; i++) place("dovecot", "192.0.2.1");
});

test("when all strangers' places are taken, who is slow to log in makes room, and nobody who has just come", () => {
  const { clock, enter, place } = admission(100, { strangers: 2, strangerGraceMs: 50 });
  const left: string[] = [];
  enter("client", "192.0.2.1", () => void left.push("first"));
  clock.now = 40;
  const second = place("client", "192.0.2.2");
  assert.equal(enter("client", "192.0.2.3"), "strangers");
  clock.now = 60;
  place("client", "192.0.2.3");
  assert.deepEqual(left, ["first"]);
  assert.equal(enter("client", "192.0.2.4"), "strangers");
  second.loggedIn();
  place("client", "192.0.2.4");
});

test("handshakes begin at a pace after the first few", () => {
  const { all, clock } = admission(100, { handshakesPerS: 10, handshakeBurst: 3 });
  const waits = () => Array.from({ length: 5 }, () => all.handshakeWaitMs());
  assert.deepEqual(waits(), [0, 0, 0, 0, 100]);
  clock.now = 10_000;
  assert.deepEqual(waits(), [0, 0, 0, 0, 100]);
});
