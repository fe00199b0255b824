/** Mail of our own: reports of success and failure, and alerts for administrators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { messageId } from "../../../src/core/ids.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import {
  MAX_OUTGOING_RECIPIENTS,
  MAX_OWN_MAIL_BYTES,
  type OutgoingAttempt,
  type OutgoingMail,
} from "../../../src/core/ports/outbox.ts";
import { ALERT_MAIL_PAUSE_MS, AlertMail, MAX_ALERTS_PER_MAIL } from "../../../src/delivery/alert-mail.ts";
import { failureNotice } from "../../../src/delivery/failure-notice.ts";
import { createSuccessNotices } from "../../../src/delivery/success-notices.ts";
import { silentLog } from "../../lib/database.ts";

const NOW = new Date("2026-01-02T03:04:05Z");
const HEADER = Buffer.from("Subject: mine\r\n\r\n");

/** The port alone: what is queued, and failures on demand. */
function outbox() {
  const queued: OutgoingMail[] = [];
  const state = { isAway: false };
  return {
    queued,
    state,
    async queue(mail: OutgoingMail) {
      if (state.isAway) throw new Error("away");
      queued.push(mail);
      return { id: String(queued.length), already: false };
    },
  };
}

const textOf = (mail: OutgoingMail | undefined): string =>
  mail?.content.kind === "bytes" ? Buffer.from(mail.content.bytes).toString() : "";

function partsOf(text: string): readonly string[] {
  const scanner = new MessageScanner();
  scanner.write(Buffer.from(text));
  return scanner.end().root.children.map(part => `${part.type}/${part.subtype}`);
}

const NOTICE = {
  messageId: messageId("m1"),
  receivedAt: NOW,
  mailFrom: "a@example.org",
  dsn: { envid: "env+1\r\nX-Injected: 1" },
  account: "taro@example.test",
  recipients: [
    {
      address: parseMailAddress("taro@example.test"),
      orcpt: "rfc822;sales@example.test",
      notify: ["SUCCESS", "DELAY"],
    },
    { address: parseMailAddress("alias@example.test"), notify: ["FAILURE"] },
    { address: parseMailAddress("other@example.test"), notify: ["NEVER"] },
  ],
  action: "delivered",
  header: HEADER,
} as const;

