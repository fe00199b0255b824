/** The SDKs and the contract: types, accessors and builder say what the schemas and the golden samples say. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkAnswer } from "../../../src/core/answer.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { HookPoint } from "../../../src/core/ports/hooks.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { violations } from "../../lib/plugin-answers.ts";
import { drive, driveOne, SDKS } from "../../lib/sdk-plugins.ts";

const contract = join(packageRoot(), "plugins/contract");
const samples = readdirSync(join(contract, "samples"));
const read = (path: string) => JSON.parse(readFileSync(join(contract, path), "utf8"));
const payloadSchema: Schema = read("hook-1.schema.json");
const answerSchema: Schema = read("answer-1.schema.json");

interface Schema {
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema | readonly Schema[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
}

/** Accessor of the message or the call for each key of a payload. A new key of the contract needs one in both SDKs. */
const ACCESSORS: Readonly<Record<string, string>> = {
  ...{ api: "payload", call_id: "call.id", hook: "call.point", mode: "call.mode", attempt: "call.attempt" },
  ...{
    deadline_ms: "call.deadline",
    plugin: "payload",
    received_at: "received_at",
    size_bytes: "size_bytes",
  },
  ...{ settings: "call.settings", provenance: "provenance", headers: "headers, header, subject, from" },
  ...{ headers_truncated: "headers_truncated", envelope: "envelope", auth: "auth", context: "context, tags" },
  ...{ body_preview: "preview, text", body: "body, text", attachments: "attachments, bytes_of" },
  mime_truncated: "mime_truncated",
};

/** Method of the builder for each key of an answer. */
const METHODS: Readonly<Record<string, string>> = {
  ...{ call_id: "the SDK", action: "deliver, reject, tempfail, hold", code: "reject, tempfail" },
  ...{ permanent: "reject, tempfail", reason: "reject, tempfail, hold", tags: "tag, untag" },
  ...{ flags: "flag, unflag", folder: "folder", metadata: "metadata", headers: "header" },
  ...{
    append_text: "append_text",
    recipients: "bcc",
    usage: "usage",
    explanation: "explain",
    defer: "defer",
  },
  // Of answers that the host translates.
  unsupported: "none",
};

test("every key of the contract has its accessor and its method", () => {
  assert.deepEqual(Object.keys(ACCESSORS).sort(), Object.keys(payloadSchema.properties ?? {}).sort());
  assert.deepEqual(Object.keys(METHODS).sort(), Object.keys(answerSchema.properties ?? {}).sort());
});

test("the types of the SDK for Node are those of the schemas, and the SDK keeps to them", () => {
  const options = ["--allowJs", "--checkJs", "--noEmit", "--strict", "--skipLibCheck", "--types", "node"];
  const target = ["--target", "es2023", "--module", "nodenext", "--allowImportingTsExtensions"];
  const more = ["--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noUnusedLocals"];
  const file = join(packageRoot(), "test/contract/sdk/fixtures/types.mts");
  const tsc = join(packageRoot(), "node_modules/.bin/tsc");
  try {
    execFileSync(tsc, ["--ignoreConfig", ...options, ...target, ...more, file], { cwd: packageRoot() });
  } catch (error) {
    assert.fail(String(error instanceof Error && "stdout" in error ? error.stdout : error));
  }
});

/** A schema as Python's types can say it. */
function shape(schema: Schema): unknown {
  const { type, const: only, enum: words, anyOf, items, properties, patternProperties, required } = schema;
  if (anyOf !== undefined)
    return anyOf.map(shape).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (only !== undefined) return "string";
  if (words !== undefined) return typeof words[0] === "number" ? "integer" : "string";
  const [first] = [items ?? []].flat();
  if (first !== undefined) return { items: shape(first) };
  if (patternProperties !== undefined) return { values: shape(Object.values(patternProperties)[0] ?? {}) };
  if (properties === undefined) return type ?? "any";
  const sorted = Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    required: [...(required ?? [])].sort(),
    properties: Object.fromEntries(sorted.map(([key, one]) => [key, shape(one)])),
  };
}

