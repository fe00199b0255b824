import assert from "node:assert/strict";
import { test } from "node:test";
import Schema from "typebox/schema";
import { type AnswerCheck, checkAnswer } from "../../../src/core/answer.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { HookPoint } from "../../../src/core/ports/hooks.ts";
import { FLAG_FLAGGED, FLAG_SEEN } from "../../../src/core/ports/store.ts";
import { answerSchema } from "../../../src/wire/answer.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";

const CALL = callId("0190a000-0000-7000-8000-000000000001");
const EVERYTHING: PermissionsInput = {
  read_headers: true,
  read_body: "full",
  write_tags: true,
  write_flags: true,
  move_message: true,
  write_metadata: true,
  write_headers: true,
  decide: ["reject", "tempfail", "hold"],
};

function check(
  answer: unknown,
  grants: PermissionsInput = EVERYTHING,
  point: HookPoint = "pre_delivery",
): AnswerCheck {
  const text = typeof answer === "string" ? answer : JSON.stringify(answer);
  return checkAnswer(Buffer.from(text), { callId: CALL, pluginId: "com.example.p" }, grantsOf(grants), point);
}

function ok(answer: unknown, grants?: PermissionsInput, point?: HookPoint) {
  const result = check(answer, grants, point);
  assert.equal(result.kind, "ok", JSON.stringify(result));
  if (result.kind !== "ok") throw new Error("unreachable");
  return result;
}

const deniedItems = (answer: unknown, grants?: PermissionsInput, point?: HookPoint) =>
  ok(answer, grants, point).denied.map(({ item }) => item);

test("{} and allow mean deliver without change", () => {
  for (const answer of [{}, { action: "allow" }, { action: "deliver", call_id: CALL }]) {
    const { answer: checked, denied } = ok(answer);
    assert.equal(checked.action, "deliver");
    assert.deepEqual(
      [checked.tagsAdd, checked.folder, checked.reply, denied],
      [[], undefined, undefined, []],
    );
  }
});

const MALFORMED: ReadonlyArray<readonly [string, unknown]> = [
  ["no JSON", "no"],
  ["two documents", "{}{}"],
  ["nothing", ""],
  ["a byte order mark", "\ufeff{}"],
  ["a list", []],
  ["null", "null"],
  ["an unknown action", { action: "discard" }],
  ["an action that is no text", { action: 1 }],
  ["null for an action", { action: null }],
  ["another call", { call_id: "0190a000-0000-7000-8000-000000000002" }],
  ["a call id that is no text", { call_id: 7 }],
  ["code 421", { action: "tempfail", code: 421 }],
  ["code 521", { action: "reject", code: 521 }],
  ["code 250", { action: "reject", code: 250 }],
  ["a code that is a text", { action: "reject", code: "550" }],
  ["permanent with 4xx", { action: "reject", code: 451, permanent: true }],
  ["not permanent with 5xx", { action: "reject", code: 550, permanent: false }],
  ["tempfail with 5xx", { action: "tempfail", code: 550 }],
  ["tempfail that is permanent", { action: "tempfail", permanent: true }],
  ["deliver with a code", { action: "deliver", code: 550 }],
  ["hold that is permanent", { action: "hold", permanent: true }],
  ["permanent that is a text", { action: "reject", permanent: "yes" }],
  ["a reason that is a number", { action: "reject", reason: 5 }],
  ["tags as a list", { tags: ["spam"] }],
  ["a tag that is a number", { tags: { add: [1] } }],
  ["flags.add as a text", { flags: { add: "\\Seen" } }],
  ["a folder that is null", { folder: null }],
  ["metadata as a list", { metadata: [] }],
  ["headers without pairs", { headers: { add: [["X-A"]] } }],
  ["headers with a number", { headers: { add: [["X-A", 1]] } }],
  ["append_text as a text", { append_text: "bye" }],
  ["add_bcc as a text", { recipients: { add_bcc: "a@example.com" } }],
  ["usage with a text for a number", { usage: { input_tokens: "1" } }],
  ["an explanation that is a table", { explanation: {} }],
  ["defer as a text", { defer: "yes" }],
];
for (const [name, answer] of MALFORMED) {
  test(`malformed, all of it void: ${name}`, () => {
    assert.equal(check(answer).kind, "malformed");
    // The same without any grant: a wrong type is wrong whoever sent it.
    assert.equal(check(answer, {}).kind, "malformed");
  });
}

