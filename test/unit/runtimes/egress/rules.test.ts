import assert from "node:assert/strict";
import { test } from "node:test";
import type { EgressPolicy } from "../../../../src/core/ports/egress.ts";
import { parseDestination } from "../../../../src/runtimes/egress/destination.ts";
import { Refusal } from "../../../../src/runtimes/egress/refusal.ts";
import {
  checkAddresses,
  checkAsked,
  localAddresses,
  MAIL_PORTS,
  readRules,
} from "../../../../src/runtimes/egress/rules.ts";

const OWN = new Set([8025]);
const rulesOf = (mode: EgressPolicy["mode"], ...allow: string[]) =>
  readRules("com.example.p", { mode, allow }, OWN);
const place = (text: string) => parseDestination(text) ?? assert.fail(text);

function reason(work: () => void): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.reason;
  }
  return "allowed";
}

const limited = rulesOf(
  "outbound-limited",
  "API.example.com.:443",
  "*.models.example:443",
  "plain.example:80",
);
for (const [asked, expected] of [
  ["api.example.com:443", "allowed"],
  ["a.models.example:443", "allowed"],
  ["a.b.models.example:443", "allowed"],
  ["plain.example:80", "allowed"],
  ["models.example:443", "not_listed"],
  ["evilmodels.example:443", "not_listed"],
  ["api.example.com:80", "not_listed"],
  ["api.example.com.evil.example:443", "not_listed"],
  ["localhost:443", "not_listed"],
  ["192.0.2.1:443", "not_listed"],
  ["api.example.com:25", "port"],
  ["api.example.com:8443", "port"],
] as const)
  test(`outbound-limited: ${asked} is ${expected}`, () =>
    assert.equal(
      reason(() => checkAsked(limited, place(asked), OWN)),
      expected,
    ));

const addresses = [
  ["public v4", "93.184.216.34", "allowed"],
  ["public v6", "2606:2800:220:1::1", "allowed"],
  ["loopback", "127.0.0.1", "address"],
  ["this host", "0.0.0.0", "address"],
  ["private 10", "10.0.0.1", "address"],
  ["private 172", "172.31.255.255", "address"],
  ["private 192", "192.168.1.1", "address"],
  ["carrier NAT", "100.64.0.1", "address"],
  ["link-local", "169.254.1.1", "address"],
  ["metadata", "169.254.169.254", "address"],
  ["multicast", "224.0.0.1", "address"],
  ["broadcast", "255.255.255.255", "address"],
  ["v6 loopback", "::1", "address"],
  ["v6 any", "::", "address"],
  ["v6 unique local", "fd00::1", "address"],
  ["v6 link-local", "fe80::1", "address"],
  ["v6 multicast", "ff02::1", "address"],
  ["v4-mapped loopback", "::ffff:127.0.0.1", "address"],
  ["v4-mapped private, in hex", "::ffff:a00:1", "address"],
  ["v4-compatible", "::7f00:1", "address"],
  ["NAT64 of a private one", "64:ff9b::a00:1", "address"],
  ["6to4", "2002:7f00:1::", "address"],
  ["nonsense", "nonsense", "address"],
] as const;
for (const [name, address, expected] of addresses) {
  test(`outbound-limited and unlimited: a name at a ${name} address is ${expected}`, () => {
    const asked = place("api.example.com:443");
    assert.equal(
      reason(() => checkAddresses(limited, asked, [address])),
      expected,
    );
    assert.equal(
      reason(() => checkAddresses(rulesOf("unlimited"), asked, [address])),
      expected,
    );
  });
}

test("one private address among public ones refuses the name", () => {
  const asked = place("api.example.com:443");
  assert.equal(
    reason(() => checkAddresses(limited, asked, ["93.184.216.34", "10.0.0.1"])),
    "address",
  );
});

test("unlimited: any name on the web's ports, and private addresses only of names that are listed as they are", () => {
  const rules = rulesOf("unlimited", "nas.lan:443", "*.lan:80");
  const any = place("anything.example:443");
  assert.equal(
    reason(() => checkAsked(rules, any, OWN)),
    "allowed",
  );
  assert.equal(
    reason(() => checkAsked(rules, place("anything.example:25"), OWN)),
    "port",
  );
  assert.equal(
    reason(() => checkAddresses(rules, any, ["10.0.0.1"])),
    "address",
  );
  assert.equal(
    reason(() => checkAddresses(rules, place("nas.lan:443"), ["10.0.0.1"])),
    "allowed",
  );
  assert.equal(
    reason(() => checkAddresses(rules, place("nas.lan:80"), ["10.0.0.1"])),
    "address",
  );
  for (const address of ["127.0.0.1", "169.254.169.254", "::1", "fe80::1"])
    assert.equal(
      reason(() => checkAddresses(rules, place("nas.lan:443"), [address])),
      "address",
    );
});

test("local-only: the listed loopback ports and nothing else", () => {
  const rules = rulesOf("local-only", "127.0.0.1:11434", "[::1]:9000", "localhost:7000");
  for (const [asked, expected] of [
    ["127.0.0.1:11434", ["127.0.0.1"]],
    ["localhost:11434", ["127.0.0.1"]],
    ["[::1]:11434", []],
    ["localhost:9000", ["::1"]],
    ["localhost:7000", ["127.0.0.1", "::1"]],
    ["[::1]:7000", ["::1"]],
    ["127.0.0.2:11434", []],
    ["[::ffff:127.0.0.1]:11434", []],
    ["0.0.0.0:11434", []],
    ["example.com:11434", []],
  ] as const) {
    assert.deepEqual(localAddresses(rules, place(asked)), expected, asked);
    const outcome = expected.length > 0 ? "allowed" : "not_listed";
    assert.equal(
      reason(() => checkAsked(rules, place(asked), OWN)),
      outcome,
      asked,
    );
  }
});

test("local-only: ports of the mail system and of the service are refused, also those that came later", () => {
  for (const port of [...MAIL_PORTS, 8025])
    assert.throws(() => rulesOf("local-only", `127.0.0.1:${port}`), /belongs to the mail system/);
  const rules = rulesOf("local-only", "127.0.0.1:11434");
  assert.equal(
    reason(() => checkAsked(rules, place("127.0.0.1:11434"), new Set([11434]))),
    "own_port",
  );
  for (const port of MAIL_PORTS)
    assert.equal(
      reason(() => checkAsked(rules, place(`127.0.0.1:${port}`), OWN)),
      "own_port",
    );
});

for (const [mode, entry] of [
  ["outbound-limited", "api.example.com"],
  ["outbound-limited", "api.example.com:8443"],
  ["outbound-limited", "*.192.0.2.1:443"],
  ["outbound-limited", "*:443"],
  ["unlimited", "api.example.com:22"],
  ["local-only", "api.example.com:443"],
  ["local-only", "127.0.0.2:9000"],
  ["local-only", "*.localhost:9000"],
] as const)
  test(`${mode}: the entry "${entry}" can never be used`, () =>
    assert.throws(() => rulesOf(mode, entry), { code: "plugin_validation" }));
