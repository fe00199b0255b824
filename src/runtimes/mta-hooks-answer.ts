/**
 * What a service of Stalwart's MTA hooks answers, in the words of ours; `core/answer.ts` then checks it against the grants as every
 * other. Pure.
 *
 * | theirs | ours |
 * |---|---|
 * | accept | deliver |
 * | `response.message` | reason |
 * | reject, `response.status` 5xx or absent | reject, with that code where ours has it, else 550 |
 * | reject, 4xx | tempfail, likewise, else 451 |
 * | quarantine | hold |
 * | discard | hold: nothing is dropped silently here |
 * | addHeader, insertHeader | headers.add, wherever it was to stand |
 * | addRecipient | recipients.add_bcc |
 * | changeFrom, deleteRecipient, replaceContents, changeHeader, deleteHeader | not done: counted as denied |
 *
 * `enhancedStatus`, `disconnect` and parameters of addresses are left out of account. What breaks their contract voids the answer.
 * Source: Stalwart, crates/smtp/src/inbound/hooks/mod.rs (Response); its documentation writes enhancedStatus, its code reads
 * enhanced_status.
 */
import { jsonLine } from "../core/permissions-json.ts";
import { PERMANENT_CODES, TEMPORARY_CODES, type UNSUPPORTED_EDITS } from "../wire/answer.ts";

type Raw = Readonly<Record<string, unknown>>;
type Unsupported = (typeof UNSUPPORTED_EDITS)[number];

/** It breaks the contract; the message completes "its answer …". */
export class NotTheirs extends Error {}

/** Modifications that one answer is read to. */
const MAX_MODIFICATIONS = 1000;
const UNSUPPORTED: ReadonlyMap<unknown, Unsupported> = new Map<unknown, Unsupported>([
  ["changeFrom", "sender"],
  ["deleteRecipient", "recipients.remove"],
  ["replaceContents", "contents"],
  ["changeHeader", "headers.change"],
  ["deleteHeader", "headers.remove"],
]);

/**
 * @returns bytes for `core/answer.ts`: what is no JSON object stays as it is, and is malformed there
 * @throws {NotTheirs} an unknown action or modification, a wrong type
 */
export function ownAnswer(bytes: Uint8Array): Uint8Array {
  const theirs = parsed(bytes);
  if (theirs === undefined) return bytes;
  const verdict = verdictOf(theirs);
  return Buffer.from(jsonLine({ ...verdict, ...editsOf(theirs.modifications ?? []) }));
}

function parsed(bytes: Uint8Array): Raw | undefined {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function verdictOf({ action, response }: Raw): Raw {
  const reply = response ?? {};
  if (!isObject(reply)) throw new NotTheirs("has a response that is no object");
  const reason = optional(reply.message, "string", "response.message");
  const status = optional(reply.status, "number", "response.status");
  const words = reason === undefined ? {} : { reason };
  switch (action) {
    case "accept":
      return words;
    case "quarantine":
    case "discard":
      return { action: "hold", ...words };
    case "reject":
      return { ...refusalOf(status ?? PERMANENT_CODES[0]), ...words };
    default:
      throw new NotTheirs("has an action that is none of accept, discard, reject, quarantine");
  }
}

function refusalOf(status: unknown): Raw {
  if (!Number.isInteger(status) || Number(status) < 400 || Number(status) > 599)
    throw new NotTheirs("rejects with a status that is no refusal");
  const isLasting = Number(status) >= 500;
  const codes: readonly number[] = isLasting ? PERMANENT_CODES : TEMPORARY_CODES;
  const code = codes.find(known => known === status) ?? (isLasting ? 550 : 451);
  return { action: isLasting ? "reject" : "tempfail", code };
}

function editsOf(modifications: unknown): Raw {
  if (!Array.isArray(modifications)) throw new NotTheirs("has modifications that are no list");
  if (modifications.length > MAX_MODIFICATIONS)
    throw new NotTheirs(`has more than ${MAX_MODIFICATIONS} modifications`);
  const headers: Array<readonly [unknown, unknown]> = [];
  const recipients: unknown[] = [];
  const unsupported: Unsupported[] = [];
  for (const one of modifications as readonly unknown[]) {
    if (!isObject(one)) throw new NotTheirs("has a modification that is no object");
    const { type, name, value } = one;
    const cannot = UNSUPPORTED.get(type);
    if (cannot !== undefined) unsupported.push(cannot);
    else if (type === "addHeader" || type === "insertHeader")
      headers.push([required(name, `${type}.name`), required(value, `${type}.value`).trim()]);
    else if (type === "addRecipient") recipients.push(required(value, "addRecipient.value"));
    else throw new NotTheirs("has a modification of an unknown type");
  }
  return {
    ...(headers.length === 0 ? {} : { headers: { add: headers } }),
    ...(recipients.length === 0 ? {} : { recipients: { add_bcc: recipients } }),
    ...(unsupported.length === 0 ? {} : { unsupported: [...new Set(unsupported)] }),
  };
}

function required(value: unknown, what: string): string {
  if (typeof value !== "string") throw new NotTheirs(`has no text as ${what}`);
  return value;
}

function optional(value: unknown, type: "string" | "number", what: string): unknown {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== type) throw new NotTheirs(`has no ${type} as ${what}`);
  return value;
}
