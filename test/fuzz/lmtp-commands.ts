/** Fuzz target: the parsers of LMTP command lines, by grammar: what they take is sound, and they never throw. */

import { MairustError } from "../../src/core/errors.ts";
import { parseMail, parseRcpt } from "../../src/protocols/lmtp/commands.ts";
import { errorReply, renderReply } from "../../src/protocols/lmtp/reply.ts";
import { parseXforward } from "../../src/protocols/lmtp/xforward.ts";
import { mailCommand, rcptCommand, xforwardCommand } from "./lib/lmtp-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check, octets } from "./lib/target.ts";

export const name = "lmtp-commands";
export const words = [
  "<",
  ">",
  "@",
  "\\",
  '"',
  "+",
  "=",
  "NOTIFY=",
  "ORCPT=rfc822;",
  "SIZE=",
  "BODY=8BITMIME",
  "SMTPUTF8",
  "[IPv6:::1]",
  "+0D+0A",
  "xn--",
  "\xc3\xa9",
];
export const seeds = [
  'RCPT TO:<"a b"@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.com',
  "MAIL FROM:<@a,@b:c@example.com> SIZE=10 BODY=8BITMIME RET=FULL ENVID=x SMTPUTF8",
  "XFORWARD NAME=a.example ADDR=IPV6:::1 PORT=25 HELO=x+0Ay IDENT=q SOURCE=LOCAL",
].map(octets);

export function generate(random: Random): Uint8Array {
  return octets(random.pick([mailCommand, rcptCommand, xforwardCommand])(random));
}

const ADDRESS_BYTES = 1024;

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const line = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  for (const dsn of [true, false]) {
    for (const parse of [parseMail, parseRcpt]) {
      const parsed = parse(line, { addressBytes: ADDRESS_BYTES, dsn });
      if (parsed.kind === "bad") checkReply(renderReply(parsed.reply));
    }
  }
  const rcpt = parseRcpt(line, { addressBytes: ADDRESS_BYTES, dsn: true });
  if (rcpt.kind === "ok") {
    const { raw } = rcpt.value.address;
    check(raw.length > 0 && raw.length <= ADDRESS_BYTES, "an address within its limit");
    check(
      !/[\0\r\n<>]/u.test(raw.replace(/"(?:[^"\\]|\\.)*"/gu, "")),
      "no controls and no brackets in an address",
    );
  }
  const facts = parseXforward(line, {});
  if (facts.kind === "bad") checkReply(renderReply(facts.reply));
  else check(!/[\0\r\n]/u.test(JSON.stringify(facts.value)), "no raw line end in a fact");
  checkReply(
    renderReply(errorReply(new MairustError("internal", "x", { publicText: line.toString("latin1") }))),
  );
}

/** One reply in lines that no peer misreads (RFC 5321 §4.2). */
function checkReply(text: string): void {
  check(/^(?:\d{3}[ -][\x20-\x7e]*\r\n)+$/u.test(text), `a clean reply: ${JSON.stringify(text)}`);
}