test("the types of the SDK for Python are those of the schemas", async () => {
  const python = SDKS.find(({ name }) => name === "Python") ?? assert.fail();
  const found = await driveOne(python, { do: "types" });
  assert.deepEqual(found, { payload: shape(payloadSchema), answer: shape(answerSchema) });
});

/** What the accessors must say, read from the payload by hand. */
function expectedOf(payload: ReturnType<typeof read>): object {
  const headers: { name: string; value: string }[] = payload.headers ?? [];
  const all = (name: string) => headers.filter(one => one.name.toLowerCase() === name).map(one => one.value);
  const plain = (payload.body ?? []).filter((part: { type: string }) => part.type === "text/plain");
  const attachments: { content_base64?: string; preview_base64?: string }[] = payload.attachments ?? [];
  return {
    subject: all("subject")[0] ?? "",
    from: all("from")[0] ?? "",
    received: all("received"),
    headers,
    headers_truncated: payload.headers_truncated ?? false,
    envelope: payload.envelope ?? null,
    auth: payload.auth ?? null,
    context: payload.context ?? null,
    tags: payload.context?.tags ?? [],
    provenance: payload.provenance ?? [],
    preview: payload.body_preview ?? null,
    body: payload.body ?? [],
    text: plain.length > 0 ? plain[0].text : (payload.body_preview?.text ?? ""),
    attachments,
    bytes: attachments.map(one => one.content_base64 ?? one.preview_base64 ?? null),
    mime_truncated: payload.mime_truncated ?? false,
    received_at: payload.received_at,
    size_bytes: payload.size_bytes,
    granted: ["headers", "body", "attachments"].filter(key => key in payload),
    call: [payload.call_id, payload.hook, payload.mode, payload.attempt, payload.settings],
    in_time: true,
  };
}

for (const sdk of SDKS) {
  test(`${sdk.name}: every golden payload reads as it says`, async () => {
    const payloads = samples
      .filter(name => name.startsWith("payload-"))
      .map(name => read(`samples/${name}`).payload);
    assert.ok(payloads.length >= 9);
    const { outcomes } = await drive(
      sdk,
      payloads.map(payload => ({ do: "accessors", payload })),
    );
    for (const [i, payload] of payloads.entries())
      assert.deepEqual(outcomes[i], { said: expectedOf(payload) }, JSON.stringify(payload));
  });

  test(`${sdk.name}: a fixture is a file of the contract, and parts of it can be others`, async () => {
    const path = join(contract, "samples/payload-post_receive-everything.json");
    const call = { call_id: "0190a000-0000-7000-8000-000000000001" };
    const whole = await driveOne(sdk, { do: "fixture", path, more: {} });
    assert.deepEqual(whole, { ...call, tags: { add: ["of-2"] } });
    const less = await driveOne(sdk, { do: "fixture", path, more: { attachments: [] } });
    assert.deepEqual(less, { ...call, tags: { add: ["of-0"] } });
  });
}

interface Sample {
  readonly name: string;
  readonly point: HookPoint;
  readonly call_id: string;
  readonly grants: PermissionsInput;
  readonly bcc_allowed?: readonly string[];
  readonly answer: string;
}

type MethodCall = readonly [method: string, ...args: unknown[]];

