/**
 * How log fields become text: mail must not be able to write lines of its own, and addresses may have to stay out.
 * Text form, after Postfix: `QUEUEID: id=… to=<…> hook=… delay=… status=… (event)`; without a queue id `event: key=value …`.
 */
import { createHmac } from "node:crypto";
import { MairustError, messageOf } from "../core/errors.ts";
import type { LogFields } from "../core/ports/log.ts";

/**
 * The event of every failed login; its fields are `service`, `user`, `ip`. The text `login failed: service=imap user=<…> ip=…`
 * then stands in the line in both formats (fail2ban): in JSON as `event`, in text after the severity.
 */
export const LOGIN_FAILED = "login failed";

/** Longest value of one field, in UTF-16 units. */
const MAX_VALUE = 1000;
/** Fields that hold a mail address or a login name. */
const ADDRESS_FIELDS: ReadonlySet<string> = new Set([
  "account",
  "address",
  "from",
  "mail_from",
  "recipient",
  "sender",
  "to",
  "user",
]);
/** Fields in front, in this order; the others follow as they were given. */
const FIRST_FIELDS = [
  "queue_id",
  "id",
  "service",
  "user",
  "ip",
  "from",
  "to",
  "hook",
  "plugin",
  "delay",
  "status",
];
/** C0, DEL, C1, line and paragraph separators, direction controls. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
/** What may be an address within other text. */
const ADDRESS_IN_TEXT = /[^\s<>"'=,;:()[\]]+@[^\s<>"'=,;:()[\]]+/g;

export type SafeValue = string | number | boolean | null;
export type SafeFields = ReadonlyArray<readonly [name: string, value: SafeValue]>;

/** Turns an address into what may stand in the log. */
export type AddressRule = (address: string) => string;

export const showAddress: AddressRule = address => address;

/** @returns a rule that writes 16 hex digits of HMAC-SHA256 in place of an address, the same for every spelling in case */
export function hashAddress(key: Uint8Array): AddressRule {
  return address =>
    address === "" ? "" : createHmac("sha256", key).update(address.toLowerCase()).digest("hex").slice(0, 16);
}

/** Replace what could end a line or hide text; cut what is long. Postfix does the same with `?` (printable(3)). */
export function neutralise(text: string): string {
  const short = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
  return short.replace(CONTROLS, "?");
}

/** @returns the fields in their order, safe to print; undefined ones are left out, errors become text */
export function safeFields(fields: LogFields, rule: AddressRule): SafeFields {
  const known = FIRST_FIELDS.filter(name => fields[name] !== undefined);
  const others = Object.keys(fields).filter(
    name => fields[name] !== undefined && !FIRST_FIELDS.includes(name),
  );
  return [...known, ...others].flatMap(name => safeField(name, fields[name], rule));
}

function safeField(name: string, value: LogFields[string], rule: AddressRule): SafeFields {
  if (value instanceof Error) return safeError(name, value, rule);
  if (typeof value !== "string") return [[name, value ?? null]];
  // Brackets and blanks would let an address end its field.
  if (ADDRESS_FIELDS.has(name)) return [[name, neutralise(rule(value)).replace(/[\s<>]/g, "?")]];
  return [[name, safeText(value, rule)]];
}

/** Text that is no address itself but may name one. */
export function safeText(text: string, rule: AddressRule): string {
  return neutralise(rule === showAddress ? text : text.replace(ADDRESS_IN_TEXT, rule));
}

function safeError(name: string, error: Error, rule: AddressRule): SafeFields {
  const out: Array<readonly [string, SafeValue]> = [[name, safeText(error.message, rule)]];
  if (error instanceof MairustError) out.push([`${name}_code`, error.code]);
  if (error.cause !== undefined) out.push([`${name}_cause`, safeText(messageOf(error.cause), rule)]);
  if (!(error instanceof MairustError) && error.stack !== undefined)
    out.push([`${name}_stack`, safeText(error.stack, rule)]);
  return out;
}

/** `event: key=value …`, or with a queue id `QUEUEID: key=value … (event)`. */
export function textLine(event: string, fields: SafeFields): string {
  const queueId = fields.find(([name]) => name === "queue_id")?.[1];
  const pairs = fields
    .filter(([name]) => name !== "queue_id")
    .map(([name, value]) => `${name}=${textValue(name, value)}`);
  if (typeof queueId === "string" && queueId !== "") return [`${queueId}:`, ...pairs, `(${event})`].join(" ");
  return pairs.length === 0 ? event : `${event}: ${pairs.join(" ")}`;
}

function textValue(name: string, value: SafeValue): string {
  if (typeof value !== "string") return String(value);
  if (ADDRESS_FIELDS.has(name)) return `<${value}>`;
  return /^[^\s"=()]+$/.test(value) ? value : JSON.stringify(value);
}
