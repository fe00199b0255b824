import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Address, parseAddressList } from "../../../../src/core/mime/address.ts";
import { AddressLexer } from "../../../../src/core/mime/address-lexer.ts";

function show(address: Address): string {
  if (address.kind === "group") return `${address.name}:[${address.members.map(show).join("|")}]`;
  const { name, route, mailbox, host } = address;
  return `${name ?? "-"}${route === undefined ? "" : `{${route}}`}<${mailbox}@${host}>`;
}

function parse(value: string): string {
  return parseAddressList(value).map(show).join(" ");
}

test("parseAddressList() reads the forms of RFC 5322", () => {
  assert.equal(parse("a@b"), "-<a@b>");
  assert.equal(
    parse("Joe Q. Public <john.q.public@example.com>"),
    "Joe Q. Public<john.q.public@example.com>",
  );
  assert.equal(
    parse('"Joe \\"Q\\" Public" <a@b>, J.R.R. Tolkien <t@x>'),
    'Joe "Q" Public<a@b> J.R.R. Tolkien<t@x>',
  );
  assert.equal(parse('"a b"@c, "x@y"@z'), "-<a b@c> -<x@y@z>");
  assert.equal(parse("a@[IPv6:2001:db8::1], <a@[192.0.2.1]>"), "-<a@[IPv6:2001:db8::1]> -<a@[192.0.2.1]>");
  assert.equal(parse("A Group:Ed <e@x>,j@y;, z@z"), "A Group:[Ed<e@x>|-<j@y>] -<z@z>");
  assert.equal(parse("undisclosed-recipients:;"), "undisclosed-recipients:[]");
  assert.equal(parse("<@a,@b:c@d>"), "-{@a,@b}<c@d>");
  assert.equal(
    parse("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
    "Pete<pete@silly.test>",
  );
  assert.equal(parse("  "), "");
});

test("parseAddressList() takes a comment as the name where there is no other", () => {
  assert.equal(parse("a@b (Real Name)"), "Real Name<a@b>");
  assert.equal(parse("<a@b> (Real (nested) Name)"), "Real (nested) Name<a@b>");
});

test("parseAddressList() makes the best of broken lists", () => {
  assert.equal(parse("a@b; c@d"), "-<a@b> -<c@d>");
  assert.equal(parse("user@host <user@host>"), "user@host<user@host>");
  assert.equal(parse('Foo "bar <a@b>, c@d'), 'Foo "bar<a@b> -<c@d>');
  assert.equal(parse("Foo (bar <a@b>, c@d"), "Foo (bar<a@b> -<c@d>");
  assert.equal(parse("A <a@b, c@d"), "A<a@b> -<c@d>");
  assert.equal(parse(",,a@b,,"), "-<a@b>");
  assert.equal(parse("a@b c@d.e, f@g"), "-<a@b> -<f@g>");
  assert.equal(parse("Big Bug bb@x.y"), "Big Bug<bb@x.y>");
  assert.equal(parse("john . doe @ x . y"), "-<john.doe@x.y>");
  assert.equal(parse('"" <a@b>, c@d ()'), "-<a@b> -<c@d>");
  assert.equal(parse("just words"), "just words<@>");
  assert.equal(parse("<>"), "-<@>");
  assert.equal(parse("voil\xc3\xa0 <a@b>"), "voil\xc3\xa0<a@b>");
});

test("parseAddressList() stops at its limit", () => {
  assert.equal(parseAddressList("a@b,".repeat(100), 7).length, 7);
  const group = parseAddressList(`g:${"a@b,".repeat(100)};`, 7)[0];
  assert.equal(group?.kind === "group" ? group.members.length : 0, 7);
});

test("parseAddressList() never throws and reads hostile values in one pass", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'"()<>@,;:.[]\\ ab') }),
      value => void parseAddressList(value),
    ),
  );
  for (const piece of ['"', "(", "<", "@", ":", ";", "[", "\\", '"\\', "(a", "a ", "a.", '"a" ', "<@a,"]) {
    parseAddressList(piece.repeat(100_000));
  }
});

test("AddressLexer looks for a closing quote or parenthesis only once when there is none", () => {
  for (const piece of ['"', "(", '"\\', "(a", "(((", '"("']) {
    const text = `${piece.repeat(1001)}"(`;
    const lexer = new AddressLexer(text);
    while (lexer.next().kind !== "end");
    assert.ok(lexer.steps <= text.length * 3, `${piece}: ${lexer.steps} steps for ${text.length} octets`);
  }
});
