/** Edits of mail that is sent, as the milter answers them: what is done, what signatures keep from being done, what waits. */

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { MAX_EDITED_MESSAGE_BYTES } from "../../../src/core/append-text.ts";
import type { MairustError } from "../../../src/core/errors.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { MilterDecision } from "../../../src/core/ports/milter.ts";
import { MAX_MESSAGE_BCC } from "../../../src/delivery/milter-edits.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
before(async () => {
  rig = await Rig.start();
});
after(() => rig?.stop());
beforeEach(() => {
  rig.hooks.decisions = {};
  rig.hooks.wanted = { headers: true, body: false, hold: false, appendText: true, addRecipients: true };
  rig.signedMail = "refuse";
  rig.denied.length = 0;
});

const SENT = {
  to: ["taro@example.test", "x@elsewhere.test"],
  from: "jiro@example.test",
  direction: "outbound",
} as const;
const CHANGES = ["append_text", "headers", "recipients"];
const EDITED = {
  ...DELIVER,
  headers: [["X-Footer", "yes"]] as const,
  appendText: [{ plain: "bye", html: "" }],
  addBcc: ["archive@example.test"],
  provenance: [{ plugin_id: "com.example.footer", hook: "footer", changes: CHANGES }],
};
const DKIM = "DKIM-Signature: v=1; d=example.test; s=x; h=from:x-footer; bh=AA==; b=AA==\r\n";
const mail = (more = "", body = "body\r\n") => `Subject: x\r\n${more}From: jiro@example.test\r\n\r\n${body}`;

function edits(decision: MilterDecision): readonly (readonly string[])[] {
  assert.equal(decision.kind, "accept");
  if (decision.kind !== "accept") return [];
  return decision.edits.map(edit => {
    switch (edit.kind) {
      case "replace_body":
        return [edit.kind, Buffer.concat(edit.body).toString()];
      case "add_recipient":
        return [edit.kind, edit.address];
      case "add_header":
        return [edit.kind, edit.name];
      default:
        return [edit.kind];
    }
  });
}

/** What the timeline says of the message with this queue id, once it is written. */
async function decisionOf(queueId: string): Promise<Record<string, unknown>> {
  for (;;) {
    const [row] = await rig.database.db.query<{ data: Record<string, unknown> }>`
      select e -> 'data' as data from events, jsonb_array_elements(list) e
      where queue_id = ${queueId} and e ->> 'kind' = 'decision'`;
    if (row !== undefined) return row.data;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

test("text, fields and blind recipients are one answer; who is a recipient already is not added", async () => {
  rig.hooks.decisions = { pre_send: { "*": EDITED } };
  const all = [
    ["add_header", "X-Footer"],
    ["replace_body", "body\r\nbye\r\n"],
    ["add_recipient", "archive@example.test"],
  ];
  assert.deepEqual(edits(await rig.ask({ ...SENT, text: mail() })), all);
  const there = await rig.ask({ ...SENT, to: [...SENT.to, "Archive@example.test"], text: mail() });
  assert.deepEqual(edits(there), all.slice(0, 2));
  assert.deepEqual(rig.denied, []);
});

test("more blind recipients than one message takes are left out, told and counted", async () => {
  const addBcc = Array.from({ length: MAX_MESSAGE_BCC + 1 }, (_, i) => `a${i}@example.test`);
  rig.hooks.decisions = { pre_send: { "*": { ...EDITED, appendText: [], headers: [], addBcc } } };
  assert.equal(edits(await rig.ask({ ...SENT, queueId: "BCC" })).length, MAX_MESSAGE_BCC);
  assert.deepEqual(rig.denied, ["com.example.footer recipients"]);
  const { bcc_added: added, not_done: notDone } = await decisionOf("BCC");
  assert.deepEqual([added, (notDone as unknown[]).length], [MAX_MESSAGE_BCC, 1]);
});

test("an edit that would break a signature is dropped, told and counted, unless the administrator allows it", async () => {
  rig.hooks.decisions = { pre_send: { "*": EDITED } };
  const ask = (queueId: string) => rig.ask({ ...SENT, queueId, text: mail(DKIM) });
  for (const policy of ["refuse", "local_only"] as const) {
    rig.signedMail = policy;
    assert.deepEqual(edits(await ask(policy)), [["add_recipient", "archive@example.test"]]);
    const why = `it would break the DKIM-Signature of example.test (edits.signed_mail is ${policy})`;
    assert.deepEqual((await decisionOf(policy)).not_done, [
      { item: "headers", what: "X-Footer", why },
      { item: "append_text", what: "all", why },
    ]);
    assert.deepEqual((await decisionOf(policy)).headers, []);
  }
  assert.deepEqual(rig.denied.slice(0, 2), ["com.example.footer headers", "com.example.footer append_text"]);
  rig.signedMail = "allow";
  assert.equal(edits(await ask("allow")).length, 3);
  assert.equal(rig.denied.length, 4);
});

test("a header that is too long to keep is read for its signatures all the same", async () => {
  rig.hooks.decisions = { pre_send: { "*": { ...EDITED, addBcc: [] } } };
  const long = `X-Long: ${"a".repeat(900)}\r\n`.repeat(100);
  assert.deepEqual(edits(await rig.ask({ ...SENT, text: mail(long + DKIM) })), []);
  assert.equal(edits(await rig.ask({ ...SENT, text: mail(long) })).length, 2);
});

test("mail from outside: a field that its signature names is not added; our own mark is", async () => {
  const headers = [
    ["X-Footer", "yes"],
    ["X-MaiRust-Skipped", "h"],
    ["X-Other", "1"],
  ] as const;
  rig.hooks.decisions = { pre_receive: { "*": { ...DELIVER, headers } } };
  const dkim = DKIM.replace("x-footer", "x-footer:x-mairust-skipped");
  const decision = await rig.ask({ to: ["taro@example.test"], text: mail(dkim) });
  assert.deepEqual(edits(decision).slice(1), [
    ["add_header", "X-MaiRust-Skipped"],
    ["add_header", "X-Other"],
  ]);
});

test("a message over the limit keeps its body, and that is told", async () => {
  rig.hooks.decisions = { pre_send: { "*": EDITED } };
  const text = mail("", "0123456789abcde\r\n".repeat(MAX_EDITED_MESSAGE_BYTES / 16));
  const limits = () => ({ messageBytes: 2 * MAX_EDITED_MESSAGE_BYTES, mime: { depth: 300, parts: 3000 } });
  const decision = await rig.ask({ ...SENT, queueId: "LARGE", text }, rig.decider({ limits }));
  assert.equal(
    edits(decision).some(([kind]) => kind === "replace_body"),
    false,
  );
  assert.match(JSON.stringify(await decisionOf("LARGE")), /more than 16777216 octets/u);
});

test("the body is asked for when a hook may append to it; where it is not here, the message waits and nothing is changed", async () => {
  rig.hooks.decisions = { pre_send: { "*": EDITED } };
  const { body, replaceBody, recipients } = rig.decider().needs();
  assert.deepEqual([body, replaceBody, recipients], [true, true, true]);
  await assert.rejects(
    rig.ask({ ...SENT, content: "headers", text: "Subject: x\r\n\r\n" }),
    (error: MairustError) => error.retry === "later",
  );
  rig.hooks.wanted = { headers: true, body: false, hold: false };
  const none = rig.decider().needs();
  assert.deepEqual([none.body, none.replaceBody, none.recipients], [false, false, false]);
});
