/** LMTP command lines by grammar, right ones and nearly right ones. */
import type { Random } from "./random.ts";

const LOCALS = [
  "user",
  "a",
  "nobody",
  "full",
  "away",
  "thrower",
  "again",
  "refused",
  "loop",
  '"a b"',
  '"\\""',
  "a+b",
  "..",
  "",
  "\xc3\xa9",
  "x".repeat(70),
];
const DOMAINS = [
  "example.com",
  "elsewhere.example",
  "[127.0.0.1]",
  "[IPv6:2001:db8::1]",
  "xn--bcher-kva.example",
  "a.b.c",
  "-",
  "",
  "\xe3\x81\x82.example",
];
const NOTIFY = ["NEVER", "SUCCESS", "FAILURE,DELAY", "NEVER,SUCCESS", ""];
const BODIES = ["7BIT", "8BITMIME", "BINARYMIME", ""];
const XFORWARD_NAMES = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE", "DOMAIN"];
const XTEXT = [
  "x",
  "[UNAVAILABLE]",
  "[TEMPUNAVAIL]",
  "a+2Bb",
  "+0D+0A",
  "+",
  "+zz",
  "LOCAL",
  "REMOTE",
  "IPV6:::1",
  "192.0.2.1",
  "4XyZ",
];

function address(random: Random): string {
  if (random.oneIn(12)) return "";
  const route = random.oneIn(10) ? "@a.example,@b.example:" : "";
  return `${route}${random.pick(LOCALS)}${random.oneIn(12) ? "" : "@"}${random.pick(DOMAINS)}`;
}

function parameters(random: Random, known: readonly (() => string)[]): string {
  return random.many(random.small(4), () => ` ${random.oneIn(8) ? "FOO=bar" : random.pick(known)()}`);
}

export function mailCommand(random: Random): string {
  return `MAIL FROM:${random.oneIn(20) ? " " : ""}<${address(random)}>${parameters(random, [
    () => `SIZE=${random.pick(["0", "10", "1048577", "99999999999999999999", "-1", "x"])}`,
    () => `BODY=${random.pick(BODIES)}`,
    () => "SMTPUTF8",
    () => `RET=${random.pick(["FULL", "HDRS", "ALL"])}`,
    () => `ENVID=${random.pick(XTEXT)}`,
  ])}`;
}

export function rcptCommand(random: Random): string {
  return `RCPT TO:<${address(random)}>${parameters(random, [
    () => `NOTIFY=${random.pick(NOTIFY)}`,
    () => `ORCPT=rfc822;${random.pick(XTEXT)}`,
  ])}`;
}

export function xforwardCommand(random: Random): string {
  return `XFORWARD${random.many(1 + random.small(4), () => ` ${random.pick(XFORWARD_NAMES)}=${random.pick(XTEXT)}`)}`;
}

const ENDINGS = [
  "\r\n.\r\n",
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\r\n\0.\r\n",
  "\r\n.\r\r\n",
  "\r\n..\r\n",
  ".\r\n",
];

/** Message content, mostly ended. */
function content(random: Random): string {
  const body = random.many(random.small(6), () =>
    random.pick(["Subject: x\r\n", "\r\n", ".x\r\n", "a\nb\rc", "\0", "text", ...ENDINGS]),
  );
  return `${body}${random.oneIn(10) ? "" : random.pick(["\r\n.\r\n", "\r\n.\r\n", ".\r\n", random.pick(ENDINGS)])}`;
}

const OTHER = [
  "LHLO c",
  "LHLO",
  "EHLO c",
  "HELO c",
  "RSET",
  "NOOP",
  "NOOP x",
  "VRFY x",
  "QUIT",
  "DATA",
  "DATA x",
  "BDAT 1 LAST",
  "AUTH PLAIN",
  "STARTTLS",
  "XCLIENT NAME=x",
  "",
  " ",
  "\0",
  "L\xff",
];

/** A whole wire: transactions and odd commands, with their line ends. */
export function lmtpWire(random: Random): string {
  let wire = random.oneIn(10) ? "" : "LHLO client.example\r\n";
  for (let left = 1 + random.small(8); left > 0; left--) {
    if (random.oneIn(3)) wire += `${random.pick(OTHER)}${random.oneIn(15) ? "\n" : "\r\n"}`;
    else {
      const xforward = random.oneIn(3) ? `${xforwardCommand(random)}\r\n` : "";
      const mail = random.oneIn(4) ? mailCommand(random) : "MAIL FROM:<a@example.com>";
      const rcpts = random.many(
        random.small(4) + 1,
        () => `${random.oneIn(3) ? rcptCommand(random) : "RCPT TO:<user@example.com>"}\r\n`,
      );
      wire += `${xforward}${mail}\r\n${rcpts}${random.oneIn(8) ? "" : `DATA\r\n${content(random)}`}`;
    }
  }
  return wire;
}
