/** Events in words: every kind, nothing hidden, and nothing in them that moves the cursor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventText } from "../../../src/cli/timeline-events.ts";

const textOf = (kind: string, data: Readonly<Record<string, unknown>>) =>
  eventText({ at: "2026-11-21T00:00:00.000Z", message_id: "m", queue_id: "q", recipient: null, kind, data });

const CASES: ReadonlyArray<readonly [kind: string, data: Readonly<Record<string, unknown>>, text: string]> = [
  [
    "received",
    {
      by: "milter",
      direction: "inbound",
      mail_from: "a@b.test",
      recipients: 2,
      size_bytes: 2048,
      client_ip: "192.0.2.7",
    },
    "by the milter, inbound, from <a@b.test>, 2.0 KiB, 2 recipients, client 192.0.2.7",
  ],
  [
    "hook_call",
    {
      hook: "spam",
      mode: "shadow",
      configured: "enforce",
      demoted: true,
      outcome: "ok",
      verdict: "reject",
      ms: 2,
    },
    "spam (shadow, demoted, set to enforce): reject in 2 ms",
  ],
  [
    "hook_call",
    {
      ...{ hook: "spam", mode: "enforce", outcome: "bypassed", ms: 0, policy: "allow" },
      problem: "calls are switched off until somebody ends it, by local:root",
    },
    "spam (enforce): bypassed in 0 ms, policy allow: calls are switched off until somebody ends it, by local:root",
  ],
  [
    "changed",
    {
      job: "undo",
      by: [{ plugin_id: "com.a", hook: "spam", changes: ["undone"] }],
      tags_removed: ["spam"],
      moved: { from: "Junk", to: "INBOX", uid: 8 },
    },
    'undone what spam changed: moved Junk → INBOX, UID 8 tags_removed=["spam"]',
  ],
  ["received", { mail_from: "", peer: "unix", trace_id: "t1" }, "from <>, client unix trace_id=t1"],
  [
    "hook_call",
    {
      hook: "spam",
      mode: "enforce",
      outcome: "ok",
      verdict: "reject",
      code: 550,
      ms: 12.5,
      bytes_sent: 1536,
      fields: ["headers", "envelope"],
      reason: "spam",
      explanation: "score 0.97",
      tags: { add: ["spam"], remove: [] },
      denied: [{ item: "folder", why: "not granted" }],
    },
    "spam (enforce): reject 550 in 12.5 ms, sent 1.5 KiB of headers envelope, tags spam, denied folder (not granted): spam; score 0.97",
  ],
  [
    "hook_call",
    {
      hook: "slow",
      mode: "enforce",
      outcome: "timeout",
      ms: 2000,
      policy: "tempfail",
      problem: "no answer within 2000 ms",
    },
    "slow (enforce): timeout in 2000 ms, policy tempfail: no answer within 2000 ms",
  ],
  [
    "hook_call",
    {
      hook: "slow",
      mode: "enforce",
      outcome: "late",
      verdict: "deliver",
      ms: 8000,
      late: { applied: true, why: null },
    },
    "slow (enforce): deliver in 8000 ms, late: applied to the stored copy",
  ],
  [
    "hook_call",
    { hook: "slow", mode: "enforce", outcome: "late", ms: 9, late: { applied: false, why: "rejected" } },
    "slow (enforce): no verdict in 9 ms, late: not applied (rejected)",
  ],
  [
    "decision",
    { point: "pre_receive", action: "deliver", carried: true, headers: ["X-Spam"], bcc_added: 1 },
    "pre_receive: deliver, for LMTP to apply, headers X-Spam, Bcc to 1",
  ],
  [
    "decision",
    {
      point: "pre_send",
      action: "deliver",
      carried: false,
      appended: ["plain"],
      not_done: [{ item: "headers", what: "X-A", why: "it would break the DKIM-Signature of a.test" }],
    },
    "pre_send: deliver, text appended (plain), not done: headers X-A (it would break the DKIM-Signature of a.test)",
  ],
  [
    "decision",
    { point: "pre_receive", action: "by_recipient", carried: true },
    "pre_receive: another one for each recipient, for LMTP to apply",
  ],
  ["stored", { mailbox: "INBOX", uid: 7 }, "in INBOX, UID 7"],
  ["duplicate", { stored_as: "m1" }, "already stored as m1"],
  [
    "refused",
    { point: "pre_receive", action: "reject", code: 550, text: "no spam here", hook: "spam" },
    "550 no spam here, reject, by spam, at pre_receive",
  ],
  ["refused", { reason: "mail_loop" }, "reason=mail_loop"],
  ["deferred", { action: "tempfail", code: 451, text: "later" }, "451 later, tempfail"],
  [
    "held",
    { hold: "h1", point: "pre_delivery", hook: "dlp", reason: "a number" },
    "held as h1, by dlp, at pre_delivery: a number",
  ],
  ["held", { hold: "h1", again: true, reason: "451 later" }, "still held as h1: 451 later"],
  [
    "released",
    { hold: "h1", by: "admin", recipients: 2, reply: "250 ok" },
    "hold h1 released by admin, 2 recipients: 250 ok",
  ],
  [
    "released",
    { hold: "h1", by: "admin", recipients: 1, reply: "250 ok", sent_copy: "over_quota" },
    "hold h1 released by admin, 1 recipient, copy in Sent: over_quota: 250 ok",
  ],
  ["hold_ended", { hold: "h1", as: "expired", by: "expiry" }, "hold h1 ended: expired by expiry"],
  [
    "changed",
    {
      job: "post_receive",
      by: [{ plugin_id: "p", hook: "sort", call_id: "c" }],
      tags: { add: ["x"] },
      moved: { from: "INBOX", to: "Junk", uid: 9 },
    },
    'by sort (post_receive): moved INBOX → Junk, UID 9 tags={"add":["x"]}',
  ],
  [
    "job",
    { job: "post_receive", result: "failed", attempts: 5, failed: [{ hook: "sort", problem: "gone" }] },
    "post_receive failed after 5 tries: sort: gone",
  ],
  [
    "job",
    { job: "late_answer", by: [{ hook: "slow" }], result: "not_applicable", problems: ["the copy is gone"] },
    "late_answer could not apply all, by slow: the copy is gone",
  ],
  [
    "canceled",
    { outbox: "o1", reply: "canceled by local; the last try may have been taken" },
    "canceled by local; the last try may have been taken",
  ],
  ["something_new", { a: 1, b: "two words" }, 'a=1 b="two words"'],
];

test("every kind of event has words of its own, and what they do not name is shown as it is", () => {
  for (const [kind, data, text] of CASES) assert.equal(textOf(kind, data), text);
});

test("whatever stands where, in any event, nothing moves the cursor", () => {
  const bad = "\u001b[2J\r\n\u202e\u009b";
  for (const [kind, data] of CASES) {
    const poisoned = JSON.parse(JSON.stringify(data), (_key, value: unknown) =>
      typeof value === "string" ? `${value}${bad}` : value,
    );
    for (const broken of [
      poisoned,
      { ...poisoned, [bad]: bad },
      Object.fromEntries(Object.keys(data).map(key => [key, bad])),
    ])
      assert.doesNotMatch(textOf(kind, broken), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/u, kind);
  }
});