test("malformed: bytes that are not UTF-8, and more than 1 MiB", () => {
  const bytes = Buffer.concat([Buffer.from('{"reason":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  const call = { callId: CALL, pluginId: "p" };
  assert.equal(checkAnswer(bytes, call, grantsOf(), "pre_delivery").kind, "malformed");
  assert.equal(check({ explanation: "x".repeat(1024 * 1024) }).kind, "malformed");
});

test("codes: defaults, permanent: false, own codes", () => {
  const reply = (answer: unknown) => ok(answer).answer;
  assert.deepEqual(reply({ action: "reject" }).reply, {
    code: 550,
    enhanced: "5.7.1",
    text: "Message rejected by policy",
  });
  assert.deepEqual(reply({ action: "tempfail" }).reply, {
    code: 451,
    enhanced: "4.7.1",
    text: "Please try again later",
  });
  const soft = reply({ action: "reject", permanent: false });
  assert.deepEqual([soft.action, soft.reply?.code, soft.reply?.enhanced], ["tempfail", 451, "4.7.1"]);
  const full = reply({ action: "reject", code: 552, permanent: true, reason: "Too much" });
  assert.deepEqual([full.action, full.reply], ["reject", { code: 552, enhanced: "5.7.1", text: "Too much" }]);
  const coded = reply({ action: "reject", code: 450 });
  assert.deepEqual([coded.action, coded.reply?.code], ["tempfail", 450]);
});

test("a reason that cannot stand in a reply is replaced by the default text and kept for the record", () => {
  for (const reason of ["拒否", "x".repeat(201)]) {
    const { answer } = ok({ action: "reject", reason });
    assert.equal(answer.reply?.text, "Message rejected by policy");
    assert.equal(answer.reason, reason);
  }
  const injected = ok({ action: "reject", reason: "no\r\n250 fine" });
  assert.equal(injected.answer.reply?.text, "Message rejected by policy");
  assert.deepEqual(
    injected.denied.map(({ item }) => item),
    ["reason"],
  );
});

test("beyond the grant: the item is dropped and listed, the rest applies", () => {
  const answer = {
    action: "reject",
    tags: { add: ["a"] },
    flags: { add: ["\\Seen"] },
    folder: "Junk",
    metadata: { k: 1 },
    headers: { add: [["X-A", "1"]] },
  };
  const all = ok(answer, {});
  assert.deepEqual(all.denied.map(({ item }) => item).sort(), [
    "action",
    "flags",
    "folder",
    "headers",
    "metadata",
    "tags",
  ]);
  assert.equal(all.answer.action, "deliver");
  const some = ok(answer, { read_headers: true, write_tags: true });
  assert.deepEqual([some.answer.tagsAdd, some.answer.folder, some.answer.systemFlags], [["a"], undefined, 0]);
  assert.equal(some.answer.metadata.size + some.answer.headers.length, 0);
});

test("decide holds only for the decisions it names", () => {
  assert.equal(ok({ action: "tempfail" }, { decide: ["tempfail"] }).answer.action, "tempfail");
  assert.equal(ok({ action: "reject" }, { decide: ["tempfail"] }).answer.action, "deliver");
  assert.equal(ok({ action: "hold" }, { decide: ["tempfail"] }).answer.action, "deliver");
  assert.equal(ok({ action: "reject" }, EVERYTHING, "post_receive").answer.action, "deliver");
});

test("the table of points", () => {
  const answer = {
    flags: { add: ["\\Seen"] },
    folder: "A",
    metadata: { k: 1 },
    headers: { add: [["X-A", "1"]] },
    tags: { add: ["t"] },
  };
  assert.deepEqual(deniedItems(answer, EVERYTHING, "pre_receive"), ["flags", "folder"]);
  assert.deepEqual(deniedItems(answer, EVERYTHING, "pre_delivery"), []);
  assert.deepEqual(deniedItems(answer, EVERYTHING, "post_receive"), ["headers"]);
  assert.deepEqual(deniedItems(answer, EVERYTHING, "pre_send"), ["flags", "folder", "metadata"]);
  assert.deepEqual(
    deniedItems({ append_text: { plain: "x" }, recipients: { add_bcc: ["a@b"] }, defer: true }),
    ["append_text", "recipients", "defer"],
  );
});

const SENDER: PermissionsInput = { append_text: true, add_recipients: true };

test("append_text: at pre_send, granted, 4 KiB of each kind, no controls but TAB and LF", () => {
  const text = { plain: "Line 1\n\tLine 2 請", html: "<p>1</p>" };
  assert.deepEqual(ok({ append_text: text }, SENDER, "pre_send").answer.appendText, text);
  assert.deepEqual(ok({ append_text: { html: "x" } }, SENDER, "pre_send").answer.appendText, {
    plain: "",
    html: "x",
  });
  assert.equal(ok({ append_text: { plain: "a".repeat(4096) } }, SENDER, "pre_send").denied.length, 0);
  for (const append_text of [
    { plain: "a".repeat(4097) },
    { html: "é".repeat(2049) },
    { plain: "a\0" },
    { plain: "a\r\nb" },
    { html: "\x1b[31m" },
    { plain: "\u2028" },
    { plain: "\ud800" },
  ]) {
    const { answer, denied } = ok({ append_text }, SENDER, "pre_send");
    assert.deepEqual([answer.appendText, denied.map(({ item }) => item)], [undefined, ["append_text"]]);
  }
  assert.deepEqual(deniedItems({ append_text: text }, {}, "pre_send"), ["append_text"]);
  for (const point of ["pre_receive", "pre_delivery", "post_receive"] as const)
    assert.deepEqual(deniedItems({ append_text: text }, SENDER, point), ["append_text"]);
  assert.deepEqual(deniedItems({ append_text: {} }, {}, "pre_send"), []);
});

test("add_bcc: only addresses that the administrator has named, whatever the grant", () => {
  const add = (add_bcc: readonly string[], bccAllowed?: readonly string[], grants = SENDER) => {
    const bytes = Buffer.from(JSON.stringify({ recipients: { add_bcc } }));
    const call = { callId: CALL, pluginId: "p.q", ...(bccAllowed === undefined ? {} : { bccAllowed }) };
    const result = checkAnswer(bytes, call, grantsOf(grants), "pre_send");
    assert.equal(result.kind, "ok");
    return result.kind === "ok" ? [result.answer.addBcc, result.denied.map(({ why }) => why)] : undefined;
  };
  const none = "no address is allowed by the administrator";
  const other = "an address is not allowed by the administrator";
  assert.deepEqual(add(["a@example.com"]), [[], [none]]);
  assert.deepEqual(add(["a@example.com"], []), [[], [none]]);
  assert.deepEqual(add(["A@example.com", "a@example.com", "b@example.com"], ["a@Example.com"]), [
    ["a@Example.com"],
    [other],
  ]);
  assert.deepEqual(add(["a@example.com"], ["a@example.com"], {}), [[], ["add_recipients is not granted"]]);
  const many = Array.from({ length: 20 }, (_, i) => `u${i}@example.com`);
  assert.equal(add(many, many)?.[0]?.length, 10);
});

test("defer is refused while there is no callback to come later by", () => {
  const { denied } = ok({ defer: true }, EVERYTHING, "post_receive");
  assert.deepEqual(denied, [{ item: "defer", why: "the callback API is not built" }]);
  assert.deepEqual(ok({ defer: false }, EVERYTHING, "post_receive").denied, []);
});

test("hold at each point, with the grant", () => {
  for (const point of ["pre_receive", "pre_delivery", "pre_send"] as const)
    assert.equal(ok({ action: "hold" }, { decide: ["hold"] }, point).answer.action, "hold");
  assert.deepEqual(deniedItems({ action: "hold" }, { decide: ["hold"] }, "post_receive"), ["action"]);
});

test("the plugin's words are kept to a length", () => {
  const { answer } = ok({
    reason: "r".repeat(10_000),
    explanation: "e".repeat(10_000),
    usage: { model: "m".repeat(1000) },
  });
  assert.deepEqual(
    [answer.reason?.length, answer.explanation?.length, String(answer.usage?.model).length],
    [4096, 4096, 128],
  );
});

test("tags: rule, number, doubles, the core's own", () => {
  const { answer, denied } = ok({
    tags: {
      add: ["spam", "spam", "Bad", "-x", "", "a".repeat(65), "mairust:unchecked", "ok:1"],
      remove: ["mairust:unchecked"],
    },
  });
  assert.deepEqual(answer.tagsAdd, ["spam", "ok:1"]);
  assert.deepEqual(answer.tagsRemove, []);
  assert.equal(denied.length, 6);
  const many = ok({ tags: { add: Array.from({ length: 20 }, (_, i) => `t${i}`) } });
  assert.deepEqual([many.answer.tagsAdd.length, many.denied.length], [16, 1]);
});

test("flags: \\Deleted and unknown system flags never, keywords by their own rule", () => {
  const { answer, denied } = ok({
    flags: { add: ["\\seen", "\\Flagged", "\\Deleted", "\\Draft", "\\Recent", "$Work", "a b", "mairust:x"] },
  });
  assert.equal(answer.systemFlags, FLAG_SEEN | FLAG_FLAGGED);
  assert.deepEqual(answer.keywords, ["$Work"]);
  assert.equal(denied.length, 5);
});

test("folders: paths of plain names only", () => {
  for (const folder of ["Junk", "Work/2026", "請求書", "a b"])
    assert.equal(ok({ folder }).answer.folder, folder);
  assert.equal(ok({ folder: "inbox" }).answer.folder, "INBOX");
  for (const folder of [
    "",
    "/",
    "a//b",
    "/a",
    "a/",
    "../x",
    "a/../b",
    ".",
    "a\r\nb",
    "a\0",
    "a*",
    "a%",
    "a\\b",
    " a",
    "x".repeat(256),
    "\ud800",
  ]) {
    assert.deepEqual(deniedItems({ folder }), ["folder"], JSON.stringify(folder));
  }
});

test("metadata: keys are namespaced, values bounded in size and depth", () => {
  const { answer, denied } = ok({ metadata: { score: 0.9, "a:b": 1, Up: 1, big: "x".repeat(5000) } });
  assert.deepEqual([...answer.metadata], [["plugin:com.example.p:score", 0.9]]);
  assert.equal(denied.length, 3);
  const deep = `{"metadata":{"k":${"[".repeat(100_000)}${"]".repeat(100_000)}}}`;
  assert.deepEqual(deniedItems(deep), ["metadata"]);
  const many = ok({ metadata: Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`k${i}`, i])) });
  assert.equal(many.answer.metadata.size, 64);
});

