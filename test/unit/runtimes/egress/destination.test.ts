import assert from "node:assert/strict";
import { test } from "node:test";
import { destinationText, parseDestination } from "../../../../src/runtimes/egress/destination.ts";

const spelled = (text: string) => {
  const found = parseDestination(text);
  return found === undefined ? undefined : destinationText(found);
};

for (const [text, expected] of [
  ["api.example.com:443", "api.example.com:443"],
  ["API.Example.COM.:443", "api.example.com:443"],
  ["xn--r8jz45g.example:80", "xn--r8jz45g.example:80"],
  ["192.0.2.1:443", "192.0.2.1:443"],
  ["[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"],
  ["[::ffff:7f00:1]:443", "[::ffff:127.0.0.1]:443"],
  ["localhost:11434", "localhost:11434"],
] as const)
  test(`"${text}" is ${expected}`, () => assert.equal(spelled(text), expected));

for (const text of [
  "api.example.com",
  "api.example.com:0",
  "api.example.com:65536",
  "api.example.com:+443",
  "127.1:443",
  "2130706433:443",
  "0x7f000001:443",
  "0x7f.1:443",
  "a.0x:443",
  "0177.0.0.1:443",
  "::1:443",
  "[fe80::1%eth0]:443",
  "[127.0.0.1]:443",
  "user@api.example.com:443",
  "https://api.example.com:443",
  "api.example.com:443/path",
  "api..example.com:443",
  "-api.example.com:443",
  "*.example.com:443",
  "例え.example:443",
  "api.example.com\0.evil.example:443",
  `${"a".repeat(64)}.example:443`,
  `${"a.".repeat(127)}com:443`,
  ":443",
  "",
])
  test(`${JSON.stringify(text.slice(0, 40))} is no destination`, () =>
    assert.equal(spelled(text), undefined));
