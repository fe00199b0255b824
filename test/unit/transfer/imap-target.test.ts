import assert from "node:assert/strict";
import { test } from "node:test";
import { planTargets } from "../../../src/transfer/imap-target.ts";

const box = (name: string, use?: string) => ({ path: `p:${name}`, name, use, subscribed: true, messages: 0 });
const pathOf = (name: string) => `new:${name}`;
const paths = (plan: ReturnType<typeof planTargets>) =>
  [...plan].map(([mailbox, { path }]) => [mailbox, path]);

test("a mailbox goes to the folder with its use, then its name, then a usual name, else a new one", () => {
  const there = [box("INBOX"), box("Sent"), box("送信済み", "Sent"), box("ゴミ箱"), box("Work")];
  const plan = planTargets(["INBOX", "Sent", "Trash", "Work", "Else"], there, [], pathOf);
  assert.deepEqual(paths(plan), [
    ["INBOX", "p:INBOX"],
    ["Sent", "p:送信済み"],
    ["Trash", "p:ゴミ箱"],
    ["Work", "p:Work"],
    ["Else", "new:Else"],
  ]);
  assert.equal(plan.get("Else")?.isThere, false);
});

test("--map comes first, for what is below as well, and two mailboxes in one folder clash", () => {
  const there = [box("Old"), box("Sent", "Sent")];
  const plan = planTargets(["Sent", "Sent/2020", "Old"], there, [{ from: "Sent", to: "Old" }], pathOf);
  assert.deepEqual(paths(plan), [
    ["Sent", "p:Old"],
    ["Sent/2020", "new:Old/2020"],
    ["Old", "p:Old"],
  ]);
  assert.equal(plan.get("Old")?.clash, true);
});