test("success is told to who asked for it, once for a delivery, and never to the null sender", async () => {
  const box = outbox();
  const notices = createSuccessNotices({ outbox: box, hostname: "mail.example.test", now: () => NOW });
  await notices.tell({ ...NOTICE, mailFrom: "" });
  await notices.tell({ ...NOTICE, recipients: NOTICE.recipients.slice(1) });
  assert.equal(box.queued.length, 0);
  await notices.tell(NOTICE);
  const [mail] = box.queued;
  assert.deepEqual(
    [mail?.mailFrom, mail?.recipients[0]?.address.raw, mail?.recipients[0]?.notify, mail?.key],
    ["", "a@example.org", ["NEVER"], "dsn:success:m1:taro@example.test"],
  );
  const text = textOf(mail);
  assert.deepEqual(partsOf(text), ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
  assert.match(
    text,
    /^Original-Recipient: rfc822; sales@example\.test\r\nFinal-Recipient: rfc822; taro@example\.test\r\nAction: delivered\r\nStatus: 2\.1\.5\r$/mu,
  );
  assert.doesNotMatch(text, /^X-Injected|alias@|other@/mu);
});

const attempt = (change: Partial<OutgoingAttempt> = {}): OutgoingAttempt => ({
  id: "o1",
  purpose: "send",
  messageId: messageId("m1"),
  mailFrom: "taro@example.test",
  dsn: {},
  top: "",
  content: { kind: "bytes", bytes: new Uint8Array() },
  header: HEADER,
  createdAt: NOW,
  waiting: [],
  refused: [],
  interrupted: undefined,
  ...change,
});
const refused = (reply: string, notify?: readonly string[]) => ({
  address: parseMailAddress("b@example.org"),
  reply,
  ...(notify === undefined ? {} : { notify }),
});
const PARTS = { hostname: "mail.example.test", now: NOW, header: HEADER };

test("failure is told to a user's sender, with the reply; never about a mail of our own", () => {
  const text = textOf(failureNotice(attempt(), [refused("550 5.1.1 no such user")], PARTS));
  assert.match(
    text,
    /^Action: failed\r\nStatus: 5\.1\.1\r\nDiagnostic-Code: smtp; 550 5\.1\.1 no such user\r$/mu,
  );
  for (const purpose of ["dsn", "alert", "notice"] as const)
    assert.equal(failureNotice(attempt({ purpose }), [refused("550 no")], PARTS), undefined);
  assert.equal(failureNotice(attempt({ mailFrom: "" }), [refused("550 no")], PARTS), undefined);
  assert.equal(failureNotice(attempt(), [refused("550 no", ["NEVER"])], PARTS), undefined);
});

test("the largest report is no larger than a mail of our own may be", () => {
  const long = `${"x".repeat(200)}@${"y".repeat(50)}.test`;
  const one = {
    ...refused(`550 ${"z".repeat(500)}`),
    address: parseMailAddress(long),
    orcpt: `rfc822;${long}`,
  };
  const all = Array.from({ length: MAX_OUTGOING_RECIPIENTS }, () => one);
  const header = Buffer.from("X: yyyyyyyy\r\n".repeat(100_000));
  const text = textOf(failureNotice(attempt(), all, { ...PARTS, header }));
  assert.ok(text.length > 100_000 && text.length <= MAX_OWN_MAIL_BYTES, String(text.length));
});

function alerts() {
  const box = outbox();
  const clock = { ms: 0 };
  const mail = new AlertMail({
    ...{ outbox: box, hostname: "mail.example.test", log: silentLog },
    to: () => ["ops@example.test", "boss@example.test"],
    now: () => NOW,
    steady: () => clock.ms,
  });
  return { ...box, mail, clock };
}

test("alerts of a while are one mail with the null sender; the next comes after the pause", async () => {
  const { queued, mail, clock } = alerts();
  await mail.flush();
  assert.equal(queued.length, 0);
  mail.add({ kind: "circuit", text: "opened\r\nX-Injected: 1", plugin: "com.example.p" });
  mail.add({ kind: "circuit", text: "opened\r\nX-Injected: 1", plugin: "com.example.p" });
  mail.add({ kind: "demotion", text: "hook demoted", hook: "h" });
  await mail.flush();
  const [first] = queued;
  assert.deepEqual([first?.mailFrom, first?.purpose, first?.recipients.length], ["", "alert", 2]);
  assert.deepEqual(first?.recipients[0]?.notify, ["NEVER"]);
  const text = textOf(first);
  assert.match(text, /^Auto-Submitted: auto-generated\r$/mu);
  assert.match(text, /circuit \(plugin com\.example\.p\), 2 times\r\n {4}opened {2}X-Injected: 1\r\n/u);
  assert.match(text, /^Subject: \[mairust mail\.example\.test\] circuit and 1 more\r$/mu);
  mail.add({ kind: "cap", text: "again" });
  clock.ms = ALERT_MAIL_PAUSE_MS - 1;
  await mail.flush();
  assert.equal(queued.length, 1);
  clock.ms = ALERT_MAIL_PAUSE_MS;
  await mail.flush();
  assert.equal(queued.length, 2);
});

test("alerts that could not be mailed stay, and no number of them makes a large mail", async () => {
  const { queued, state, mail } = alerts();
  state.isAway = true;
  for (let i = 0; i < MAX_ALERTS_PER_MAIL + 7; i++) mail.add({ kind: "cap", text: `cap ${i}` });
  await mail.flush();
  state.isAway = false;
  await mail.flush();
  assert.equal(queued.length, 1);
  assert.match(textOf(queued[0]), /^and 7 more: see admin_alert in the log\r$/mu);
  assert.equal(textOf(queued[0]).match(/ cap \d/gu)?.length, MAX_ALERTS_PER_MAIL);
});
