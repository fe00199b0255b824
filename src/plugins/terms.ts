/** Approved terms and what a version asks for, as the life of a plugin needs them. Pure. */

import { SWITCHES } from "../core/permissions-grants.ts";
import type { PluginTerms, Widening } from "../core/plugin-terms.ts";
import { widenings } from "../core/plugin-terms.ts";
import { type PermissionsInput, READ_ATTACHMENTS, READ_BODY } from "../wire/permissions.ts";

/** What was granted, as far as it is asked for: a version that asks for less gets less. */
export function withinRequest(granted: PermissionsInput, asked: PermissionsInput): PermissionsInput {
  const out: PermissionsInput = {};
  const headers = commonHeaders(granted.read_headers ?? false, asked.read_headers ?? false);
  if (headers !== false) out.read_headers = headers;
  if (granted.read_body !== undefined || asked.read_body !== undefined)
    out.read_body = lower(READ_BODY, granted.read_body ?? "none", asked.read_body ?? "none");
  if (granted.read_attachments !== undefined || asked.read_attachments !== undefined)
    out.read_attachments = lower(
      READ_ATTACHMENTS,
      granted.read_attachments ?? "none",
      asked.read_attachments ?? "none",
    );
  const decide = (granted.decide ?? []).filter(action => asked.decide?.includes(action));
  if (decide.length > 0) out.decide = decide;
  for (const name of SWITCHES) if (granted[name] === true && asked[name] === true) out[name] = true;
  return out;
}

/**
 * What somebody has to agree to before a version takes the place of another. A right that the version before asked for as well, and
 * was not granted, is no news: it stays ungranted.
 *
 * @param before  what the version that runs asks for
 */
export function newlyAsked(
  asked: PluginTerms,
  before: PluginTerms | undefined,
  approved: PluginTerms,
): readonly Widening[] {
  const known = before === undefined ? [] : widenings(before, approved);
  const names = new Set(known.filter(({ kind }) => kind === "permission").map(({ name }) => name));
  const beyondBefore = before === undefined ? [] : widenings(asked, before);
  return widenings(asked, approved).filter(
    one =>
      one.kind !== "permission" ||
      !names.has(one.name) ||
      beyondBefore.some(({ kind, name }) => kind === "permission" && name === one.name),
  );
}

/** For people: `permission read_body`. */
export function wideningName({ kind, name }: Widening): string {
  return name === "" ? kind : `${kind} ${name}`;
}

type Headers = NonNullable<PermissionsInput["read_headers"]>;

function commonHeaders(granted: Headers, asked: Headers): Headers {
  if (granted === true) return asked;
  if (asked === true || granted === false) return granted;
  if (asked === false) return false;
  const names = new Set(asked.map(name => name.toLowerCase()));
  const common = granted.filter(name => names.has(name.toLowerCase()));
  return common.length === 0 ? false : common;
}

function lower<T>(order: readonly T[], a: T, b: T): T {
  return order.indexOf(a) < order.indexOf(b) ? a : b;
}

export const namesOf = (list: readonly Widening[]): string => list.map(wideningName).join(", ");
