/**
 * One event of a timeline as one line of text, for people. Each kind has its own form; what a form does not name is shown as
 * `name=value`, so that nothing is hidden. Texts come from mail and plugins: they are shown escaped, and cut.
 */
import type { EventBody } from "../wire/api/messages.ts";
import { printable, printableJson, sizeText } from "./text.ts";

type Data = Readonly<Record<string, unknown>>;

/** Longest value on a line, in characters. */
const MAX_VALUE = 200;

/** `mailbox=INBOX uid=7`: everything that says something, for machines and for kinds that have no form of their own. */
export function detailText(data: Data): string {
  return Object.entries(data)
    .filter(([, value]) => !isEmpty(value))
    .map(([name, value]) => pair(name, value))
    .join(" ");
}

/** The event without its time and recipient, on one line. */
export function eventText({ kind, data }: EventBody): string {
  const form = Object.hasOwn(FORMS, kind) ? FORMS[kind] : undefined;
  return form?.(data) ?? detailText(data);
}

/** @returns undefined: the data is not what the form is for */
type Form = (data: Data) => string | undefined;

const FORMS: Readonly<Record<string, Form>> = {
  received: receivedText,
  authenticated: authenticatedText,
  hook_call: data => (typeof data.hook === "string" ? hookCallText(data) : undefined),
  decision: decisionText,
  stored: ({ mailbox, uid, ...rest }) =>
    typeof mailbox === "string" ? `in ${shown(mailbox)}, UID ${shown(uid)}${more(rest)}` : undefined,
  duplicate: ({ stored_as: id, ...rest }) =>
    isEmpty(id) ? undefined : `already stored as ${shown(id)}${more(rest)}`,
  refused: refusalText,
  deferred: refusalText,
  relayed: ({ server, reply, maybe_twice: twice, ...rest }) =>
    isEmpty(server)
      ? undefined
      : `to ${shown(server)}${twice === true ? ", perhaps a second time" : ""}${why(reply)}${more(rest)}`,
  held: heldText,
  released: ({ hold, by, recipients, reply, sent_copy: copy, ...rest }) =>
    `${hold === undefined ? "" : `hold ${shown(hold)} `}released${byText(by)}${countText(recipients)}${copyText(copy)}${why(reply)}${more(rest)}`,
  hold_ended: ({ hold, as, by, reason, ...rest }) =>
    `hold ${shown(hold)} ended: ${shown(as)}${byText(by)}${why(reason)}${more(rest)}`,
  queued: ({ outbox, purpose, recipients, sent_copy: copy, ...rest }) =>
    isEmpty(outbox)
      ? undefined
      : `to be sent${purpose === "send" ? "" : ` (${shown(purpose)})`}${countText(recipients)}${copyText(copy)}, as ${shown(outbox)}${more(rest)}`,
  sent: ({ outbox, reply, ...rest }) =>
    isEmpty(outbox) ? undefined : `taken by the mail server: ${shown(reply)}${more(rest)}`,
  // Who did it, and whether a try may have been taken: not that it was not sent.
  canceled: ({ outbox, reply, ...rest }) => (isEmpty(outbox) ? undefined : `${shown(reply)}${more(rest)}`),
  changed: changedText,
  job: jobText,
};

/** `by the milter, inbound, from <a@b>, 2.0 KiB, 1 recipient, client 192.0.2.7` */
function receivedText(data: Data): string {
  const {
    mail_from: from,
    size_bytes: size,
    recipients,
    client_ip: client,
    peer,
    by,
    direction,
    ...rest
  } = data;
  const parts = [
    ...(isEmpty(by) ? [] : [`by the ${shown(by)}`]),
    ...(isEmpty(direction) ? [] : [shown(direction)]),
    `from <${shown(from ?? "")}>`,
    ...(typeof size === "number" ? [sizeText(size)] : []),
    ...(isEmpty(recipients) ? [] : [recipientsText(recipients)]),
    `client ${shown(client ?? peer ?? "unknown")}`,
  ];
  return `${parts.join(", ")}${more(rest)}`;
}

/** `SPF pass (a@example.org), DKIM fail (example.org s=mail: body hash did not verify), DMARC fail (example.org p=reject)` */
function authenticatedText(data: Data): string | undefined {
  const { spf, dkim, dmarc, arc, ...rest } = data;
  const parts = Object.entries({ SPF: spf, DKIM: dkim, DMARC: dmarc, ARC: arc }).flatMap(([name, fact]) => {
    const [result, detail] = [member(fact, "result"), member(fact, "detail")];
    if (isEmpty(result) || (result === "none" && isEmpty(detail))) return [];
    return [`${name} ${shown(result)}${isEmpty(detail) ? "" : ` (${shown(detail)})`}`];
  });
  return `${parts.length === 0 ? "nothing to check" : parts.join(", ")}${more(rest)}`;
}

