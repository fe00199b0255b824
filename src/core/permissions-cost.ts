/** How much memory a payload takes at most, told before it is built: what the room for payloads is asked for. */
import { MAX_HEADERS_BYTES, MAX_PREVIEW_BYTES } from "../wire/hook-payload.ts";
import type { Grants } from "./permissions-grants.ts";
import type { MessageFacts } from "./ports/hooks.ts";

/** The envelope of every call, and the settings of the plugin. */
const ENVELOPE_BYTES = 8192;
/** A byte of a message becomes at most one character of three bytes in UTF-8, and JSON may double some. */
const GROWTH = 4;

/** @returns octets, never less than the payload as JSON */
export function payloadCost(facts: MessageFacts, grants: Grants): number {
  let cost = ENVELOPE_BYTES;
  if (grants.read_headers !== false) {
    cost += Math.min(MAX_HEADERS_BYTES, facts.header.byteLength) * GROWTH;
    for (const recipient of facts.recipients) cost += recipient.length * GROWTH;
  }
  if (grants.read_body !== "none") cost += MAX_PREVIEW_BYTES * GROWTH;
  return cost;
}
