import assert from "node:assert/strict";
import { test } from "node:test";
import { compileFilter, type HookFilter } from "../../../src/core/hook-filter.ts";
import { messageId } from "../../../src/core/ids.ts";
import { HeaderView } from "../../../src/core/permissions-headers.ts";
import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { factsOf } from "../hooks/message.ts";

const FACTS = factsOf("Subject: =?utf-8?q?Rechnung?=\nList-Id: <a.example>\n\nbody", {
  mailFrom: "Sender@Example.org",
});
const VIEW = new HeaderView(FACTS.header);

function matches(filter: HookFilter, recipient = "user@example.com", facts: MessageFacts = FACTS): boolean {
  return compileFilter(filter, "hook")(facts, recipient, VIEW);
}

test("an empty filter matches everything", () => {
  const open = {
    recipient: "",
    sender: "",
    size_min_bytes: 0,
    size_max_bytes: 0,
    header: {},
    sample_percent: 100,
  };
  assert.ok(matches({}) && matches(open));
});

test("patterns match the whole address, without case", () => {
  assert.ok(matches({ recipient: ".*@EXAMPLE.com" }));
  assert.ok(!matches({ recipient: "@example.com" }), "a part is not enough");
  assert.ok(!matches({ recipient: ".*@example.com" }, "user@example.com.evil.example"));
  assert.ok(matches({ sender: "sender@example\\.org" }));
  assert.ok(matches({ domain: "example\\.(com|net)" }) && !matches({ domain: "example" }));
});

test("size, direction, authentication", () => {
  assert.ok(matches({ size_min_bytes: FACTS.sizeBytes, size_max_bytes: FACTS.sizeBytes }));
  assert.ok(
    !matches({ size_min_bytes: FACTS.sizeBytes + 1 }) && !matches({ size_max_bytes: FACTS.sizeBytes - 1 }),
  );
  assert.ok(matches({ direction: "inbound" }) && !matches({ direction: "outbound" }));
  assert.ok(matches({ authenticated: false }) && !matches({ authenticated: true }));
  assert.ok(matches({ authenticated: true }, "a@b", { ...FACTS, authUser: "x" }));
});

test("headers: there, or with a value that matches as a whole after decoding; all must hold", () => {
  assert.ok(matches({ header: { "list-id": "", Subject: "rechnung" } }));
  assert.ok(!matches({ header: { subject: "rech" } }) && matches({ header: { subject: "rech.*" } }));
  assert.ok(
    !matches({ header: { "X-Other": "" } }) && !matches({ header: { subject: "", "X-Other": ".*" } }),
  );
});

test("a sample is stable for a message and near its share over many", () => {
  const count = (percent: number) => {
    let sampled = 0;
    for (let i = 0; i < 2000; i++) {
      const facts = {
        ...FACTS,
        messageId: messageId(`0190a000-0000-7000-8000-${i.toString(16).padStart(12, "0")}`),
      };
      const first = matches({ sample_percent: percent }, "a@b", facts);
      assert.equal(matches({ sample_percent: percent }, "a@b", facts), first);
      if (first) sampled++;
    }
    return sampled / 20;
  };
  assert.equal(count(0), 0);
  assert.ok(Math.abs(count(10) - 10) < 3, String(count(10)));
  assert.ok(Math.abs(count(50) - 50) < 5, String(count(50)));
});

test("a pattern that stalls backtracking engines is answered at once", () => {
  const hostile = `${"a".repeat(5000)}@example.com`;
  const began = performance.now();
  assert.ok(!matches({ recipient: "(a+)+$" }, hostile));
  assert.ok(!matches({ sender: "(.*a){20}x" }, hostile, { ...FACTS, mailFrom: hostile }));
  // A backtracking engine needs more than a day.
  assert.ok(performance.now() - began < 10_000);
});

test("patterns that the engine does not take are refused", () => {
  for (const recipient of ["(", "(?=a)", "(a)\\1", "a".repeat(1001)]) {
    assert.throws(() => compileFilter({ recipient }, "hook"), { code: "config_invalid" }, recipient);
  }
});

test("the header is read once for a message, however many recipients it has", () => {
  let reads = 0;
  const view = new HeaderView(FACTS.header);
  const counting = Object.assign(Object.create(view), {
    valuesOf(name: string) {
      reads++;
      return view.valuesOf(name);
    },
  });
  const filter = compileFilter({ header: { "List-Id": ".*" }, recipient: ".*@example.com" }, "hook");
  for (let i = 0; i < 100; i++) assert.ok(filter(FACTS, `user${i}@example.com`, counting));
  assert.ok(!filter(FACTS, "user@example.net", counting));
  assert.equal(reads, 1);
  // Another message is another question.
  assert.ok(!filter({ ...FACTS }, "user@example.com", new HeaderView(Buffer.from("Subject: x\r\n\r\n"))));
});
