/** The milter's part of a message's timeline, kept under the trace id and the queue id. Pure. */
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { MilterDecision, MilterEnvelope } from "../core/ports/milter.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { Combined, Fields } from "./combine-verdicts.ts";
import type { EditReport } from "./message-edits.ts";
import { POINT_OF } from "./milter-options.ts";

export function receivedAtMilter(
  { mailFrom, recipients, direction, client, auth }: MilterEnvelope,
  { receivedAt, sizeBytes }: Pick<MessageFacts, "receivedAt" | "sizeBytes">,
): TimelineEvent {
  return {
    at: receivedAt,
    kind: "received",
    data: {
      by: "milter",
      direction,
      mail_from: mailFrom.raw,
      recipients: recipients.length,
      size_bytes: sizeBytes,
      ...(auth === undefined ? {} : { auth_user: auth.user }),
      ...(client.address === undefined ? {} : { client_ip: client.address }),
      ...(client.name === undefined ? {} : { client_name: client.name }),
      ...(client.helo === undefined ? {} : { helo: client.helo }),
    },
  };
}

export function decisionEvent(
  { direction }: Pick<MilterEnvelope, "direction">,
  combined: Combined,
  decision: MilterDecision,
  at: Date,
  edits?: EditReport & { readonly bcc: number },
): TimelineEvent {
  const point = POINT_OF[direction];
  if (decision.kind === "refuse") {
    const { code, lines } = decision;
    const hook = combined.kind === "refuse" ? combined.decision.by?.name : undefined;
    return {
      at,
      kind: code >= 500 ? "refused" : "deferred",
      data: {
        point,
        action: combined.kind === "refuse" ? combined.decision.action : combined.kind,
        code,
        text: lines.join(" "),
        hook: hook ?? null,
      },
    };
  }
  const accepted = combined.kind === "accept" ? combined : undefined;
  const actions = new Set(accepted?.carried.map(one => one.decision.action) ?? []);
  return {
    at,
    kind: "decision",
    data: {
      point,
      // What LMTP has to apply for each recipient.
      action: actions.size > 1 ? "by_recipient" : ([...actions][0] ?? "deliver"),
      carried: (accepted?.carried.length ?? 0) > 0,
      headers: addedNames(accepted?.headers ?? [], edits?.skipped ?? []),
      appended: edits?.appended ?? [],
      bcc_added: edits?.bcc ?? 0,
      // Of what hooks wanted.
      not_done: edits?.skipped ?? [],
    },
  };
}

function addedNames(headers: Fields, skipped: EditReport["skipped"]): readonly string[] {
  const dropped = new Set(skipped.filter(({ item }) => item === "headers").map(({ what }) => what));
  return headers.map(([name]) => name).filter(name => !dropped.has(name));
}
