/** Milter packets by grammar, right ones and nearly right ones, mostly in an order that an MTA would use. */
import * as p from "../../lib/milter-packets.ts";
import type { Random } from "./random.ts";

const LOCALS = [
  "ann",
  "refuse",
  "defer",
  "discard",
  "edit",
  "openfail",
  "writefail",
  "writethrow",
  "throw",
  "enough",
];
const NAMES = [
  "Subject",
  "X-MaiRust-Trace",
  "x-mairust-a",
  "X-MaiRust-",
  "X-MaiRust-\u00e9",
  "A ",
  "",
  "Received",
];
const VALUES = [" x", "", "x", " a\n\tb", " a\r\n b", "\n", " %s", " \u00e9"];
const BODIES = ["", "x", "\r\n", "a\0b", "line\r\n.\r\n", "y".repeat(300)];
const MACROS = ["i", "j", "{daemon_name}", "{auth_authen}", "{tls_version}", "{unknown}", "{", "}"];

function address(random: Random): string {
  return random.oneIn(6)
    ? random.pick(["<>", "", "a@b", "<", "<a@b"])
    : `<${random.pick(LOCALS)}@example.com>`;
}

function args(random: Random): readonly string[] {
  const words = [
    "SIZE=10",
    "BODY=8BITMIME",
    "SMTPUTF8",
    "ORCPT=rfc822;a+2Bb",
    "NOTIFY=NEVER",
    "ENVID=+",
    "=",
    "RET=FULL",
  ];
  return [address(random), ...Array.from({ length: random.small(3) }, () => random.pick(words))];
}

function macros(random: Random): Buffer {
  const names = Array.from({ length: random.small(4) }, () => random.pick(MACROS));
  return p.macros(
    random.pick([..."CHMRTNE"]),
    Object.fromEntries(names.map(name => [name, random.pick(VALUES)])),
  );
}

function odd(random: Random): Buffer {
  return random.pick([
    () => p.abort(),
    () => p.unknown("FOO"),
    () => p.quitNc(),
    () => p.helo("again"),
    () => p.connect(),
    () => p.optneg(2, 0x3f, 0x7f),
    () => p.packet("Z"),
    () => p.packet("M"),
    () => p.packet("C", "host", { octet: 0x55 }),
    () => Buffer.alloc(4),
    () => Buffer.from([0x7f, 0, 0, 0]),
  ])();
}

function message(random: Random): readonly Buffer[] {
  const some = (most: number, make: () => Buffer) => Array.from({ length: random.small(most) }, make);
  return [
    ...(random.oneIn(2) ? [macros(random)] : []),
    p.mail(...args(random)),
    ...(random.oneIn(12) ? [] : [p.rcpt(...args(random))]),
    ...some(2, () => p.rcpt(...args(random))),
    ...(random.oneIn(3) ? [] : [p.data()]),
    ...some(5, () => p.header(random.pick(NAMES), random.pick(VALUES))),
    ...(random.oneIn(6) ? [] : [p.eoh()]),
    ...some(3, () => p.body(random.pick(BODIES))),
    random.oneIn(5) ? p.abort() : p.eom(random.oneIn(4) ? random.pick(BODIES) : ""),
  ];
}

/** A whole connection. */
export function milterWire(random: Random): Buffer {
  const packets: Buffer[] = random.oneIn(12)
    ? []
    : [
        p.optneg(
          random.pick([6, 6, 6, 2, 4, 7, 1]),
          p.POSTFIX_ACTIONS,
          random.pick([p.POSTFIX_STEPS, 0x7f, 0xf_ffff]),
        ),
      ];
  if (!random.oneIn(12)) packets.push(macros(random), p.connect(), p.helo());
  for (let left = 1 + random.small(4); left > 0; left -= 1) {
    packets.push(...(random.oneIn(6) ? [odd(random)] : message(random)));
  }
  if (random.oneIn(2)) packets.push(p.quit());
  return Buffer.concat(packets);
}
