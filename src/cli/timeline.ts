/**
 * A timeline for people: one line per event with the time since the message came, what happened and why.
 * Everything in an event may come from mail or from a plugin: it is shown escaped.
 */
import type { EventBody, TimelineBody } from "../wire/api/messages.ts";
import { bold, type Column, dim, type Format, printRows } from "./output.ts";
import type { Terminal } from "./standalone.ts";
import { pad, printable, printableJson } from "./text.ts";
import { detailText, eventText } from "./timeline-events.ts";

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
