import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeXtext } from "../../../../src/core/xtext.ts";
import { peerName, trustedPeers } from "../../../../src/protocols/lmtp/trust.ts";
import { parseXforward } from "../../../../src/protocols/lmtp/xforward.ts";

const parse = (text: string, known = {}) => parseXforward(Buffer.from(text), known);

test("parseXforward() merges the attributes of several commands and forgets unavailable ones", () => {
  const first = parse("XFORWARD NAME=a.example ADDR=192.0.2.1 PORT=25");
  assert.deepEqual(first, { kind: "ok", value: { name: "a.example", address: "192.0.2.1", port: 25 } });
  assert.deepEqual(
    parse("XFORWARD name=[UNAVAILABLE] HELO=[TEMPUNAVAIL] IDENT=q1", { name: "a.example", port: 25 }),
    {
      kind: "ok",
      value: { port: 25, ident: "q1" },
    },
  );
});

test("parseXforward() takes control characters out of values", () => {
  const parsed = parse("XFORWARD HELO=a+0D+0Ab+00 IDENT=x+1B[31m");
  assert.deepEqual(parsed, { kind: "ok", value: { helo: "a??b?", ident: "x?[31m" } });
});

for (const bad of [
  "XFORWARD",
  "XFORWARD NAME",
  "XFORWARD =x",
  "XFORWARD CONSTRUCTOR=x",
  "XFORWARD __PROTO__=x",
  "XFORWARD ADDR=not-an-address",
  "XFORWARD ADDR=192.0.2.1.5",
  "XFORWARD PORT=70000",
  "XFORWARD PORT=-1",
  "XFORWARD NAME=a+0",
  `XFORWARD NAME=${"a".repeat(256)}`,
]) {
  test(`parseXforward() refuses "${bad.slice(0, 40)}"`, () => {
    const parsed = parse(bad);
    assert.equal(parsed.kind === "bad" && parsed.reply.code, 501);
  });
}

test("decodeXtext() decodes octets as UTF-8 and refuses a torn escape", () => {
  assert.equal(decodeXtext("a+2Bb+3d"), "a+b=");
  assert.equal(decodeXtext("J+C3+BCrgen"), "Jürgen");
  assert.equal(decodeXtext("a+4"), undefined);
  assert.equal(decodeXtext("a+zz"), undefined);
});

test("trustedPeers() knows networks of both families and UNIX sockets", () => {
  const trusted = trustedPeers(["127.0.0.0/8", "::1/128", "192.0.2.7"]);
  for (const peer of ["127.0.0.1", "127.255.0.1", "::1", "192.0.2.7", "unix"]) assert.ok(trusted(peer), peer);
  for (const peer of ["128.0.0.1", "::2", "192.0.2.8", "", "gone", "localhost"])
    assert.ok(!trusted(peer), peer);
});

test("trustedPeers() refuses what is no network", () => {
  for (const bad of ["localhost", "127.0.0.0/33", "127.0.0.0/8/9", "::1/129", "127.0.0.0/x", ""]) {
    assert.throws(() => trustedPeers([bad]), { code: "config_invalid" }, bad);
  }
});

test("peerName() takes the IPv6 coat off and never takes a vanished TCP peer for a UNIX socket", () => {
  assert.equal(peerName({ remoteAddress: "::ffff:127.0.0.1" }), "127.0.0.1");
  assert.equal(peerName({ remoteAddress: "2001:db8::1" }), "2001:db8::1");
  assert.equal(peerName({}), "unix");
  assert.equal(peerName({ localAddress: "127.0.0.1" }), "gone");
});
