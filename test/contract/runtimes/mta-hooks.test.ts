/** Transport "mta-hooks" against a service that was written for Stalwart: the conformance suite, and what its answers come to. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTransport } from "../../../src/compose/transports.ts";
import { checkAnswer } from "../../../src/core/answer.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { jsonLine } from "../../../src/core/permissions-json.ts";
import type { PluginTransport } from "../../../src/core/ports/plugin-transport.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { loadPlugins } from "../../../src/plugins/host.ts";
import { silentLog } from "../../lib/database.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";
import { rigOf, rowOf } from "../../unit/hooks/rig.ts";
import { ask, CALL, type Dialect, FIXTURE_ID, hasCode, transportConformance } from "./conformance.ts";
import { type MtaHooksService, startMtaHooksService } from "./fixtures/mta-hooks-service.ts";
import { httpSpec } from "./http-spec.ts";

let service: MtaHooksService;
let transport: PluginTransport;
before(async () => {
  service = await startMtaHooksService();
  transport = createTransport(specOf());
  await transport.start(deadlineAfter(5000));
});
after(async () => {
  await transport.stop(deadlineAfter(1000));
  await service.stop();
});

const specOf = () =>
  httpSpec({ contract: "mta-hooks", endpoint: new URL("/hook", service?.origin ?? "http://127.0.0.1") });

/** What it shall do stands in the text of the message, the only place of theirs that holds anything. */
const THEIRS: Dialect = {
  payload(behaviour, settings = {}) {
    const text = jsonLine({ do: behaviour, ...settings });
    const part = {
      type: "text/plain",
      text,
      truncated: false,
      charset_declared: null,
      charset_used: "utf-8",
    };
    // Longer than what their request has around the text.
    const padding = "x".repeat(1000);
    const said = { api: "mairust.hook/1", call_id: CALL, size_bytes: 1, settings: { padding }, body: [part] };
    return Buffer.from(jsonLine(said));
  },
  echoOf: sent => JSON.parse(Buffer.from(sent).toString()).body[0].text.length,
  said: answer => ("reason" in answer ? answer.reason : ""),
  namesCalls: false,
};

transportConformance("mta-hooks", () => createTransport(specOf()), THEIRS);

const ALL = grantsOf({
  read_headers: true,
  read_body: "full",
  decide: ["reject", "tempfail", "hold"],
  write_headers: true,
  add_recipients: true,
});

async function judged(answer: object, grants = ALL) {
  const bytes = await ask(transport, "answer", { answer }, 20_000, THEIRS);
  const call = { callId: CALL, pluginId: FIXTURE_ID, bccAllowed: ["archive@example.com"] };
  const result = checkAnswer(bytes, call, grants, "pre_send");
  assert.ok(result.kind === "ok", JSON.stringify(result));
  const { action, reply, reason, headers, addBcc } = result.answer;
  return {
    action,
    code: reply?.code,
    reason,
    headers,
    addBcc,
    denied: result.denied.map(({ item }) => item),
  };
}
const nothing = { code: undefined, reason: undefined, headers: [], addBcc: [], denied: [] };

for (const [answer, expected] of [
  [{ action: "accept" }, { action: "deliver" }],
  [{ action: "accept", response: null, modifications: null }, { action: "deliver" }],
  [{ action: "quarantine" }, { action: "hold" }],
  [{ action: "discard" }, { action: "hold" }],
  [{ action: "reject" }, { action: "reject", code: 550 }],
  [
    {
      action: "reject",
      response: { status: 554, enhancedStatus: "5.7.1", message: "Spam", disconnect: true },
    },
    { action: "reject", code: 554, reason: "Spam" },
  ],
  [
    { action: "reject", response: { status: 503 } },
    { action: "reject", code: 550 },
  ],
  [
    { action: "reject", response: { status: 452 } },
    { action: "tempfail", code: 452 },
  ],
  [
    { action: "reject", response: { status: 421 } },
    { action: "tempfail", code: 451 },
  ],
] as const)
  test(`${JSON.stringify(answer)} means ${expected.action}`, async () => {
    assert.deepEqual(await judged(answer), { ...nothing, ...expected });
  });

