import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeFlags } from "../../../src/store/import-flags.ts";
import { planFolders, usableLevel } from "../../../src/transfer/folder-names.ts";

const plan = (sources: readonly string[], ...maps: readonly (readonly [from: string, to: string])[]) =>
  Object.fromEntries(
    planFolders(
      sources,
      maps.map(([from, to]) => ({ from, to })),
    ).map(({ source, target, shared }) => [source, shared ? `${target} (shared)` : target]),
  );

test("usual names, English and Japanese, become ours with all below them; others stay", () => {
  assert.deepEqual(
    plan(["INBOX", "送信済み", "下書き", "ゴミ箱", "迷惑メール", "アーカイブ", "仕事", "送信済み/2020"]),
    {
      INBOX: "INBOX",
      送信済み: "Sent",
      下書き: "Drafts",
      ゴミ箱: "Trash",
      迷惑メール: "Junk",
      アーカイブ: "Archive",
      仕事: "仕事",
      "送信済み/2020": "Sent/2020",
    },
  );
  assert.deepEqual(plan(["Sent Items", "Deleted Items", "SPAM", "Work/Sent"]), {
    "Sent Items": "Sent",
    "Deleted Items": "Trash",
    SPAM: "Junk",
    "Work/Sent": "Work/Sent",
  });
});

test("two folders that could be Sent are not put together, unless --map says so", () => {
  assert.deepEqual(plan(["Sent", "Sent Items"]), { Sent: "Sent", "Sent Items": "Sent Items" });
  assert.deepEqual(plan(["Sent Mail", "Sent Items"]), {
    "Sent Mail": "Sent Mail",
    "Sent Items": "Sent Items",
  });
  assert.deepEqual(plan(["Sent", "Sent Items"], ["Sent Items", "Sent"]), {
    Sent: "Sent (shared)",
    "Sent Items": "Sent (shared)",
  });
  assert.deepEqual(plan(["Old", "Old/a", "Older"], ["Old", "Archive/old"], ["Old/a", "A"]), {
    Old: "Archive/old",
    "Old/a": "A",
    Older: "Older",
  });
});

test("SPECIAL-USE counts before names", () => {
  const uses = new Map([["Gesendet", "Sent"]]);
  const planned = planFolders(["Gesendet", "Sent Items"], [], uses);
  assert.deepEqual(
    planned.map(one => one.target),
    ["Sent", "Sent Items"],
  );
});

test("what no mailbox name may hold becomes an underscore, and too many levels become one", () => {
  assert.deepEqual(["a/b", "", ".", "..", "x\u0007y", "e\u0301"].map(usableLevel), [
    "a_b",
    "_",
    "_",
    "_",
    "x_y",
    "é",
  ]);
  const deep = Array.from({ length: 30 }, (_, i) => `l${i}`).join("/");
  assert.equal(planFolders([deep], [])[0]?.target.split("/").length, 20);
});

test("mergeFlags() takes over what changed at the source and keeps what changed here", () => {
  const ours = { system: 1 | 4, keywords: ["mine", "old"] };
  const before = { system: 4, keywords: ["old"] };
  const now = { system: 2, keywords: ["new"] };
  assert.deepEqual(mergeFlags(ours, before, now), { system: 1 | 2, keywords: ["mine", "new"] });
});
