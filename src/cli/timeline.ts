/**
 * A timeline for people: one line per event with the time since the message came, what happened and why.
 * Everything in an event may come from mail or from a plugin: it is shown escaped.
 */
import type { EventBody, TimelineBody } from "../wire/api/messages.ts";
import { bold, type Column, dim, type Format, printRows } from "./output.ts";
import type { Terminal } from "./standalone.ts";
import { pad, printable, printableJson, sizeText } from "./text.ts";

type Data = Readonly<Record<string, unknown>>;

/** Longest value on a line, in characters. */
const MAX_VALUE = 200;

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

/** `mailbox=INBOX uid=7`: everything that says something, for machines and for kinds that have no form of their own. */
export function detailText(data: Data): string {
  return Object.entries(data)
    .filter(([, value]) => !isEmpty(value))
    .map(([name, value]) => pair(name, value))
    .join(" ");
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(shown) : [];
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** `hello (enforce): deliver in 2.8 ms, tags invoice, folder Invoices: the subject holds "invoice"` */
function hookCallText(data: Data): string {
  const { hook, mode, verdict, outcome, ms, reason, explanation, problem, policy, folder, tags, denied } =
    data;
  const isGood = outcome === "ok";
  const added = list(member(tags, "add"));
  const removed = list(member(tags, "remove"));
  const parts = [
    `${isGood ? shown(verdict ?? "no verdict") : shown(outcome)} in ${shown(ms)} ms`,
    ...(isGood || isEmpty(policy) ? [] : [`policy ${shown(policy)}`]),
    ...(added.length > 0 ? [`tags ${added.join(" ")}`] : []),
    ...(removed.length > 0 ? [`without tags ${removed.join(" ")}`] : []),
    ...(isEmpty(folder) ? [] : [`folder ${shown(folder)}`]),
    ...(isEmpty(denied) ? [] : [`denied ${shown(denied)}`]),
  ];
  const why = [reason, explanation, problem].filter(text => !isEmpty(text)).map(shown);
  return `${shown(hook)} (${shown(mode)}): ${parts.join(", ")}${why.length > 0 ? `: ${why.join("; ")}` : ""}`;
}

function receivedText(data: Data): string {
  const { mail_from: from, size_bytes: size, recipients, client_ip: client, peer, ...rest } = data;
  const parts = [
    `from <${shown(from ?? "")}>`,
    ...(typeof size === "number" ? [sizeText(size)] : []),
    ...(isEmpty(recipients) ? [] : [`${shown(recipients)} ${recipients === 1 ? "recipient" : "recipients"}`]),
    `client ${shown(client ?? peer ?? "unknown")}`,
  ];
  const more = detailText(rest);
  return `${parts.join(", ")}${more === "" ? "" : ` ${more}`}`;
}

function eventText({ kind, data }: EventBody): string {
  if (kind === "hook_call" && typeof data.hook === "string") return hookCallText(data);
  if (kind === "received") return receivedText(data);
  if (kind === "stored" && typeof data.mailbox === "string")
    return `in ${shown(data.mailbox)}, UID ${shown(data.uid)}`;
  return detailText(data);
}

const COLUMNS: readonly Column<EventBody>[] = [
  { title: "AT", value: e => e.at },
  { title: "KIND", value: e => e.kind },
  { title: "RECIPIENT", value: e => e.recipient },
  { title: "DETAIL", value: e => detailText(e.data) },
  { title: "QUEUE ID", value: e => e.queue_id },
  { title: "ID", value: e => e.message_id },
];

export function printTimeline(terminal: Terminal, format: Format, timeline: TimelineBody): void {
  if (format === "json") terminal.out(`${printableJson(timeline, 2)}\n`);
  else if (format !== "table") printRows(terminal, format, timeline.events, COLUMNS);
  else for (const line of timelineLines(terminal, timeline)) terminal.out(`${line}\n`);
}

/**
 * The readable form, without line breaks: one head line per message, then its events.
 * @param maxPerKind  lines for events of one kind in a message; the others are counted
 */
export function timelineLines(
  terminal: Terminal,
  timeline: TimelineBody,
  maxPerKind = Number.POSITIVE_INFINITY,
): readonly string[] {
  const lines = [...groupBy(timeline.events, event => event.message_id)].flatMap(([id, events]) =>
    messageLines(terminal, id, events, maxPerKind),
  );
  if (lines.length === 0) lines.push("no events are kept for this message");
  if (timeline.truncated) lines.push("… there are more events than are shown");
  return lines;
}

function messageLines(
  terminal: Terminal,
  id: string,
  events: readonly EventBody[],
  maxPerKind: number,
): readonly string[] {
  const [first] = events;
  if (first === undefined) return [];
  const queueId = first.queue_id === "" ? "" : `  queue id ${printable(first.queue_id)}`;
  const lines = [`${bold(terminal, first.at)}${queueId}  id ${printable(id)}`];
  const seen = new Map<string, number>();
  const totals = groupBy(events, event => event.kind);
  for (const event of events) {
    const nth = (seen.get(event.kind) ?? 0) + 1;
    seen.set(event.kind, nth);
    const total = totals.get(event.kind)?.length ?? nth;
    if (nth <= maxPerKind) lines.push(eventLine(terminal, event, Date.parse(first.at)));
    else if (nth === total)
      lines.push(`${" ".repeat(14)}… and ${total - maxPerKind} more ${printable(event.kind)}`);
  }
  return lines;
}

function eventLine(terminal: Terminal, event: EventBody, startMs: number): string {
  const after = `+${Date.parse(event.at) - startMs} ms`;
  const to = event.recipient === null ? "" : ` ${dim(terminal, `→ ${printable(event.recipient)}`)}`;
  return `${pad(after, 12, true)}  ${pad(printable(event.kind), 10)} ${eventText(event)}${to}`.trimEnd();
}

/** In the order in which the keys come first. */
function groupBy(
  events: readonly EventBody[],
  keyOf: (event: EventBody) => string,
): ReadonlyMap<string, EventBody[]> {
  const groups = new Map<string, EventBody[]>();
  for (const event of events) {
    const group = groups.get(keyOf(event));
    if (group === undefined) groups.set(keyOf(event), [event]);
    else group.push(event);
  }
  return groups;
}