/** `hello (enforce): deliver in 2.8 ms, sent 1.2 KiB of headers envelope, tags invoice, folder Invoices: the subject holds "invoice"` */
function hookCallText(data: Data): string {
  const { hook, mode, verdict, code, outcome, ms, reason, explanation, problem, policy, folder, denied } =
    data;
  const { tags, fields, bytes_sent: bytes, conflict, late } = data;
  const isGood = outcome === "ok" || outcome === "late";
  const head = isGood
    ? `${shown(verdict ?? "no verdict")}${isEmpty(code) ? "" : ` ${shown(code)}`}`
    : shown(outcome);
  const added = list(member(tags, "add"));
  const removed = list(member(tags, "remove"));
  const parts = [
    `${head} in ${shown(ms)} ms`,
    ...(isGood || isEmpty(policy) ? [] : [`policy ${shown(policy)}`]),
    ...(isEmpty(bytes) ? [] : [`sent ${sentText(bytes, list(fields))}`]),
    ...(added.length > 0 ? [`tags ${added.join(" ")}`] : []),
    ...(removed.length > 0 ? [`without tags ${removed.join(" ")}`] : []),
    ...(isEmpty(folder) ? [] : [`folder ${shown(folder)}`]),
    ...(isEmpty(conflict) ? [] : [`instead of the folder of ${shown(member(conflict, "replacedHook"))}`]),
    ...(isEmpty(denied) ? [] : [`denied ${deniedText(denied)}`]),
    ...(late === undefined ? [] : [lateText(late)]),
  ];
  const demoted = data.demoted === true ? ", demoted" : "";
  const set = isEmpty(data.configured) ? "" : `, set to ${shown(data.configured)}`;
  return `${shown(hook)} (${shown(mode)}${demoted}${set}): ${parts.join(", ")}${why(reason, explanation, problem)}`;
}

function sentText(bytes: unknown, fields: readonly string[]): string {
  const size = typeof bytes === "number" ? sizeText(bytes) : shown(bytes);
  return fields.length === 0 ? size : `${size} of ${fields.join(" ")}`;
}

function deniedText(denied: unknown): string {
  if (!Array.isArray(denied)) return shown(denied);
  return denied.map(one => `${shown(member(one, "item"))} (${shown(member(one, "why"))})`).join(" ");
}

function lateText(late: unknown): string {
  if (member(late, "applied") === true) return "late: applied to the stored copy";
  return `late: not applied${isEmpty(member(late, "why")) ? "" : ` (${shown(member(late, "why"))})`}`;
}

/** `pre_receive: deliver, for LMTP to apply, headers X-Spam-Score` */
function decisionText(data: Data): string | undefined {
  const { point, action, code, text, hook, reason, carried, headers, bcc_added: bcc, ...others } = data;
  const { appended, not_done: notDone, ...rest } = others;
  if (isEmpty(action)) return undefined;
  const parts = [
    action === "by_recipient" ? "another one for each recipient" : shown(action),
    ...(isEmpty(hook) ? [] : [`by ${shown(hook)}`]),
    ...(carried === true ? ["for LMTP to apply"] : []),
    ...(isEmpty(headers) ? [] : [`headers ${list(headers).join(" ")}`]),
    ...(isEmpty(appended) ? [] : [`text appended (${list(appended).join(" and ")})`]),
    ...(isEmpty(bcc) ? [] : [`Bcc to ${shown(bcc)}`]),
    ...(isEmpty(notDone) ? [] : [`not done: ${notDoneText(notDone)}`]),
    ...(isEmpty(code) ? [] : [shown(code)]),
  ];
  const left = more(carried === false || carried === true ? rest : { ...rest, carried });
  return `${isEmpty(point) ? "" : `${shown(point)}: `}${parts.join(", ")}${why(text, reason)}${left}`;
}

/** `append_text plain (it is signed or encrypted)` */
function notDoneText(notDone: unknown): string {
  if (!Array.isArray(notDone)) return shown(notDone);
  return notDone
    .map(one => `${shown(member(one, "item"))} ${shown(member(one, "what"))} (${shown(member(one, "why"))})`)
    .join(" ");
}

