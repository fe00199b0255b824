/** The local journal of relayed mail: what a full disk and a long outage of the database do to it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { pbkdf2 } from "node:crypto";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { blobDigest, messageId } from "../../../src/core/ids.ts";
import { NO_ACCOUNT } from "../../../src/core/ports/directory.ts";
import type { RelayResult } from "../../../src/core/ports/relay-records.ts";
import { RelayJournal } from "../../../src/store/relay-journal.ts";

const delivery = {
  messageId: messageId("01990000-0000-7000-8000-000000000001"),
  queueId: "4WsRJ55TZyz1J2k",
  digest: blobDigest("ab".repeat(32)),
};

function journalIn(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), "relay-journal-"));
  const file = join(dir, "journal");
  const journal = new RelayJournal({ file, now: Date.now, windowMs: () => 60_000 });
  t.after(() => {
    journal.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  return { file, journal };
}

test("a journal that is large because much of it still counts is not written anew for each line", t => {
  const { file, journal } = journalIn(t);
  journal.start();
  const recipients = Array.from({ length: 1_000 }, (_, i) => `someone-${i}@example.test`);
  for (let i = 0; i < 200; i++) journal.sent(delivery, recipients);
  const inodes = new Set<number>();
  for (let i = 0; i < 40; i++) {
    journal.sent(delivery, recipients);
    inodes.add(statSync(file).ino);
  }
  assert.ok(inodes.size <= 2, `${inodes.size} files for 40 lines`);
});

test("who is recorded is known here too, after a restart and when the file was written anew, for the window", t => {
  const { file } = journalIn(t);
  let clock = 1_000;
  const open = () => {
    const journal = new RelayJournal({ file, now: () => clock, windowMs: () => 60_000 });
    journal.start();
    return journal;
  };
  const first = open();
  const relay = first.sent(delivery, ["a@example.test", "b@example.test", "c@example.test"]);
  first.over(relay, ["b@example.test"], ["a@example.test"]);
  first.over(first.sent(delivery, ["c@example.test"]), [], ["c@example.test"]);
  first.over(first.sent({ ...delivery, queueId: "refused" }, ["a@example.test"]));
  first.stop();
  for (const which of ["read", "written anew"]) {
    const journal = open();
    assert.deepEqual([...journal.doneOf(delivery).keys()], ["a@example.test", "c@example.test"], which);
    assert.deepEqual([...journal.doneOf(delivery).values()], [delivery.messageId, delivery.messageId]);
    assert.deepEqual([...journal.openOf(delivery)], ["b@example.test"], which);
    assert.equal(journal.doneOf({ ...delivery, queueId: "refused" }).size, 0);
    assert.equal(journal.doneOf({ ...delivery, queueId: "" }).size, 0);
    journal.stop();
  }
  clock += 60_001;
  const late = open();
  assert.equal(late.doneOf(delivery).size, 0);
  late.stop();
  assert.equal(statSync(file).size, 0, "what does not count any more is not written again");
});

test("of recorded deliveries the last ones are kept, and the file stays bounded", t => {
  const { file, journal } = journalIn(t);
  journal.start();
  for (let i = 0; i < 6_000; i++)
    journal.over(journal.sent({ ...delivery, queueId: `Q${i}` }, ["a@example.test"]), [], ["a@example.test"]);
  assert.equal(journal.doneOf({ ...delivery, queueId: "Q0" }).size, 0);
  assert.equal(journal.doneOf({ ...delivery, queueId: "Q5999" }).size, 1);
  for (let i = 0; i < 40_000; i++)
    journal.over(journal.sent({ ...delivery, queueId: `R${i}` }, ["a@example.test"]), [], ["a@example.test"]);
  assert.ok(statSync(file).size < 8 * 1024 * 1024, `${statSync(file).size} bytes`);
});

test("of a recorded delivery to many, all recipients count", t => {
  const { journal } = journalIn(t);
  journal.start();
  const many = Array.from({ length: 20_000 }, (_, i) => `someone-${i}@example.test`);
  for (const queueId of ["Q0", "Q1", "Q2"])
    journal.over(journal.sent({ ...delivery, queueId }, many), [], many);
  const sizes = ["Q0", "Q1", "Q2"].map(queueId => journal.doneOf({ ...delivery, queueId }).size);
  assert.deepEqual(sizes, [0, 20_000, 20_000]);
});

const resultOf = (relay: string, filler = ""): RelayResult => ({
  ...{
    ...delivery,
    relay,
    taken: [{ raw: "a@example.test", account: NO_ACCOUNT }],
    unknown: [],
    keep: [],
    drop: [],
  },
  ...{ hasFollowUp: false, events: [{ at: new Date(), kind: "relayed", data: { reply: filler } }] },
});

test("a file that is written anew takes nothing from results that are on their way to the disk", async t => {
  const { journal } = journalIn(t);
  journal.start();
  // The pool of threads is busy: the syncs begin when the file is a new one.
  const busy = Array.from({ length: 8 }, () => promisify(pbkdf2)("a", "b", 100_000, 32, "sha512"));
  const filler = "x".repeat(256 * 1024);
  const taken = Array.from({ length: 20 }, (_, i) => journal.taken(resultOf(`r${i}`, filler)));
  assert.deepEqual(
    new Set((await Promise.allSettled(taken)).map(({ status }) => status)),
    new Set(["fulfilled"]),
  );
  assert.equal(journal.waiting().length, 20);
  await Promise.all(busy);
});

test("that there is no room to write the file anew fails no line of it", async t => {
  const { file, journal } = journalIn(t);
  journal.start();
  mkdirSync(join(dirname(file), "journal.new"));
  const filler = "x".repeat(1024 * 1024);
  for (let i = 0; i < 10; i++) await journal.taken(resultOf(`r${i}`, filler));
  assert.equal(journal.waiting().length, 10);
  rmdirSync(join(dirname(file), "journal.new"));
  for (let i = 0; i < 10; i++) journal.loaded(`r${i}`);
  for (let i = 0; i < 20; i++) await journal.taken(resultOf("again", filler));
  assert.ok(statSync(file).size < 20 * 1024 * 1024, "it is written anew later");
});

test("who was taken while the database was away is known when the database has it and is away again", async t => {
  const { file, journal } = journalIn(t);
  journal.start();
  const relay = journal.sent(delivery, ["a@example.test"]);
  await journal.taken(resultOf(relay));
  // Killed before it says that the relay is over.
  journal.stop();
  const next = new RelayJournal({ file, now: Date.now, windowMs: () => 60_000 });
  next.start();
  next.loaded(relay);
  assert.equal(next.takenOf(delivery).size, 0);
  assert.deepEqual([...next.doneOf(delivery).keys()], ["a@example.test"]);
  next.stop();
});

test("a result that could be written nowhere makes its mail one that may come twice", t => {
  const { journal } = journalIn(t);
  journal.start();
  const relay = journal.sent(delivery, ["a@example.test"]);
  assert.equal(journal.openOf(delivery).size, 0);
  journal.forgotten(relay);
  assert.deepEqual([...journal.openOf(delivery)], ["a@example.test"]);
});

const SOURCE = new URL(
  `../../../src/store/relay-journal${extname(fileURLToPath(import.meta.url))}`,
  import.meta.url,
);
/** Fills what the limit leaves, then writes one more line with room again. */
const FILL_AND_GO_ON = `
  import { execFileSync } from "node:child_process";
  const { RelayJournal } = await import(process.argv[1]);
  const journal = new RelayJournal({ file: process.argv[2], now: Date.now, windowMs: () => 60_000 });
  const delivery = JSON.parse(process.argv[3]);
  journal.start();
  for (let i = 0; i < 30; i++) {
    try {
      journal.sent(delivery, ["filler-" + "x".repeat(100) + "@example.test"]);
    } catch (error) {
      if (error.code !== "EFBIG") throw error;
      process.stdout.write("full");
      break;
    }
  }
  execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=unlimited:unlimited"]);
  await journal.taken({ ...delivery, relay: "r1", taken: [{ raw: "a@example.test", account: 0 }], unknown: [], keep: [],
    drop: [], hasFollowUp: false, events: [] });
`;

test("a line that a full disk cut off takes none of the next ones with it, and is a failure", async t => {
  const { file, journal } = journalIn(t);
  const args = ["--input-type=module", "-e", FILL_AND_GO_ON, SOURCE.href, file, JSON.stringify(delivery)];
  const run = promisify(execFile);
  const { stdout } = await run("sh", [
    "-c",
    'trap "" XFSZ; ulimit -S -f 1; exec "$@"',
    "sh",
    process.execPath,
    ...args,
  ]);
  assert.equal(stdout, "full");
  journal.start();
  assert.deepEqual([...journal.takenOf(delivery).keys()], ["a@example.test"]);
});
