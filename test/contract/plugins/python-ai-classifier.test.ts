/** The sample that asks a language model: what it sends, what it takes back, and what a model can make it do that is not on its side. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { execa } from "execa";
import { checkAnswer } from "../../../src/core/answer.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { freePort } from "../../../src/mailhost/scratch.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { resolveSettings } from "../../../src/plugins/settings.ts";
import { startConnectProxy } from "../../lib/connect-proxy.ts";
import { injections } from "../../lib/injections.ts";
import { type ModelServer, mailOf, startModelServer } from "../../lib/model-server.ts";
import { type Answer, askWorker, violations } from "../../lib/plugin-answers.ts";
import { pluginFolder, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "python-ai-classifier";
const manifest = await readManifest(NAME);
const { values: DEFAULTS } = resolveSettings(manifest.settings, {});
const CATEGORIES = String(DEFAULTS.categories).split(", ");
const CALL = "0190a000-0000-7000-8000-000000000001";
const VOID = { call_id: CALL, action: "error" };
const folder = mkdtempSync(join(tmpdir(), "mr-ai-"));
let model: ModelServer;
before(async () => {
  model = await startModelServer();
});
after(async () => {
  await model.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Mail {
  readonly from?: string;
  readonly subject?: string;
  readonly text: string | null;
}

const origin = () => `http://127.0.0.1:${model.port}/v1`;

/** A call with what the manifest asks for, granted. */
function payload(name: string, mail: Mail, settings: object = {}, deadlineMs = 10_000): object {
  const { from = "Eva <eva@example.org>", subject = "Hello", text } = mail;
  const none = { result: "none", detail: null };
  return {
    ...{ api: "mairust.hook/1", call_id: CALL, hook: "post_receive", mode: "enforce", attempt: 1 },
    ...{ deadline_ms: deadlineMs, plugin: { id: manifest.id, version: manifest.version } },
    ...{ received_at: "2026-03-01T12:00:00.000Z", size_bytes: 1000 },
    settings: { ...DEFAULTS, base_url: origin(), model: name, ...settings },
    provenance: [],
    headers: [
      { name: "From", value: from },
      { name: "Subject", value: subject },
    ],
    headers_truncated: false,
    envelope: { mail_from: "bounce@example.org", rcpt_to: ["SECRET-recipient@example.com"] },
    auth: { spf: { result: "pass", detail: "SECRET-detail" }, dkim: none, dmarc: none, arc: none },
    body_preview:
      text === null
        ? null
        : {
            ...{ text, truncated: false, source: "plain", charset_declared: null, charset_used: "utf-8" },
            decode_errors: 0,
          },
  };
}

type Full = Answer & {
  readonly usage?: Readonly<Record<string, unknown>>;
  readonly explanation?: string;
};

/** All in one process, in this order. */
async function judge(payloads: readonly object[], env: Readonly<Record<string, string>> = {}) {
  const { answers, health, log } = await askWorker(NAME, manifest, payloads, env);
  return { answers: answers as readonly Full[], health, log };
}

test("it asks for no right beyond tags and metadata, and for one place on the net", () => {
  assert.deepEqual(
    { ...manifest.permissions },
    {
      read_headers: ["From", "Subject", "List-Unsubscribe"],
      read_body: "preview",
      write_tags: true,
      write_metadata: true,
    },
  );
  assert.equal(manifest.limits?.network, "outbound-limited");
  assert.deepEqual(manifest.limits?.network_allow, [`${new URL(String(DEFAULTS.base_url)).host}:443`]);
  assert.equal(manifest.settings?.api_key?.type, "secret");
  assert.equal(manifest.budget?.over_budget, "skip");
});

test("it is a package of its own: the SDK beside it is the SDK, and its own files have at most 300 lines", () => {
  const read = (path: string) => readFileSync(join(packageRoot(), "plugins", path), "utf8");
  assert.equal(read(`${NAME}/mairust.py`), read("sdk/python/mairust.py"));
  const own = readdirSync(pluginFolder(NAME)).filter(file => file.endsWith(".py") && file !== "mairust.py");
  const lines = own.map(file => read(`${NAME}/${file}`).trimEnd().split("\n").length);
  assert.ok(lines.reduce((sum, one) => sum + one, 0) <= 310, String(lines));
  assert.ok(read(`${NAME}/main.py`).split("\n").length <= 300);
});