/** The builder's calls that make an answer. */
function callsOf(text: string): readonly MethodCall[] {
  const answer = JSON.parse(text);
  const { action, code, permanent, reason } = answer;
  const calls: MethodCall[] = [];
  // "allow" is an older word; a reject that is not permanent is a tempfail.
  const word = action === "allow" ? "deliver" : permanent === false ? "tempfail" : action;
  if (word === "hold") calls.push(["hold", ...(reason === undefined ? [] : [reason])]);
  else if (word === "deliver") calls.push(["deliver"]);
  else if (word !== undefined)
    calls.push([word, ...[reason, code].filter(one => one !== undefined && one !== null)]);
  for (const [key, method] of [
    ["tags", "tag"],
    ["flags", "flag"],
  ] as const) {
    if (answer[key]?.add) calls.push([method, ...answer[key].add]);
    if (answer[key]?.remove) calls.push([`un${method}`, ...answer[key].remove]);
  }
  if (answer.folder !== undefined) calls.push(["folder", answer.folder]);
  for (const [key, value] of Object.entries(answer.metadata ?? {})) calls.push(["metadata", key, value]);
  for (const pair of answer.headers?.add ?? []) calls.push(["header", ...pair]);
  if (answer.append_text) calls.push(["append_text", answer.append_text]);
  if (answer.recipients) calls.push(["bcc", ...answer.recipients.add_bcc]);
  if (answer.usage) calls.push(["usage", answer.usage]);
  if (answer.explanation !== undefined) calls.push(["explain", answer.explanation]);
  if (answer.defer) calls.push(["defer"]);
  return calls;
}

/** What the host makes of it. Fields that nobody knows are not the builder's to send. */
function ruled(sample: Sample, answer: string): unknown {
  const call = { callId: callId(sample.call_id), pluginId: "com.example.sample" };
  const bcc = sample.bcc_allowed === undefined ? {} : { bccAllowed: sample.bcc_allowed };
  const result = checkAnswer(Buffer.from(answer), { ...call, ...bcc }, grantsOf(sample.grants), sample.point);
  return result.kind === "ok" ? { ...result, unknown: [] } : result;
}

for (const sdk of SDKS) {
  test(`${sdk.name}: the builder makes every golden answer, and the host takes it as the sample`, async () => {
    const answers: Sample[] = samples
      .filter(name => /^answer-(good|denied|ignored)/u.test(name))
      .map(name => ({ name, ...read(`samples/${name}`) }));
    assert.ok(answers.length >= 14);
    const { outcomes } = await drive(
      sdk,
      answers.map(({ call_id, answer }) => ({ do: "verdict", call_id, calls: callsOf(answer) })),
    );
    for (const [i, sample] of answers.entries()) {
      const built = outcomes[i]?.said;
      assert.ok(built, `${sample.name}: ${outcomes[i]?.why}`);
      assert.deepEqual(violations(built), [], sample.name);
      assert.deepEqual(ruled(sample, JSON.stringify(built)), ruled(sample, sample.answer), sample.name);
    }
  });

  const REFUSED: readonly MethodCall[] = [
    ...([
      ["reject", "x", 421],
      ["reject", "x", 450],
      ["tempfail", "x", 550],
      ["reject", 7],
    ] as const),
    ...([
      ["tag", ["spam"]],
      ["tag", 7],
      ["flag", null],
      ["folder", 7],
      ["metadata", 7, 1],
    ] as const),
    ...([
      ["header", "X-A", 1],
      ["bcc", 7],
      ["explain", 7],
      ["usage", { input_tokens: -1 }],
    ] as const),
    ...([
      ["usage", { cost_usd: "1" }],
      ["usage", { model: 7 }],
      ["append_text", { plain: 7 }],
    ] as const),
  ];
  test(`${sdk.name}: the builder refuses what would void the answer`, async () => {
    const { outcomes } = await drive(
      sdk,
      REFUSED.map(call => ({ do: "verdict", call_id: "1", calls: [call] })),
    );
    for (const [i, call] of REFUSED.entries())
      assert.equal(outcomes[i]?.threw, "error", JSON.stringify([call, outcomes[i]]));
  });

  test(`${sdk.name}: the last decision counts, with its own reason`, async () => {
    const calls = [["reject", "no", 554], ["tag", "a"], ["tag", "b"], ["hold", "ask"], ["deliver"]];
    const said = await driveOne(sdk, { do: "verdict", call_id: "1", calls });
    assert.deepEqual(said, { call_id: "1", action: "deliver", tags: { add: ["a", "b"] } });
  });
}
