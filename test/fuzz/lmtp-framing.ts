/**
 * Fuzz target for the LMTP input: command lines and DATA framing must give the same for every chunking, never lose or
 * add a byte, never end DATA on anything but CRLF "." CRLF, and the command parsers must not throw.
 * The first input byte chooses the chunk sizes.
 */
import assert from "node:assert/strict";
import { parseMail, parseRcpt } from "../../src/protocols/lmtp/commands.ts";
import { DataFraming } from "../../src/protocols/lmtp/framing.ts";
import { parseXforward } from "../../src/protocols/lmtp/xforward.ts";

export const name = "lmtp-framing";
export const words = [
  "\r\n.\r\n",
  "\n.\n",
  "\r\n.\n",
  "\n.\r\n",
  "\r.\r",
  "\r\n.",
  "\r\n..",
  ".\r\n",
  "\r.\r\n",
  "\0",
  "\r\n.\r",
  "x".repeat(70),
];

export const seeds: readonly Uint8Array[] = [
  "\x01Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
  "\x02..\r\n..\r\n.\r\n",
  "\x03a\n.\nb\r.\rc\r\n.\n\r\n.\r\r\n.\r\n",
  "\x07.\r\n",
  "\x05\r\n.\r\r\n..\r\n\0\r\n.",
  '\x01RCPT TO:<"a b"@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.com',
  "\x01MAIL FROM:<@a,@b:c@example.com> SIZE=10 BODY=8BITMIME RET=FULL ENVID=x SMTPUTF8",
  "\x01XFORWARD NAME=a.example ADDR=IPV6:::1 PORT=25 HELO=x+0Ay IDENT=q SOURCE=LOCAL",
].map(text => Buffer.from(text, "latin1"));

const ADDRESS_BYTES = 1024;

/** @throws when an invariant does not hold */
export function run(input: Uint8Array): void {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  const step = 1 + ((bytes[0] ?? 0) % 61);
  const wire = bytes.subarray(1);
  const whole = frame(wire, wire.length || 1);
  const cut = frame(wire, step);
  assert.equal(cut.end, whole.end);
  assert.ok(cut.content.equals(whole.content));
  checkEnd(wire, whole.end);
  checkContent(wire, whole);
  parseMail(wire, { addressBytes: ADDRESS_BYTES, dsn: true });
  parseRcpt(wire, { addressBytes: ADDRESS_BYTES, dsn: true });
  parseXforward(wire, {});
}

interface Framed {
  readonly content: Buffer;
  readonly end: number;
}

function frame(wire: Buffer, step: number): Framed {
  const framing = new DataFraming();
  const parts: Buffer[] = [];
  for (let at = 0; at < wire.length; at += step) {
    const { content, end } = framing.push(wire.subarray(at, at + step));
    parts.push(content);
    if (end >= 0) return { content: Buffer.concat(parts), end: at + end };
  }
  return { content: Buffer.concat(parts), end: -1 };
}

/** The end is behind the first CRLF "." CRLF, the start of DATA counting as after a CRLF. */
function checkEnd(wire: Buffer, end: number): void {
  const found = Buffer.concat([Buffer.from("\r\n"), wire]).indexOf("\r\n.\r\n");
  assert.equal(end, found < 0 ? -1 : found + 3);
}

/** Stuffing the content again gives the wire back, but for dots that a sender should have doubled. */
function checkContent(wire: Buffer, { content, end }: Framed): void {
  const text = wire.toString("latin1");
  const sent = end >= 0 ? text.slice(0, end - 3) : text.replace(/(^|\r\n)\.\r?$/u, "$1");
  assert.equal(content.toString("latin1"), sent.replace(/(^|\r\n)\./gu, "$1"));
}
