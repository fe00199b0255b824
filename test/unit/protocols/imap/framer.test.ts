import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CommandFramer, type FrameEvent } from "../../../../src/protocols/imap/framer.ts";

const LIMITS = { lineBytes: 100, literalBytes: 50 };

function events(framer: CommandFramer, limits = LIMITS): FrameEvent[] {
  const seen: FrameEvent[] = [];
  for (let event = framer.next(limits); event !== undefined; event = framer.next(limits)) {
    seen.push(event);
    if (event.kind === "overflow") break;
  }
  return seen;
}

function frame(text: string, limits = LIMITS): FrameEvent[] {
  const framer = new CommandFramer(1000);
  framer.push(Buffer.from(text, "latin1"));
  return events(framer, limits);
}

const show = (all: readonly FrameEvent[]) =>
  all.map(event => ("bytes" in event ? `${event.kind} ${event.bytes.toString("latin1")}` : event.kind));

test("CommandFramer gives one command per line, with CRLF or LF", () => {
  assert.deepEqual(show(frame("a NOOP\r\nb NOOP\nc NO")), ["command a NOOP", "command b NOOP"]);
});

test("CommandFramer keeps literals inside the command, whatever octets they hold", () => {
  assert.deepEqual(show(frame("a X {4+}\r\n\r\n\0{ {2}\r\n\r\n z\r\n")), [
    "continue",
    "command a X {4+}\r\n\r\n\0{ {2}\r\n\r\n z",
  ]);
});

test("CommandFramer asks for a synchronising literal once and waits for it", () => {
  const framer = new CommandFramer(1000);
  framer.push(Buffer.from("a LOGIN {3}\r\n"));
  assert.deepEqual(show(events(framer)), ["continue"]);
  assert.deepEqual(show(events(framer)), []);
  framer.push(Buffer.from("ann {2}\r\n"));
  assert.deepEqual(show(events(framer)), ["continue"]);
  framer.push(Buffer.from("pw\r\n"));
  assert.deepEqual(show(events(framer)), ["command a LOGIN {3}\r\nann {2}\r\npw"]);
});

test("CommandFramer refuses the literal of an APPEND and goes on behind it", () => {
  assert.deepEqual(show(frame("a APPEND x {5}\r\nb NOOP\r\n")), ["refused a APPEND x {5}", "command b NOOP"]);
  assert.deepEqual(show(frame("a append x (\\Seen) {500+}\r\n".concat("y".repeat(500), "\r\nb NOOP\r\n"))), [
    "refused a append x (\\Seen) {500+}",
    "command b NOOP",
  ]);
});

test("CommandFramer holds nothing of a literal that it throws away", () => {
  const framer = new CommandFramer(100_000_000);
  framer.push(Buffer.from("a APPEND x {50000000+}\r\n"));
  const chunk = Buffer.alloc(1_000_000);
  for (let i = 0; i < 50; i += 1) {
    assert.deepEqual(events(framer), []);
    framer.push(chunk);
    assert.deepEqual(events(framer), []);
    assert.ok(framer.buffered <= 1_000_000);
  }
  framer.push(Buffer.from("\r\n"));
  assert.equal(events(framer)[0]?.kind, "refused");
});

test("CommandFramer refuses a literal above the limit, also as the sum of several", () => {
  assert.deepEqual(show(frame("a X {51}\r\nb NOOP\r\n")), ["refused a X {51}", "command b NOOP"]);
  const two = `a X {30+}\r\n${"x".repeat(30)} {30+}\r\n${"y".repeat(30)}\r\nb NOOP\r\n`;
  assert.deepEqual(show(frame(two)).slice(1), ["command b NOOP"]);
  assert.equal(frame(two)[0]?.kind, "refused");
});

test("CommandFramer gives up on a line, or many lines of one command, above the limit", () => {
  assert.deepEqual(show(frame("x".repeat(101))), ["overflow"]);
  assert.deepEqual(show(frame(`${"x".repeat(101)}\r\n`)), ["overflow"]);
  assert.deepEqual(show(frame("x {0+}\r\n".repeat(50))), ["overflow"]);
  assert.deepEqual(show(frame("a X {1001+}\r\n")), ["overflow"]);
});

test("CommandFramer gives raw lines and then commands again", () => {
  const framer = new CommandFramer(1000);
  framer.push(Buffer.from("DONE\r\na NOOP\r\n"));
  assert.equal(framer.nextLine(10)?.toString(), "DONE");
  assert.deepEqual(show(events(framer)), ["command a NOOP"]);
  assert.equal(framer.nextLine(10), undefined);
  framer.push(Buffer.from("x".repeat(11)));
  assert.equal(framer.nextLine(10), "overflow");
});

test("CommandFramer gives the same events for every way of cutting the input", () => {
  const command = fc.constantFrom(
    "a NOOP\r\n",
    "b LOGIN {3+}\r\nx\ny {0+}\r\n\r\n",
    "c APPEND i {4+}\r\n{9}\r\r\n",
    "d X {60+}\r\n".concat("z".repeat(60), "\r\n"),
    'e SEARCH "a{3}"\n',
    "f {\r\n}\r\n",
  );
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 8 }),
      fc.array(fc.nat(12), { minLength: 1 }),
      (commands, cuts) => {
        const text = commands.join("");
        const framer = new CommandFramer(1000);
        const seen: FrameEvent[] = [];
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = 1 + (cuts[i % cuts.length] ?? 0);
          framer.push(Buffer.from(text.slice(at, at + size), "latin1"));
          seen.push(...events(framer));
          at += size;
        }
        assert.deepEqual(show(seen), show(frame(text)));
      },
    ),
  );
});
