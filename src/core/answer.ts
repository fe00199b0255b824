/**
 * Step 4 of the message path: what a plugin answered, checked against the contract and the grants before any of it is used.
 *
 * Two kinds of wrong: **malformed** (bad JSON, wrong type, unknown action, wrong call id, contradictory code, too long) voids
 * the whole answer and the hook's `on_error` decides; **denied** (beyond the grant, not at this point, a value against the
 * rules) drops that one item, which is counted and listed. Unknown fields are counted and ignored.
 */
import { ANSWER_ACTIONS, MAX_ANSWER_BYTES, UNSUPPORTED_EDITS } from "../wire/answer.ts";
import type { Decision } from "../wire/permissions.ts";
import { type CheckedItems, checkItems } from "./answer-items.ts";
import {
  type DeniedItem,
  type Deny,
  isText,
  Malformed,
  ownKeys,
  readObject,
  readStrings,
} from "./answer-read.ts";
import { type Reply, replyOf } from "./answer-reply.ts";
import type { CallId } from "./ids.ts";
import type { Grants } from "./permissions-grants.ts";
import type { FinalAction, HookPoint } from "./ports/hooks.ts";

export interface CheckedAnswer extends CheckedItems {
  readonly action: FinalAction;
  /** Set for reject and tempfail. */
  readonly reply: Reply | undefined;
  /** The plugin's words: untrusted text wherever they are shown. */
  readonly reason: string | undefined;
  readonly explanation: string | undefined;
  readonly usage: Readonly<Record<string, number | string>> | undefined;
}

export type AnswerCheck =
  | {
      readonly kind: "ok";
      readonly answer: CheckedAnswer;
      readonly denied: readonly DeniedItem[];
      /** Field paths that the contract does not know. */
      readonly unknown: readonly string[];
    }
  | { readonly kind: "malformed"; readonly problem: string };

/** The call that an answer is for. */
export interface AnsweredCall {
  readonly callId: CallId;
  readonly pluginId: string;
  /** Addresses that the administrator lets the plugin add as blind recipients. Absent: none. */
  readonly bccAllowed?: readonly string[];
}

/** Longest reason and explanation that are kept, in UTF-16 units. */
const MAX_PLUGIN_TEXT = 4096;
const MAX_MODEL_NAME = 128;

const KNOWN_FIELDS: ReadonlySet<string> = new Set([
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
  "append_text",
  "recipients",
  "usage",
  "explanation",
  "defer",
  "unsupported",
]);

/**
 * Check the bytes of one answer. Pure; never throws for what a plugin sent.
 * @param bytes     exactly one JSON document
 * @param call      the call it answers
 * @param grants    of the plugin
 * @param point     where the hook stands: it limits what may be asked for
 */
export function checkAnswer(
  bytes: Uint8Array,
  call: AnsweredCall,
  grants: Grants,
  point: HookPoint,
): AnswerCheck {
  const denied: DeniedItem[] = [];
  const unknown: string[] = [];
  const deny: Deny = (item, why) => denied.push({ item, why });
  try {
    const raw = parseAnswer(bytes);
    for (const key of ownKeys(raw)) if (!KNOWN_FIELDS.has(key)) unknown.push(key);
    if (raw.call_id !== undefined && raw.call_id !== call.callId)
      throw new Malformed("call_id is of another call");
    // The verdict first: its contradictions void the answer whatever the grant.
    const verdict = checkVerdict(raw, grants, point, deny);
    const bccAllowed = new Map(call.bccAllowed?.map(address => [address.toLowerCase(), address]));
    const items = checkItems(raw, { grants, point, pluginId: call.pluginId, bccAllowed, deny });
    checkDefer(raw, point, deny);
    denyUnsupported(raw.unsupported, deny);
    const answer: CheckedAnswer = {
      ...items,
      ...verdict,
      explanation: readText(raw, "explanation")?.slice(0, MAX_PLUGIN_TEXT),
      usage: readUsage(raw.usage),
    };
    return { kind: "ok", answer, denied, unknown };
  } catch (error) {
    if (error instanceof Malformed) return { kind: "malformed", problem: error.message };
    throw error;
  }
}

/** RFC 8259 §8.1: UTF-8 and nothing else. */
function parseAnswer(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  if (bytes.byteLength > MAX_ANSWER_BYTES)
    throw new Malformed(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new Malformed("not one JSON document in UTF-8");
  }
  return readObject(parsed, "the answer");
}

function checkVerdict(
  raw: Readonly<Record<string, unknown>>,
  grants: Grants,
  point: HookPoint,
  deny: Deny,
): Pick<CheckedAnswer, "action" | "reply" | "reason"> {
  const { action = "deliver", code, permanent } = raw;
  const named = ANSWER_ACTIONS.find(known => known === action);
  if (named === undefined) throw new Malformed("action is none of deliver, reject, tempfail, hold");
  if (permanent !== undefined && typeof permanent !== "boolean")
    throw new Malformed("permanent is not a boolean");
  if (code !== undefined && typeof code !== "number") throw new Malformed("code is not a number");
  const reason = readText(raw, "reason")?.slice(0, MAX_PLUGIN_TEXT);
  if (named === "deliver" || named === "allow" || named === "hold") {
    if (code !== undefined || permanent !== undefined) throw new Malformed(`${named} with a reply code`);
    return named === "hold" && mayDecide("hold", grants, point, deny)
      ? { action: "hold", reply: undefined, reason }
      : { action: "deliver", reply: undefined, reason };
  }
  const reply = replyOf(named, code, permanent, reason, deny);
  if (!mayDecide(named, grants, point, deny)) return { action: "deliver", reply: undefined, reason };
  return { action: reply.code < 500 ? "tempfail" : "reject", reply, reason };
}

function mayDecide(decision: Decision, grants: Grants, point: HookPoint, deny: Deny): boolean {
  if (point === "post_receive") deny("action", `${decision} is not possible at post_receive`);
  else if (!grants.decide.has(decision)) deny("action", `${decision} is not granted`);
  else return true;
  return false;
}

function readText(raw: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = raw[key];
  if (value === undefined || isText(value)) return value;
  throw new Malformed(`${key} is not a text`);
}

function checkDefer(raw: Readonly<Record<string, unknown>>, point: HookPoint, deny: Deny): void {
  if (raw.defer !== undefined && typeof raw.defer !== "boolean")
    throw new Malformed("defer is not a boolean");
  if (raw.defer === true)
    deny("defer", point === "post_receive" ? "the callback API is not built" : `not at ${point}`);
}

/** Of an answer that was translated from another contract. */
function denyUnsupported(value: unknown, deny: Deny): void {
  const asked = new Set(readStrings(value, "unsupported"));
  for (const edit of UNSUPPORTED_EDITS) if (asked.has(edit)) deny(edit, "such edits are not made");
}

function readUsage(value: unknown): CheckedAnswer["usage"] {
  if (value === undefined) return undefined;
  const usage = readObject(value, "usage");
  const out: Record<string, number | string> = {};
  for (const key of ["input_tokens", "output_tokens", "cost_usd"]) {
    const amount = usage[key];
    if (amount === undefined) continue;
    if (typeof amount !== "number" || amount < 0) throw new Malformed(`usage.${key} is not a number from 0`);
    out[key] = amount;
  }
  if (usage.model !== undefined && !isText(usage.model)) throw new Malformed("usage.model is not a text");
  if (usage.model !== undefined) out.model = usage.model.slice(0, MAX_MODEL_NAME);
  return out;
}

export type { DeniedItem };
