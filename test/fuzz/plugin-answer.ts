/** Fuzz target: the check of what a plugin answered. It never throws; what it lets through is granted and within the rules. */
import { checkAnswer } from "../../src/core/answer.ts";
import { callId } from "../../src/core/ids.ts";
import { grantsOf } from "../../src/core/permissions-grants.ts";
import { HOOK_POINTS } from "../../src/wire/config/hooks.ts";
import type { Random } from "./lib/random.ts";
import { check, octets } from "./lib/target.ts";

export const name = "plugin-answer";
export const words = [
  '"action":',
  '"reject"',
  '"code":550',
  '"tags":{"add":["a"]}',
  '"headers":{"add":[["X-A","b"]]}',
  '"metadata":{"k":',
  '"append_text":{"plain":"a","html":"b"}',
  '"recipients":{"add_bcc":["a@example.com"]}',
  "__proto__",
  "constructor",
  "toString",
  "\\u0000",
  "\\ud800",
  "[",
  "]",
  "{",
  "}",
  ",",
  "null",
  "1e400",
  "-0",
  "\xef\xbb\xbf",
];
const CALL = callId("0190a000-0000-7000-8000-000000000001");
export const seeds = [
  "{}",
  '{"action":"reject","code":550,"reason":"no","tags":{"add":["a"],"remove":["b"]},"flags":{"add":["\\\\Seen","k"]}}',
  '{"folder":"A/B","metadata":{"k":{"a":[1,2]}},"headers":{"add":[["X-A","b"],["X-B","c"]]},"explanation":"x","usage":{"input_tokens":1,"model":"m"},"defer":true,"x":1}',
  `{"call_id":"${CALL}","action":"tempfail","permanent":false}`,
  '{"action":"hold","append_text":{"plain":"a\\n\\tb","html":"<p>"},"recipients":{"add_bcc":["a@example.com","b@example.com"]}}',
  "[".repeat(2000),
  `{"metadata":{"k":${"[".repeat(500)}${"]".repeat(500)}}}`,
].map(octets);

const SCALARS = [
  "null",
  "true",
  "0",
  "-1",
  "1e400",
  "550",
  "450",
  '""',
  '"a"',
  '"\\u0000"',
  '"\\ud800"',
  '"reject"',
  '"hold"',
  '"X-Spam: y\\r\\nEvil: z"',
  '"../x"',
  '"INBOX"',
  '"A@Example.com"',
  '"x\\ny"',
  '"\\\\Deleted"',
];
const KEYS = [
  "call_id",
  "action",
  "code",
  "permanent",
  "reason",
  "tags",
  "flags",
  "folder",
  "metadata",
  "headers",
  "usage",
  "explanation",
  "defer",
  "add",
  "remove",
  "append_text",
  "plain",
  "html",
  "recipients",
  "add_bcc",
  "__proto__",
  "constructor",
  "a",
];

function value(random: Random, depth: number): string {
  const choice = depth <= 0 ? 0 : random.int(4);
  if (choice === 1) return `[${random.many(random.small(4), () => value(random, depth - 1), ",")}]`;
  if (choice === 2)
    return `{${random.many(random.small(5), () => `"${random.pick(KEYS)}":${value(random, depth - 1)}`, ",")}}`;
  return random.pick(SCALARS);
}

export function generate(random: Random): Uint8Array {
  return octets(
    `{${random.many(1 + random.small(6), () => `"${random.pick(KEYS)}":${value(random, 3)}`, ",")}}`,
  );
}

const NOTHING = grantsOf();
const EVERYTHING = grantsOf({
  read_headers: true,
  read_body: "full",
  write_tags: true,
  write_flags: true,
  move_message: true,
  write_metadata: true,
  write_headers: true,
  decide: ["reject", "tempfail", "hold"],
  append_text: true,
  add_recipients: true,
});
const ALLOWED = ["a@example.com", "c@example.com"];
/** Items that one answer can have denied: the sum of all caps, each with one for what lies past it. */
const MAX_DENIED = 200;

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  for (const point of HOOK_POINTS) {
    const none = checkAnswer(input, { callId: CALL, pluginId: "com.example.p" }, NOTHING, point);
    if (none.kind === "ok") {
      const { answer } = none;
      check(
        answer.action === "deliver" && answer.reply === undefined && answer.folder === undefined,
        "nothing granted, nothing decided",
      );
      check(
        answer.tagsAdd.length +
          answer.tagsRemove.length +
          answer.keywords.length +
          answer.systemFlags +
          answer.metadata.size +
          answer.headers.length +
          answer.addBcc.length ===
          0 && answer.appendText === undefined,
        "nothing granted, nothing written",
      );
      check(none.denied.length <= MAX_DENIED, "a bounded list of what was denied");
    }
    const call = { callId: CALL, pluginId: "com.example.p", bccAllowed: ALLOWED };
    const all = checkAnswer(input, call, EVERYTHING, point);
    if (all.kind !== "ok") continue;
    const { answer } = all;
    check(
      answer.headers.every(([field, text]) => /^[!-9;-~]+$/u.test(field) && !/[\0\r\n]/u.test(text)),
      "header fields of one line",
    );
    check(!/[\0-\x1f\x7f%*\\]/u.test(answer.folder ?? ""), "a folder name that can be shown");
    check(
      [...answer.metadata.keys()].every(key => key.startsWith("plugin:com.example.p:")),
      "metadata in its own name",
    );
    check(all.denied.length <= MAX_DENIED, "a bounded list of what was denied");
    check(
      answer.addBcc.every(address => point === "pre_send" && ALLOWED.includes(address)),
      "only addresses that the administrator named",
    );
    const { plain = "", html = "" } = answer.appendText ?? {};
    check(
      [plain, html].every(text => Buffer.byteLength(text) <= 4096 && !/[\0-\x08\x0b-\x1f\x7f]/u.test(text)),
      "text that can be appended",
    );
    check(answer.appendText === undefined || point === "pre_send", "text is appended to what is sent");
    if (answer.reply !== undefined)
      check(
        answer.reply.code >= 400 && answer.reply.code <= 599 && !/[\0-\x1f\x7f]/u.test(answer.reply.text),
        "a reply of one line",
      );
  }
}
