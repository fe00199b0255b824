import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseMail, parseRcpt } from "../../../../src/protocols/lmtp/commands.ts";

const RULES = { addressBytes: 1024, dsn: true };
const rcpt = (text: string, encoding: BufferEncoding = "utf8") =>
  parseRcpt(Buffer.from(text, encoding), RULES);
const mail = (text: string) => parseMail(Buffer.from(text), RULES);

/** Path as sent → raw, local part, domain. */
const ACCEPTED: ReadonlyArray<readonly [path: string, raw: string, local: string, domain: string]> = [
  ["a..b@example.com", "a..b@example.com", "a..b", "example.com"],
  [".a.@example.com", ".a.@example.com", ".a.", "example.com"],
  ['"a b"@example.com', '"a b"@example.com', "a b", "example.com"],
  ['"a>b"@example.com', '"a>b"@example.com', "a>b", "example.com"],
  ['"a@b"@example.com', '"a@b"@example.com', "a@b", "example.com"],
  ['"a\\"b"@example.com', '"a\\"b"@example.com', 'a"b', "example.com"],
  ["MAILER-DAEMON", "MAILER-DAEMON", "MAILER-DAEMON", ""],
  ["user@[192.0.2.1]", "user@[192.0.2.1]", "user", "[192.0.2.1]"],
  ["user@[IPv6:2001:db8::1]", "user@[IPv6:2001:db8::1]", "user", "[IPv6:2001:db8::1]"],
  ["u@xn--bcher-kva.example", "u@xn--bcher-kva.example", "u", "xn--bcher-kva.example"],
  ["jürgen@bücher.example", "jürgen@bücher.example", "jürgen", "bücher.example"],
  ["User+Detail@Example.COM", "User+Detail@Example.COM", "User+Detail", "Example.COM"],
  ["@relay.example,@two.example:user@example.com", "user@example.com", "user", "example.com"],
  ["u=x!y%z@example.com", "u=x!y%z@example.com", "u=x!y%z", "example.com"],
  ["user@host_with_underscore", "user@host_with_underscore", "user", "host_with_underscore"],
];

for (const [path, raw, local, domain] of ACCEPTED) {
  test(`parseRcpt() accepts <${path}>`, () => {
    assert.deepEqual(rcpt(`RCPT TO:<${path}>`), { kind: "ok", value: { address: { raw, local, domain } } });
  });
}

const REFUSED: ReadonlyArray<readonly [line: string, reply: string]> = [
  ["RCPT TO:<a b@example.com>", "501 5.1.3"],
  ["RCPT TO:<a<b@example.com>", "501 5.1.3"],
  ["RCPT TO:<a@example.com", "501 5.1.3"],
  ['RCPT TO:<"a@example.com>', "501 5.1.3"],
  ["RCPT TO:<a\u0007@example.com>", "501 5.1.3"],
  ["RCPT TO:<a\r@example.com>", "501 5.1.3"],
  ["RCPT TO:<a\u0085@example.com>", "501 5.1.3"],
  ['RCPT TO:<"a\\\u0000"@example.com>', "501 5.1.3"],
  [`RCPT TO:<${"a".repeat(1025)}>`, "501 5.1.3"],
  ["RCPT TO <a@example.com>", "501 5.5.4"],
  ["RCPT TO:<a@example.com>NOTIFY=NEVER", "501 5.5.4"],
  ["RCPT TO:<a@example.com> NOTIFY", "501 5.5.4"],
  ["RCPT TO:<a@example.com> =x", "501 5.5.4"],
  ["RCPT TO:<a@example.com> ORCPT=rfc822", "501 5.5.4"],
  ["RCPT TO:<a@example.com> ORCPT=rfc822;a+4", "501 5.5.4"],
  [`RCPT TO:<a@example.com> ORCPT=rfc822;${"a".repeat(500)}`, "501 5.5.4"],
];

for (const [line, reply] of REFUSED) {
  test(`parseRcpt() refuses ${JSON.stringify(line.slice(0, 50))} with ${reply}`, () => {
    const parsed = rcpt(line);
    assert.equal(parsed.kind === "bad" && `${parsed.reply.code} ${parsed.reply.enhanced}`, reply);
  });
}

test("parseRcpt() refuses bytes that are not UTF-8", () => {
  const parsed = rcpt("RCPT TO:<a\xff@example.com>", "latin1");
  assert.equal(parsed.kind === "bad" && parsed.reply.code, 553);
});

test("parseMail() reads the null sender and every parameter", () => {
  assert.deepEqual(mail("MAIL FROM:<> SIZE=10 BODY=7BIT RET=hdrs ENVID=a+2B+3Db SMTPUTF8"), {
    kind: "ok",
    value: {
      from: { raw: "", local: "", domain: "" },
      declaredSizeBytes: 10,
      body8bit: false,
      smtpUtf8: true,
      ret: "HDRS",
      envid: "a+=b",
    },
  });
});

test("parseMail() refuses an ENVID that hides a line break", () => {
  assert.equal(mail("MAIL FROM:<> ENVID=a+0D+0Ab").kind, "bad");
});

test("DSN parameters are unknown ones unless DSN was announced", () => {
  const rules = { addressBytes: 1024, dsn: false };
  for (const text of ["RET=FULL", "ENVID=x"]) {
    const parsed = parseMail(Buffer.from(`MAIL FROM:<> ${text}`), rules);
    assert.equal(parsed.kind === "bad" && parsed.reply.code, 555, text);
  }
  for (const text of ["NOTIFY=NEVER", "ORCPT=rfc822;a@b"]) {
    const parsed = parseRcpt(Buffer.from(`RCPT TO:<a@b> ${text}`), rules);
    assert.equal(parsed.kind === "bad" && parsed.reply.code, 555, text);
  }
});

test("whatever Postfix quotes comes out as it went in", () => {
  // RFC 5321 §4.1.2 quoted-string over printable ASCII.
  const local = fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map(n => String.fromCharCode(n)),
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(local, text => {
      const quoted = `"${text.replace(/["\\]/gu, "\\$&")}"`;
      const parsed = rcpt(`RCPT TO:<${quoted}@example.com> NOTIFY=NEVER`);
      assert.equal(parsed.kind === "ok" && parsed.value.address.local, text);
    }),
    { numRuns: 300 },
  );
});

test("no command line makes the parsers throw", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("MAIL FROM:", "RCPT TO:", ""),
      fc.uint8Array({ maxLength: 200 }),
      (prefix, bytes) => {
        const line = Buffer.concat([Buffer.from(prefix), bytes]);
        parseMail(line, { addressBytes: 100, dsn: true });
        parseRcpt(line, { addressBytes: 100, dsn: true });
      },
    ),
    { numRuns: 500 },
  );
});