test("headers: X-… but not X-MaiRust-…, no line breaks, 998 bytes", () => {
  const { answer, denied } = ok({
    headers: {
      add: [
        ["X-Spam-Score", "0.97"],
        ["X-MaiRust-Trace", "v1"],
        ["x-mairust-skipped", "a"],
        ["Subject", "hi"],
        ["X-A", "b\r\nBcc: c@example.com"],
        ["X-B", "x".repeat(999)],
        ["X-C:", "d"],
      ],
    },
  });
  assert.deepEqual(answer.headers, [["X-Spam-Score", "0.97"]]);
  assert.equal(denied.length, 6);
});

test("unknown fields are listed and ignored", () => {
  assert.deepEqual(ok({ action: "deliver", verdict: "spam", "x-y": 1 }).unknown, ["verdict", "x-y"]);
});

test("what is denied never repeats the plugin's own text", () => {
  const result = ok({
    folder: "../CANARY",
    tags: { add: ["CANARY"] },
    metadata: { CANARY: 1 },
    flags: { add: ["\\CANARY"] },
  });
  assert.equal(result.denied.length, 4);
  assert.ok(!JSON.stringify(result.denied).includes("CANARY"));
});

test("the published schema and the check agree on what is malformed", () => {
  const validator = Schema.Compile(answerSchema);
  for (const answer of [
    {},
    { action: "allow" },
    { tags: { add: ["x"] } },
    { metadata: { a: [1] } },
    { usage: { model: "m" } },
  ]) {
    assert.ok(validator.Check(answer), JSON.stringify(answer));
  }
  // Rules that relate two fields are beyond the schema.
  const relations =
    /^(another call|permanent with|not permanent|tempfail with 5xx|tempfail that|deliver with|hold that)/;
  for (const [name, answer] of MALFORMED) {
    if (typeof answer === "string" || relations.test(name)) continue;
    assert.ok(!validator.Check(answer), name);
  }
});