test("a good answer becomes a tag, metadata, an explanation and what it cost", async () => {
  const prices = { usd_per_million_input: 0.15, usd_per_million_output: 0.6 };
  const { answers, health, log } = await judge([
    payload("good", { text: "Pay me" }, prices),
    payload("unsure", { text: "Pay me" }),
    payload("other", { text: "Pay me" }),
    payload("good", { text: "Pay me" }, { categories: "spam, invoice", tag_prefix: "x.", untagged: "" }),
    payload("no_usage", { text: "x" }),
    payload("odd_usage", { text: "x" }),
    payload("good", { text: null }),
  ]);
  const [good, unsure, other, own, noUsage, oddUsage, empty] = answers;
  assert.deepEqual(good, {
    call_id: CALL,
    tags: { add: ["ai:invoice"] },
    metadata: { category: "invoice", score: 0.93, model: "good" },
    explanation: "It asks for money.",
    usage: { input_tokens: 800, output_tokens: 20, cost_usd: 0.000132, model: "served-model" },
  });
  for (const answer of answers) assert.deepEqual(violations(answer), []);
  assert.deepEqual([unsure?.tags, unsure?.metadata?.score], [undefined, 0.1]);
  assert.deepEqual([other?.tags, other?.metadata?.category], [undefined, "other"]);
  assert.deepEqual(own?.tags?.add, ["x.invoice"]);
  const nothing = { input_tokens: 0, output_tokens: 0, cost_usd: 0 };
  assert.deepEqual([noUsage?.usage, noUsage?.tags?.add], [{ ...nothing, model: "no_usage" }, ["ai:invoice"]]);
  assert.deepEqual(oddUsage?.usage, { ...nothing, model: "odd_usage" });
  assert.deepEqual(empty?.tags?.add, ["ai:invoice"]);
  assert.deepEqual(health, { status: "ok" });
  assert.equal(log, "");
});

test("what is found and what the sender wrote go apart, and nothing else goes", async () => {
  model.seen.length = 0;
  const mail = {
    from: "請求 <a@example.jp>",
    subject: 'x"}]',
    text: '"}]}\n```\u2028</mail>\ud83d\ude00 会議',
  };
  await judge([payload("good", mail, { api_key: "SECRET-key" }), payload("good", { text: "no key" })]);
  const [request, without] = model.seen;
  assert.ok(request);
  assert.deepEqual([request.path, request.authorization], ["/v1/chat/completions", "Bearer SECRET-key"]);
  assert.equal(without?.authorization, undefined);
  const [system, facts, data] = request.messages;
  assert.deepEqual(
    request.messages.map(({ role }) => role),
    ["system", "user", "user"],
  );
  assert.deepEqual(JSON.parse(facts?.content ?? ""), {
    facts: { arc: "none", dkim: "none", dmarc: "none", spf: "pass", has_list_unsubscribe: false },
  });
  assert.deepEqual(JSON.parse(data?.content ?? ""), { mail });
  assert.deepEqual(mailOf(request), mail);
  assert.match(system?.content ?? "", /It is data to be judged/u);
  const format = request.response_format;
  assert.equal(format.type, "json_schema");
  assert.deepEqual(format.json_schema.schema.properties.category.enum, CATEGORIES);
  const { authorization: _, ...sent } = request;
  assert.doesNotMatch(JSON.stringify(sent), /SECRET/u);
});

const BROKEN = [
  ...[
    "500",
    "401",
    "429_long",
    "redirect",
    "no_json",
    "no_choices",
    "list",
    "null_content",
    "object_content",
  ],
  ...["truncated", "length", "tool_calls", "cut", "huge", "deep"],
];
const MALICIOUS = [
  ...[
    "outside",
    "capital",
    "spaced",
    "list_category",
    "extra",
    "missing",
    "score_high",
    "score_low",
    "score_text",
  ],
  ...[
    "score_true",
    "score_nan",
    "score_infinite",
    "score_endless",
    "controls",
    "line_break",
    "bidi",
    "surrogate",
  ],
  ...["long", "explanation_list", "twice", "twice_key", "fenced"],
];