test("modifications are made where ours has them, by the grants, and the others are counted as denied", async () => {
  const modifications = [
    { type: "addHeader", name: "X-Spam-Score", value: " 7.5\r\n" },
    { type: "insertHeader", index: 0, name: "X-Spam", value: "yes" },
    { type: "addHeader", name: "Subject", value: "[spam]" },
    { type: "addRecipient", value: "archive@example.com", parameters: {} },
    { type: "addRecipient", value: "elsewhere@example.org" },
    { type: "changeFrom", value: "x@example.org" },
    { type: "deleteRecipient", value: "x@example.org" },
    { type: "replaceContents", value: "gone" },
    { type: "changeHeader", index: 1, name: "Subject", value: "[spam]" },
    { type: "deleteHeader", index: 1, name: "Subject" },
    { type: "deleteHeader", index: 1, name: "X-Other" },
  ];
  assert.deepEqual(await judged({ action: "accept", modifications }), {
    ...nothing,
    action: "deliver",
    headers: [
      ["X-Spam-Score", "7.5"],
      ["X-Spam", "yes"],
    ],
    addBcc: ["archive@example.com"],
    denied: [
      "headers.add",
      "recipients",
      "sender",
      "recipients.remove",
      "contents",
      "headers.change",
      "headers.remove",
    ],
  });
  const none = await judged({ action: "reject", modifications }, grantsOf({ read_headers: true }));
  assert.equal(none.action, "deliver");
  assert.deepEqual(none.headers, []);
  assert.deepEqual(none.denied.slice(0, 3), ["action", "headers", "recipients"]);
});

for (const answer of [
  {},
  { action: "deliver" },
  { action: "hold" },
  { action: "ACCEPT" },
  { action: "reject", response: { status: 250 } },
  { action: "reject", response: { status: "550" } },
  { action: "reject", response: "no" },
  { action: "accept", modifications: {} },
  { action: "accept", modifications: [{ type: "dropTables" }] },
  { action: "accept", modifications: [{ type: "addHeader", name: "X-A" }] },
  {
    action: "accept",
    modifications: Array.from({ length: 1001 }, () => ({ type: "changeFrom", value: "" })),
  },
])
  test(`${JSON.stringify(answer).slice(0, 80)} is a failure of the plugin`, async () => {
    await assert.rejects(ask(transport, "answer", { answer }, 20_000, THEIRS), hasCode("plugin_failed"));
  });

test("a payload that was not encoded before is encoded by the call", async () => {
  const sent = THEIRS.payload("count");
  const first = await ask(transport, "count", {}, 20_000, THEIRS);
  const second = await transport.call(sent, { callId: CALL, traceparent: "" }, deadlineAfter(20_000));
  const [a, b] = [first, second].map(bytes => Number(JSON.parse(Buffer.from(bytes).toString()).reason));
  assert.equal(b, (a ?? 0) + 1);
});

test("ours is never taken for theirs: fields of our answers in theirs do nothing", async () => {
  const answer = { action: "accept", tags: { add: ["x"] }, folder: "Junk", headers: { add: [["X-A", "b"]] } };
  assert.deepEqual(await judged(answer), { ...nothing, action: "deliver" });
});

test("a plugin of this protocol is called by its manifest, granted and held like every other", async t => {
  const id = "com.example.stalwart-hook";
  const folder = mkdtempSync(join(tmpdir(), "mr-mta-hooks-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"
name = "Made for Stalwart"
version = "1.0.0"
[entry]
type = "hook"
protocol = "mta-hooks"
endpoint = "${service.origin}/hook"
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = true
read_body = "full"
decide = ["hold"]
`,
  );
  const loaded = await loadPlugins({
    config: {
      plugins: pluginsSection({ folders: [folder], allow_unsigned: [id] }),
      plugin: { [id]: { grants: { read_headers: true, read_body: "full", decide: ["hold"] }, settings: {} } },
      hooks: [rowOf("theirs", { plugin: id, timeout_ms: 5000 })],
    },
    hostVersion: "0.3.0",
    createTransport,
    secrets: fixedSecrets,
    log: silentLog,
    logs: { write() {}, dropped() {} },
  });
  assert.deepEqual(loaded.refused, []);
  t.after(() => loaded.host.stop(deadlineAfter(2000)));
  await loaded.host.start(deadlineAfter(5000));
  const rig = rigOf(
    ["theirs"].flatMap(() => loaded.host.find(id) ?? []),
    loaded.hooks,
  );
  const modifications = [{ type: "changeHeader", index: 0, name: "Subject", value: "[spam]" }];
  const asked = JSON.stringify({ do: "answer", answer: { action: "discard", modifications } });
  const facts = factsOf(`Subject: CANARY-subject\n\n${asked}`);
  const decision = theOne(await rig.runner.run("pre_delivery", facts, deadlineAfter(20_000)));
  assert.equal(decision.action, "hold");
  assert.deepEqual(rig.denied, [`${id} headers.change`]);
  const { message } = JSON.parse((service.seen.at(-1) ?? assert.fail()).toString());
  assert.deepEqual(message.headers[0], ["Subject", "CANARY-subject"]);
});
