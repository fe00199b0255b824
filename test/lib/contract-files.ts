/**
 * The files of `plugins/contract/`, made from the source: schemas from what the service checks with, samples from what it really sends
 * and says. A unit test compares them with the folder; `npm run contract` writes them.
 */
import { type AnswerCheck, checkAnswer } from "../../src/core/answer.ts";
import { callId } from "../../src/core/ids.ts";
import { project } from "../../src/core/permissions.ts";
import { grantsOf } from "../../src/core/permissions-grants.ts";
import { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_SEEN } from "../../src/core/ports/store.ts";
import { MessageViews } from "../../src/hooks/message-views.ts";
import { answerSchema } from "../../src/wire/answer.ts";
import { hookPayloadSchema } from "../../src/wire/hook-payload.ts";
import { manifestSchema } from "../../src/wire/manifest.ts";
import { factsOf } from "../unit/hooks/message.ts";
import {
  ANSWER_SAMPLES,
  type AnswerSample,
  PAYLOAD_SAMPLES,
  type PayloadSample,
} from "./contract-samples.ts";

/** Where the files are, below the root. */
export const CONTRACT_FOLDER = "plugins/contract";

/** @returns path below {@link CONTRACT_FOLDER} → text */
export async function contractFiles(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const schema of [hookPayloadSchema, answerSchema, manifestSchema]) {
    const { $id, ...rest } = withoutOwnKeywords(schema) as { $id: string };
    // Tuples are written as draft 7 has them.
    files.set($id, pretty({ $schema: "http://json-schema.org/draft-07/schema#", $id, ...rest }));
  }
  for (const sample of PAYLOAD_SAMPLES)
    files.set(`samples/payload-${sample.name}.json`, pretty(await payloadOf(sample)));
  for (const sample of ANSWER_SAMPLES)
    files.set(`samples/answer-${sample.name}.json`, pretty(answerOf(sample)));
  return files;
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `allowed` and `allowedKeys` are texts for our own errors. */
function withoutOwnKeywords(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutOwnKeywords);
  if (typeof schema !== "object" || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => !isOwnKeyword(key, value));
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutOwnKeywords(value)]));
}

function isOwnKeyword(key: string, value: unknown): boolean {
  return (key === "allowed" || key === "allowedKeys") && typeof value === "string";
}

const CALL = callId("0190a000-0000-7000-8000-000000000001");
const PLUGIN = "com.example.sample";

async function payloadOf(sample: PayloadSample): Promise<unknown> {
  const grants = grantsOf(sample.grants);
  const { tags, provenance } = sample;
  const outbound = sample.point === "pre_send";
  const facts = factsOf(Buffer.from(sample.source.replace(/\n/g, "\r\n"), "latin1"), {
    ...(outbound ? { direction: "outbound" as const, authUser: "alice@example.com" } : {}),
    tls: true,
    threadKey: "first@example.org",
    tags,
  });
  const state = {
    recipients: sample.recipients,
    account: outbound ? undefined : sample.recipients[0],
    tags,
    provenance,
  };
  const payload = project(await new MessageViews().view(facts, grants), state, grants, {
    callId: CALL,
    point: sample.point,
    mode: "enforce",
    attempt: 1,
    deadlineMs: 2000,
    pluginId: PLUGIN,
    pluginVersion: "1.0.0",
    settings: { threshold: 0.8 },
  });
  return { point: sample.point, grants: sample.grants, payload };
}

function answerOf(sample: AnswerSample): unknown {
  const { point, grants, answer } = sample;
  const call = {
    callId: CALL,
    pluginId: PLUGIN,
    ...(sample.bccAllowed && { bccAllowed: sample.bccAllowed }),
  };
  const result = checkAnswer(Buffer.from(answer, "latin1"), call, grantsOf(grants), point);
  const named = sample.bccAllowed && { bcc_allowed: sample.bccAllowed };
  return { point, call_id: CALL, grants, ...named, answer, expected: shownResult(result) };
}

/** What is applied, in the words of the contract; what is empty is left out. */
function shownResult(result: AnswerCheck): unknown {
  if (result.kind === "malformed") return { result: "malformed", problem: result.problem };
  const { answer } = result;
  const flags = [
    ...SYSTEM_FLAGS.filter(([bit]) => (answer.systemFlags & bit) !== 0).map(([, name]) => name),
    ...answer.keywords,
  ];
  const applied = {
    action: answer.action,
    reply: answer.reply,
    tags_add: answer.tagsAdd,
    tags_remove: answer.tagsRemove,
    flags_add: flags,
    folder: answer.folder,
    metadata: Object.fromEntries(answer.metadata),
    headers_add: answer.headers,
    append_text: answer.appendText,
    add_bcc: answer.addBcc,
    usage: answer.usage,
  };
  const said = Object.entries(applied).filter(
    ([, value]) => value !== undefined && JSON.stringify(value).length > 2,
  );
  return { result: "ok", applied: Object.fromEntries(said), denied: result.denied, unknown: result.unknown };
}

const SYSTEM_FLAGS: ReadonlyArray<readonly [bit: number, name: string]> = [
  [FLAG_SEEN, "\\Seen"],
  [FLAG_ANSWERED, "\\Answered"],
  [FLAG_FLAGGED, "\\Flagged"],
];
