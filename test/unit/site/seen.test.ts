import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDoveconf } from "../../../src/site/dovecot-conf.ts";
import { markSeen, seenOf } from "../../../src/site/seen.ts";

const [A, B] = ["19ec10d6c0628fd3c7cc817888ceac37", "c92f64f79f0d1ed01e6d5b314f04886c"];

test("what doveadm found is one set for each mailbox, in ranges; other lines say nothing", () => {
  const found = seenOf(`${A} 3\n${B} 7\n${A} 1\n${A} 2\r\n${A} 9\nInfo: x 1\n${A} -1\n\n`);
  assert.deepEqual(found, [
    { mailbox: A, uidSets: ["1:3,9"], messages: 4 },
    { mailbox: B, uidSets: ["7"], messages: 1 },
  ]);
});

test("an account whose name Dovecot takes for many is refused: nobody else's mail is marked", async () => {
  const settings = parseDoveconf("");
  const texts = { version: "2.3.19.1", configFile: "/none", namedFile: "/none", ourDir: "/none", main: "" };
  const facts = { ...texts, settings, imapPlugins: [], imapCapability: "", imapcPassword: undefined };
  for (const account of ["*@a.test", "tar?@a.test"])
    await assert.rejects(markSeen({ ...facts, ours: new Map() }, account), { code: "invalid_argument" });
});

test("no set is longer than a command line takes, and no message is left out", () => {
  const uids = Array.from({ length: 50_000 }, (_, n) => 4_000_000_000 + 2 * n);
  const [found] = seenOf(uids.map(uid => `${A} ${uid}`).join("\n"));
  assert.ok(found?.uidSets.every(set => set.length <= 8_000));
  assert.deepEqual(found?.uidSets.join(",").split(",").map(Number), uids);
});
