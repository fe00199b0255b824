import assert from "node:assert/strict";
import { test } from "node:test";
import { checkFormat } from "../../../../src/platform/config/formats.ts";
import { keyText } from "../../../../src/platform/config/problem.ts";
import { editDistance, nearest } from "../../../../src/platform/config/suggest.ts";
import { indexPositions, parseToml, TomlSyntaxError } from "../../../../src/platform/config/toml.ts";

test("keyText() quotes what TOML would not read as a bare key", () => {
  assert.equal(keyText(["domains", "a.example", "stage"]), 'domains."a.example".stage');
  assert.equal(keyText(["hooks", 3, "filter", 'a"b']), 'hooks[3].filter."a\\"b"');
});

test("editDistance() counts insertions, deletions and substitutions", () => {
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("same", "same"), 0);
});

test("nearest() suggests near names only", () => {
  assert.equal(nearest("connection", ["connections", "listen"]), "connections");
  assert.equal(nearest("socket-mode", ["socket_mode"]), "socket_mode");
  assert.equal(nearest("zzz", ["listen", "pool"]), undefined);
  assert.equal(nearest("x".repeat(129), ["x".repeat(128)]), undefined);
});

test("indexPositions() finds keys of tables, dotted keys, inline tables and lists of tables", async () => {
  const source = 'a.b = 1\n[t."x.y"]\nc = { d = 2 }\n[[h]]\nn = 1\n[[h]]\nn = [\n  1,\n  { z = 2 },\n]\n';
  const index = await indexPositions(source);
  const at = (...path: (string | number)[]) => {
    const { line, column } = index.find(path);
    return `${line}:${column}`;
  };
  assert.equal(at("a"), "1:1");
  assert.equal(at("a", "b"), "1:3");
  assert.equal(at("t", "x.y"), "2:4");
  assert.equal(at("t", "x.y", "c", "d"), "3:7");
  assert.equal(at("h", 0), "4:1");
  assert.equal(at("h", 1, "n"), "7:1");
  assert.equal(at("h", 1, "n", 1, "z"), "9:5");
  assert.equal(at("h", 1, "missing"), "6:1");
});

test("parseToml() says where a document is wrong, and refuses keys that could reach a prototype", () => {
  assert.throws(
    () => parseToml("a = 1\nb = nope"),
    (error: unknown) =>
      error instanceof TomlSyntaxError && error.position.line === 2 && error.position.column === 5,
  );
  assert.throws(() => parseToml("__proto__ = 1"), TomlSyntaxError);
  assert.throws(() => parseToml(`a = ${"[".repeat(100)}${"]".repeat(100)}`), TomlSyntaxError);
});

const GOOD: Readonly<Record<string, readonly string[]>> = {
  absolute_path: ["/a"],
  address: ["127.0.0.1", "127.0.0.1:53", "::1", "[::1]:53"],
  cidr: ["127.0.0.0/8", "::1/128", "10.0.0.1"],
  domain: ["example.com", "xn--fsq.example", "a-b.c"],
  group: ["postfix", "108", "_x"],
  host_name: ["mail.Example.com", "localhost"],
  listener: ["unix:/a", "inet:127.0.0.1:0", "inet:[::1]:25", "inet:localhost:65535", "tls:0.0.0.0:993"],
  mail_address: ["a@b"],
  next_hop: ["unix:/run/dovecot/lmtp", "inet:127.0.0.1:24"],
  octal_mode: ["0660", "600"],
  plugin_id: ["com.example.x-y"],
  postgres_url: ["postgres://mairust@/mairust?host=/run/postgresql", "postgresql://u:p@h:5432/d"],
  not_ours: ["anything"],
};
const BAD: Readonly<Record<string, readonly string[]>> = {
  absolute_path: ["a", "./a", "/a\0"],
  address: ["localhost", "127.0.0.1:99999"],
  cidr: ["127.0.0.0/33", "::1/129", "x", "1.2.3.4/8/8", "1.2.3.4/"],
  domain: ["Example.com", "-a.b", "a..b", "", "ü.example", `${"a".repeat(64)}.b`, "__proto__"],
  group: ["-x", "a b"],
  host_name: ["a b", ""],
  listener: [
    "tcp:1",
    "unix:a",
    "unix:/",
    "inet:1.2.3.4",
    "inet:1.2.3.4:65536",
    "inet:::1:25",
    `unix:/${"x".repeat(107)}`,
  ],
  mail_address: ["a", "a b@c"],
  next_hop: ["tls:h:1"],
  octal_mode: ["0880", "66", "rw"],
  plugin_id: ["x", "Com.x", `a.${"b".repeat(128)}`],
  postgres_url: ["mysql://h", "h"],
};

test("formats allow what they describe and refuse the rest", () => {
  for (const [format, values] of Object.entries(GOOD)) {
    for (const value of values) assert.equal(checkFormat(format, value), undefined, `${format} ${value}`);
  }
  for (const [format, values] of Object.entries(BAD)) {
    for (const value of values) assert.notEqual(checkFormat(format, value), undefined, `${format} ${value}`);
  }
});

test("a socket path of 107 bytes is allowed, one of 108 is not, in bytes and not in characters", () => {
  assert.equal(checkFormat("listener", `unix:/${"x".repeat(106)}`), undefined);
  assert.match(
    checkFormat("listener", `unix:/${"x".repeat(107)}`) ?? "",
    /has 108 bytes, a UNIX socket path at most 107/,
  );
  assert.notEqual(checkFormat("listener", `unix:/${"ü".repeat(54)}`), undefined);
});