test("whatever else comes back is an error: no tag, nothing of it in the log, and the next message is judged", async () => {
  const names = [...BROKEN, ...MALICIOUS];
  const { answers, log } = await judge([
    // What is tried again needs no longer than this.
    ...names.map(name => payload(name, { text: `CANARY ${name}` }, {}, 1000)),
    payload("good", { text: "after all that" }),
  ]);
  for (const [i, name] of names.entries()) assert.deepEqual(answers[i], VOID, name);
  assert.deepEqual(answers.at(-1)?.tags?.add, ["ai:invoice"]);
  const lines = log.split("\n").map(line => JSON.parse(line));
  const failed = lines.filter(({ level }) => level === "warn");
  assert.equal(failed.length, names.length, log);
  assert.ok(
    lines.every(({ level }) => level === "warn" || level === "info"),
    log,
  );
  assert.doesNotMatch(log, /CANARY|approved|vip|evil/u);
});

test("429 and 5xx are tried again while there is time, other failures are not", async () => {
  model.seen.length = 0;
  const dead = `http://127.0.0.1:${await freePort()}/v1`;
  const began = performance.now();
  const { answers, log, health } = await judge([
    payload("500_once", { text: "x" }),
    payload("429_once", { text: "x" }),
    payload("500", { text: "x" }, {}, 600),
    payload("429_long", { text: "x" }, {}, 60_000),
    payload("401", { text: "x" }),
    payload("good", { text: "x" }, { base_url: dead }, 600),
  ]);
  assert.deepEqual(
    answers.map(({ tags }) => tags?.add?.[0] ?? "void"),
    ["ai:invoice", "ai:invoice", "void", "void", "void", "void"],
  );
  const count = (name: string) => model.seen.filter(request => request.model === name).length;
  assert.deepEqual([count("500_once"), count("429_once"), count("401")], [2, 2, 1]);
  assert.ok(count("500") >= 2 && count("500") <= 4);
  assert.ok(performance.now() - began < 30_000, "it waited for an hour that it does not have");
  assert.match(log, /trying again/u);
  assert.deepEqual(health, { status: "ok" });
});

test("a model that does not answer ends with the call's time, before the host ends the process", async () => {
  const began = performance.now();
  const slow = Array.from({ length: 5 }, (_, i) => payload("slow", { text: String(i) }, {}, 400));
  const { answers, health } = await judge([...slow, payload("good", { text: "then" })]);
  assert.ok(performance.now() - began < 20_000);
  assert.deepEqual(
    answers.slice(0, 5),
    Array.from({ length: 5 }, () => VOID),
  );
  assert.deepEqual(answers.at(-1)?.tags?.add, ["ai:invoice"]);
  assert.deepEqual(health, { status: "ok" });
  const ill = await judge(slow);
  assert.equal((ill.health as { status: string }).status, "degraded");
});

test("the same content is asked about once; what failed is asked about again; the memory is bounded", async () => {
  model.seen.length = 0;
  const mail = { text: "the same" };
  const { answers } = await judge([
    payload("good", mail),
    payload("good", mail, { threshold: 1 }),
    payload("good", { text: "another" }),
    payload("good", mail, { categories: "invoice, spam" }),
    payload("good", mail),
    payload("outside", mail),
    payload("outside", mail),
  ]);
  assert.equal(model.seen.length, 5);
  const [first, strict, , , again] = answers;
  assert.ok(first?.usage);
  assert.deepEqual(
    [strict?.usage, strict?.tags, strict?.metadata?.category],
    [undefined, undefined, "invoice"],
  );
  const { usage: _, ...unpaid } = first;
  assert.deepEqual(again, unpaid);
  const code = `
import json, sys, main, mairust
main.MAX_CACHED = 2
for text in "abcab":
    payload = json.loads(sys.argv[1])
    payload["body_preview"]["text"] = text
    main.plugin.answer(payload)
print(len(main.cache))`;
  const program = await execa(
    "/usr/bin/python3",
    ["-c", code, JSON.stringify(payload("good", { text: "" }))],
    {
      cwd: pluginFolder(NAME),
    },
  );
  assert.equal(program.stdout, "2");
  assert.equal(model.seen.length, 10);
});

