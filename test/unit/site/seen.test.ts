import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { parseDoveconf } from "../../../src/site/dovecot-conf.ts";
import type { DovecotFacts } from "../../../src/site/dovecot-read.ts";
import { readThere } from "../../../src/site/read-there.ts";
import { markSeen } from "../../../src/site/seen.ts";
import { markedOf, markedText } from "../../../src/site/seen-record.ts";
import { type SeenPiece, searchSeen, seenOf, seenPieces, uidSets } from "../../../src/site/seen-search.ts";
import { type ViewMailbox, viewMailboxes } from "../../../src/site/store-view.ts";

const [A, B] = ["19ec10d6c0628fd3c7cc817888ceac37", "c92f64f79f0d1ed01e6d5b314f04886c"];

const mailbox = (guid: string, messages: number, lastUid = messages): ViewMailbox => ({
  ...{ name: guid, guid, messages, uidValidity: 7, lastUid },
});

/** What a search says of mailboxes in which everything is read. */
async function found(
  piece: SeenPiece,
  search: (query: readonly string[]) => Promise<string>,
): Promise<number[]> {
  const all: number[] = [];
  for await (const some of searchSeen(piece, search)) all.push(...some.flatMap(({ uids }) => uids));
  return all;
}

test("what doveadm says of mailboxes is read by its titles, names with tabs too", () => {
  const said = `mailbox\tmessages\tuidnext\tuidvalidity\tguid\na\u0001tb 日本\t3\t4294967295\t7\t${A}\n`;
  assert.deepEqual(viewMailboxes(said), [
    { name: "a\tb 日本", guid: A, messages: 3, uidValidity: 7, lastUid: 4_294_967_294 },
  ]);
  assert.throws(() => viewMailboxes("mailbox\tguid\nINBOX\tx\n"), { code: "invalid_state" });
});

test("what doveadm found is sorted by mailbox; other lines say nothing, nor does mail that came meanwhile", () => {
  const [a, b] = [mailbox(A, 9), mailbox(B, 7)];
  const lines = `${A} 3\n${B} 7\n${A} 1\n${A} 2\r\n${A} 9\n${A} 10\nInfo: x 1\n${A} -1\n${"0".repeat(32)} 1\n\n`;
  assert.deepEqual(seenOf(lines, [a, b]), [
    { mailbox: a, uids: [1, 2, 3, 9] },
    { mailbox: b, uids: [7] },
  ]);
});

function dovecot(conf: string): DovecotFacts {
  const texts = { version: "2.3.19.1", configFile: "/none", namedFile: "/none", ourDir: "/none", main: "" };
  const facts = { ...texts, imapPlugins: [], imapCapability: "", imapcPassword: undefined, ours: new Map() };
  return { ...facts, settings: parseDoveconf(conf) };
}

test("an account whose name Dovecot takes for many is refused: nobody else's mail is marked", async () => {
  for (const account of ["*@a.test", "tar?@a.test"])
    await assert.rejects(markSeen(dovecot(""), account), { code: "invalid_argument" });
});

test("where our lines are not in Dovecot's configuration its own mail is neither marked nor looked at", async () => {
  const text = "namespace mairust_inbox {\nlocation = maildir:~/Maildir\n}\n";
  for (const conf of ["", text]) {
    await assert.rejects(markSeen(dovecot(conf), "taro@a.test"), { code: "invalid_state" });
    await assert.rejects(readThere(dovecot(conf), "taro@a.test").next(), {
      message: /no namespace "mairust_inbox"/u,
    });
  }
});

test("where the sidecar keeps flags nothing is marked in Dovecot, and nothing is looked for there", async () => {
  const conf = dovecot("namespace mairust_inbox {\nlocation = imapc:~/mairust\n}\n");
  assert.equal(await markSeen(conf, "taro@a.test"), 0);
  assert.equal((await readThere(conf, "taro@a.test").next()).done, true);
});

test("no set is longer than a command line takes, and no message is left out", () => {
  const uids = Array.from({ length: 50_000 }, (_, n) => 4_000_000_000 + 2 * n);
  const sets = uidSets(uids);
  assert.ok(sets.every(set => set.length <= 8_000));
  assert.deepEqual(sets.join(",").split(",").map(Number), uids);
  assert.deepEqual(uidSets([1, 2, 3, 9]), ["1:3,9"]);
});

test("an account is one search, a large one is many, and each UID is asked for once", () => {
  const [a, b, empty] = [mailbox(A, 60), mailbox(B, 40, 1000), mailbox("0".repeat(32), 0)];
  assert.deepEqual(seenPieces([a, b, empty], new Map(), 100), [{ mailboxes: [a, b], range: undefined }]);
  assert.deepEqual(seenPieces([empty], new Map(), 100), []);
  const pieces = seenPieces([a, b, empty], new Map(), 25);
  assert.deepEqual(
    pieces.map(({ mailboxes: [one], range }) => `${one === a ? "a" : "b"} ${range}`),
    ["a 1,20", "a 21,40", "a 41,60", "b 1,500", "b 501,1000"],
  );
});

test("what one search cannot say is asked for in halves, and nothing is left out", async () => {
  const longest: number[] = [];
  const search = async (query: readonly string[]) => {
    const [, guid = "", , range = ""] = query;
    const [first = 0, last = 0] = query.length === 1 ? [1, 900] : range.split(":").map(Number);
    const guids = query.length === 1 ? [A, B] : [guid];
    const lines = guids.flatMap(one =>
      Array.from({ length: last - first + 1 }, (_, n) => `${one} ${first + n}`),
    );
    if (lines.length > 100) throw new MairustError("too_many", "Cannot run: it says more");
    longest.push(lines.length);
    return lines.join("\n");
  };
  const whole: SeenPiece = { mailboxes: [mailbox(A, 900), mailbox(B, 900)], range: undefined };
  const uids = Array.from({ length: 900 }, (_, n) => n + 1);
  assert.deepEqual(await found(whole, search), [...uids, ...uids]);
  assert.ok(Math.max(...longest) > 25, "no smaller than needed");
  const never = () => Promise.reject(new MairustError("too_many", "Cannot run: it says more"));
  await assert.rejects(found({ mailboxes: [mailbox(A, 4)], range: [1, 4] }, never), { code: "too_many" });
  const away = () => Promise.reject(new MairustError("invalid_state", "Cannot run: away"));
  await assert.rejects(found(whole, away), { code: "invalid_state" });
});

test("what was marked is not asked for again, but what came later, and all of a mailbox that was made anew", () => {
  const known = markedOf(`${markedText([mailbox(A, 10), mailbox(B, 5, 80)])}\n`);
  const again = { ...mailbox(B, 3), uidValidity: 8 };
  const asked = (boxes: readonly ViewMailbox[]) => seenPieces(boxes, known).map(({ range }) => range);
  assert.deepEqual(asked([mailbox(A, 10), mailbox(B, 4, 80)]), []);
  assert.deepEqual(asked([mailbox(A, 12), mailbox(B, 5, 80), again]), [
    [11, 12],
    [1, 3],
  ]);
  assert.equal(markedOf("\n").size, 0);
});

test("the record of what was marked fits a command line: the largest mailboxes are in it", () => {
  const many = Array.from({ length: 5_000 }, (_, n) => mailbox(n.toString(16).padStart(32, "0"), n));
  const text = markedText(many);
  assert.ok(text.length <= 100_000);
  const known = markedOf(text);
  assert.ok(known.size > 1_500 && known.size < many.length);
  assert.equal(known.get(`${(4_999).toString(16).padStart(32, "0")}/7`), 4_999);
});