/** `550 Message rejected by policy, by keywords at pre_receive` */
function refusalText(data: Data): string | undefined {
  const { point, action, code, text, hook, reason, ...rest } = data;
  const { outbox, reply, ...other } = rest;
  if (!isEmpty(outbox)) return `by the mail server: ${shown(reply)}${more(other)}`;
  if (isEmpty(code)) return undefined;
  const parts = [
    `${shown(code)} ${shown(text ?? "")}`.trimEnd(),
    ...(isEmpty(action) ? [] : [shown(action)]),
    ...(isEmpty(hook) ? [] : [`by ${shown(hook)}`]),
    ...(isEmpty(point) ? [] : [`at ${shown(point)}`]),
  ];
  return `${parts.join(", ")}${why(reason)}${more(rest)}`;
}

function heldText(data: Data): string {
  const { hold, point, hook, reason, again, expires_at: expires, ...rest } = data;
  const parts = [
    `${again === true ? "still held" : "held"}${isEmpty(hold) ? "" : ` as ${shown(hold)}`}`,
    ...(isEmpty(hook) ? [] : [`by ${shown(hook)}`]),
    ...(isEmpty(point) ? [] : [`at ${shown(point)}`]),
    ...(isEmpty(expires) ? [] : [`until ${shown(expires)}`]),
  ];
  return `${parts.join(", ")}${why(reason)}${more(rest)}`;
}

/** `by spam (post_receive): moved INBOX → Junk, UID 7 tags_added=…`; `undone what spam changed: moved Junk → INBOX, UID 8` */
function changedText(data: Data): string {
  const { job, by, moved, ...rest } = data;
  const place = isEmpty(moved)
    ? []
    : [
        `moved ${shown(member(moved, "from"))} → ${shown(member(moved, "to"))}, UID ${shown(member(moved, "uid"))}`,
      ];
  const head =
    job === "undo"
      ? `undone what ${namesText(by)} changed:`
      : `${authorsText(by)}${isEmpty(job) ? "" : ` (${shown(job)})`}:`;
  return [head, ...place, detailText(rest)].filter(part => part !== "").join(" ");
}

/** `post_receive failed after 5 tries: spam: no answer within 2000 ms` */
function jobText(data: Data): string | undefined {
  const { job, result, by, attempts, failed, problems, ...rest } = data;
  if (isEmpty(job) || isEmpty(result)) return undefined;
  const failures = Array.isArray(failed)
    ? failed.map(one => `${shown(member(one, "hook"))}: ${shown(member(one, "problem"))}`)
    : [];
  const reasons = [...failures, ...list(problems)];
  return [
    `${shown(job)} ${result === "not_applicable" ? "could not apply all" : shown(result)}`,
    ...(isEmpty(attempts) ? [] : [` after ${shown(attempts)} ${attempts === 1 ? "try" : "tries"}`]),
    ...(isEmpty(by) ? [] : [`, ${authorsText(by)}`]),
    reasons.length === 0 ? "" : `: ${reasons.join("; ")}`,
    more(rest),
  ].join("");
}

/** Who wanted a change: a name, or what hooks said. */
function authorsText(by: unknown): string {
  return `by ${namesText(by)}`;
}

function namesText(by: unknown): string {
  if (!Array.isArray(by)) return isEmpty(by) ? "somebody" : shown(by);
  return by.map(one => shown(member(one, "hook") ?? one)).join(", ");
}

const byText = (by: unknown) => (isEmpty(by) ? "" : ` by ${shown(by)}`);
const countText = (recipients: unknown) => (isEmpty(recipients) ? "" : `, ${recipientsText(recipients)}`);
const copyText = (state: unknown) => (isEmpty(state) ? "" : `, copy in Sent: ${shown(state)}`);
const recipientsText = (count: unknown) => `${shown(count)} ${count === 1 ? "recipient" : "recipients"}`;

/** The reasons behind a colon. */
function why(...reasons: readonly unknown[]): string {
  const texts = reasons.filter(text => !isEmpty(text)).map(shown);
  return texts.length === 0 ? "" : `: ${texts.join("; ")}`;
}

/** What the form does not name. */
function more(rest: Data): string {
  const text = detailText(rest);
  return text === "" ? "" : ` ${text}`;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === 0) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.values(value).every(isEmpty);
}

/** Any value as one safe piece of text, cut at {@link MAX_VALUE}. */
function shown(value: unknown): string {
  const text = typeof value === "string" ? value : printableJson(value);
  return printable(text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text);
}

function pair(name: string, value: unknown): string {
  const text = shown(value);
  return `${printable(name)}=${typeof value === "string" && /[\s="]/u.test(text) ? JSON.stringify(text) : text}`;
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(shown) : [];
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