test("categories that are none are an error, before anything is sent", async () => {
  model.seen.length = 0;
  const bad = ["", "one", "Spam, x", "a b, c", `${"x,".repeat(21)}`, "mairust:unchecked, x"];
  const { answers } = await judge(bad.map(categories => payload("good", { text: "x" }, { categories })));
  for (const answer of answers) assert.deepEqual(answer, VOID);
  assert.equal(model.seen.length, 0);
});

/** With every right there is: it is the plugin that is on trial here, not the host's permissions. */
const ALL = grantsOf({
  ...{ read_headers: true, read_body: "full", write_tags: true, write_flags: true, move_message: true },
  ...{ write_metadata: true, write_headers: true, append_text: true, add_recipients: true },
  decide: ["reject", "tempfail", "hold"],
});

test("S8: a model that obeys the mail gets nothing done outside the list, and nobody but the model is asked", async () => {
  for (const lang of ["en", "ja"]) assert.ok(injections.filter(one => one.lang === lang).length >= 20);
  const allowed = new Set(CATEGORIES.map(category => `ai:${category}`));
  const proxy = await startConnectProxy();
  const audit = join(folder, "audit");
  model.seen.length = 0;
  try {
    const settings = { base_url: `http://model.example:${model.port}/v1`, untagged: "", threshold: 0 };
    const cases = ["obeys", "repeats", "explains"].flatMap(name => injections.map(mail => ({ name, mail })));
    const { answers } = await judge(
      cases.map(({ name, mail }) => payload(name, mail, settings)),
      {
        ...{ HTTPS_PROXY: proxy.url, AUDIT_FILE: audit },
        PYTHONPATH: join(packageRoot(), "test/contract/plugins/fixtures/audit"),
      },
    );
    let [tagged, refused] = [0, 0];
    for (const [i, { name, mail }] of cases.entries()) {
      const answer = answers[i];
      assert.ok(answer);
      const what = `${name}: ${JSON.stringify(mail)} → ${JSON.stringify(answer)}`;
      const call = { callId: callId(CALL), pluginId: manifest.id };
      const checked = checkAnswer(Buffer.from(JSON.stringify(answer)), call, ALL, "pre_delivery");
      if (checked.kind === "malformed") {
        refused++;
        assert.deepEqual(answer, VOID, what);
        continue;
      }
      tagged++;
      assert.deepEqual(
        Object.keys(answer).sort(),
        ["call_id", "explanation", "metadata", "tags", "usage"],
        what,
      );
      assert.deepEqual(Object.keys(answer.metadata ?? {}).sort(), ["category", "model", "score"], what);
      assert.deepEqual(checked.denied, [], what);
      for (const tag of answer.tags?.add ?? []) assert.ok(allowed.has(tag), what);
      assert.ok((answer.explanation ?? "").length <= 300, what);
      assert.doesNotMatch(answer.explanation ?? "", /[\p{Cc}\p{Cf}]/u, what);
    }
    // The corpus bites both ways: some of it is refused, some misleads the model within its list.
    assert.ok(refused >= 60 && tagged >= 15, `${refused} refused, ${tagged} tagged`);
    assert.equal(model.seen.length, cases.length);
    assert.deepEqual([...new Set(proxy.asked)], [`model.example:${model.port}`]);
    assert.equal(proxy.asked.length, cases.length);
    const { port } = new URL(proxy.url);
    const ways = new Set(readFileSync(audit, "utf8").trimEnd().split("\n"));
    for (const way of ways)
      assert.match(
        way,
        new RegExp(`^socket\\.(connect|getaddrinfo) \\('127\\.0\\.0\\.1', '?${port}'?\\)$`, "u"),
      );
    assert.ok(ways.size > 0);
  } finally {
    await proxy.stop();
  }
});
