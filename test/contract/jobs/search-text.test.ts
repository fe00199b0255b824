/** The job that makes search texts: the whole way from a stored message to a hit, old mail, hostile mail, and crashes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import { SEARCH_TEXT_VERSION } from "../../../src/core/search-text/limits.ts";
import { SEARCH_TEXT_JOB } from "../../../src/jobs/handlers/search-text.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { type Mailroom, makeTexts, ODD_PROCESS, openMailroom, startTexts } from "./support.ts";

const UNTIL_MS = 60_000;
/** A process that does what a message asks for. */
const odd = (deadlineMs: number) => ({
  extractorEntry: ODD_PROCESS,
  limits: { deadlineMs, heapMb: 64, lingerMs: 1 },
});

let room: Mailroom;
before(async () => {
  room = await openMailroom();
});
after(() => room.close());

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < end, "did not come true in time");
    await sleep(10);
  }
}

const mail = (subject: string, body: string) =>
  Buffer.from(
    `From: a@sender.test\r\nSubject: ${subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${body}\r\n`,
  );

/** "会議は三時から" in ISO-2022-JP. */
const JAPANESE = Buffer.from(
  "From: a@sender.test\r\nSubject: plain\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n\x1b$B2q5D$O;0;~$+$i\x1b(B\r\n",
  "latin1",
);

test("messages stored before are found by their text after one run, Japanese ones by two characters", async () => {
  const japanese = await room.add(JAPANESE);
  const english = await room.add(mail("minutes", "The quarterly figures are attached."));
  assert.deepEqual(await room.search("会議"), []);
  assert.deepEqual(
    await room.search("minutes"),
    [english],
    "by what delivery decoded, until there is a text",
  );
  await makeTexts(room);
  for (const query of [
    "会議",
    "三時",
    "ＱＵＡＲＴＥＲＬＹ",
    "quart",
    '"quarterly figures"',
    "figures minutes sender.test",
  ])
    assert.deepEqual(await room.search(query), [/[a-zＱ]/u.test(query) ? english : japanese], query);
  assert.deepEqual(await room.search("会議 -三時"), []);
  assert.deepEqual(await room.search("-figures sender"), [japanese]);
  assert.deepEqual(await room.search("figures subject:nothing"), []);
  assert.equal((await room.textOf(english))?.outcome, "complete");
});

test("new mail is seen while the job waits for it", async () => {
  const { handler, stop } = startTexts(room, { limits: { lingerMs: UNTIL_MS } });
  await until(async () => handler.nudge());
  const id = await room.add(mail("later", "platypus"));
  assert.equal(handler.nudge(), true);
  await until(async () => (await room.search("platypus")).includes(id));
  await stop();
});

test("texts of an older version are made again, and a text goes with its message", async () => {
  const id = await room.add(mail("version", "wombat"));
  await makeTexts(room);
  await room.db
    .run`update search_texts set version = ${SEARCH_TEXT_VERSION - 1}::smallint, folded = 'old' where message_id = ${id}::uuid`;
  await makeTexts(room);
  assert.deepEqual(await room.search("wombat"), [id]);
  await room.db.run`delete from entries where message_id = ${id}::uuid`;
  await room.db.run`delete from messages where message_id = ${id}::uuid`;
  assert.equal(await room.textOf(id), undefined);
});

test("a message that takes longer than the deadline is marked and keeps what delivery decoded; others go on", async () => {
  const hanging = await room.add(mail("odd hang", "please hang"));
  const next = await room.add(mail("next", "potoroo"));
  await makeTexts(room, odd(5_000));
  const row = await room.textOf(hanging);
  assert.deepEqual([row?.outcome, row?.reason], ["failed", "deadline"]);
  assert.deepEqual(await room.search('"odd hang"'), [hanging]);
  assert.deepEqual(await room.search("potoroo"), [next]);
});

test("a message that fills the memory of the process or ends it is marked with the reason and not tried again; others go on", async () => {
  const words = ["memory", "recursion", "exit"];
  const good = [await room.add(mail("before", "echidna"))];
  const bad = [];
  for (const word of words) {
    bad.push(await room.add(mail(`odd ${word}`, `please ${word}`)));
    good.push(await room.add(mail(`after ${word}`, "echidna")));
  }
  await makeTexts(room, odd(UNTIL_MS));
  assert.deepEqual([...(await room.search("echidna"))].sort(), [...good].sort());
  const rows = await Promise.all(bad.map(id => room.textOf(id)));
  assert.deepEqual(
    rows.map(row => [row?.outcome, row?.reason?.replace(/:.*/u, ""), row?.folded.startsWith("odd")]),
    ["memory", "crashed", "crashed"].map(reason => ["failed", reason, true]),
  );
  // With the real process they could be read: whether they are tried again shows in their text.
  await makeTexts(room);
  for (const id of bad) assert.equal((await room.textOf(id))?.outcome, "failed");
});

test("a message at work whenever the service dies is marked in the end; the others of its batch get their text", async () => {
  const [victim, culprit] = [
    await room.add(mail("victim", "numbat")),
    await room.add(mail("culprit", "quokka")),
  ];
  const checkpoint = { batch: [culprit, victim], alone: { id: culprit, crashes: 2 } };
  await room.db.run`update jobs set checkpoint = ${checkpoint} where kind = ${SEARCH_TEXT_JOB}`;
  await makeTexts(room);
  assert.deepEqual(await room.search("numbat"), [victim]);
  assert.deepEqual(await room.search("quokka"), []);
  assert.deepEqual(await room.search("culprit"), [culprit]);
  assert.match((await room.textOf(culprit))?.reason ?? "", /service ended/u);
  const [job] = await room.db.query<{
    checkpoint: object;
  }>`select checkpoint from jobs where kind = ${SEARCH_TEXT_JOB}`;
  assert.deepEqual(job?.checkpoint, {});
});

test("one crash is no proof: the messages of that batch are tried alone and get their text", async () => {
  const id = await room.add(mail("suspect", "bandicoot"));
  const checkpoint = { batch: [id], alone: { id, crashes: 1 } };
  await room.db.run`update jobs set checkpoint = ${checkpoint} where kind = ${SEARCH_TEXT_JOB}`;
  await makeTexts(room);
  assert.deepEqual(await room.search("bandicoot"), [id]);
});

test("a node that died at work is replaced: its job is taken over when its lease ends", async () => {
  const id = await room.add(mail("takeover", "kookaburra"));
  await room.queue.makeDue(SEARCH_TEXT_JOB);
  const [job] = await room.queue.claim([SEARCH_TEXT_JOB], "dead node", 200, 1);
  await room.queue.saveCheckpoint("dead node", job?.id ?? 0, { batch: [id] });
  await makeTexts(room);
  assert.deepEqual(await room.search("kookaburra"), [id]);
});

test("a message whose blob is not there is tried again once it is", async () => {
  const bytes = mail("unreadable", "thylacine");
  const id = await room.add(bytes);
  const [row] = await room.db.query<{ digest: string }>`
    select encode(blob_digest, 'hex') as digest from messages where message_id = ${id}::uuid`;
  await room.blobs.delete(blobDigest(row?.digest ?? ""));
  await makeTexts(room);
  assert.deepEqual([(await room.textOf(id))?.outcome, await room.search("thylacine")], ["failed", []]);
  assert.deepEqual(await room.search("unreadable"), [id]);
  const stage = room.blobs.stage();
  await stage.write(bytes);
  await (await stage.finish()).persist();
  await makeTexts(room);
  assert.deepEqual(await room.search("thylacine"), [id]);
});

test("a message whose stored structure cannot be read is found by its subject, and others go on", async () => {
  const id = await room.add(mail("structureless", "dingo"));
  await room.db.run`update messages set structure = '\\x01' where message_id = ${id}::uuid`;
  const other = await room.add(mail("other", "dingo"));
  await makeTexts(room);
  assert.deepEqual(await room.search("structureless"), [id]);
  assert.deepEqual(await room.search("dingo"), [other]);
  assert.match((await room.textOf(id))?.reason ?? "", /data_invalid/u);
});

test("hostile mail gets a text by the deadline, in a bounded heap", async () => {
  const octets = (text: string) => Buffer.from(text, "latin1");
  const html = (body: string) => octets(`Subject: hostile\r\nContent-Type: text/html\r\n\r\n${body}`);
  const multipart = (parts: string) =>
    octets(`Content-Type: multipart/mixed; boundary=b\r\n\r\n${parts}--b--\r\n`);
  const levels = Array.from(
    { length: 300 },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}x\r\n\r\n--b${i}x\r\n`,
  );
  const hostile: Readonly<Record<string, Buffer>> = {
    "nested div": html("<div>".repeat(100_000)),
    "nested div, cut off tags": html(`${"<div ".repeat(100_000)}x`),
    "open comments": html("<!--".repeat(200_000)),
    "open scripts": html("<script><style>".repeat(60_000)),
    entities: html("&#x1F4A9;&amp;&lt".repeat(100_000)),
    "table bomb": html(`${"<table><tr><td>".repeat(60_000)}x`),
    "encoded words": octets(`Subject: ${"=?utf-8?B?44GC?= ".repeat(50_000)}\r\n\r\nx\r\n`),
    "broken encoded words": octets(`Subject: ${"=?utf-8?B?".repeat(100_000)}\r\n\r\nx\r\n`),
    parts: multipart("--b\r\n\r\nword\r\n".repeat(3000)),
    "parts with names": multipart(
      "--b\r\nContent-Type: a/b; name*0*=utf-8''%E3; name*1*=%81%82\r\n\r\n\r\n".repeat(3000),
    ),
    levels: octets(`${levels.join("")}\r\nleaf\r\n`),
    "50 MB base64": octets(
      `Subject: hostile\r\nContent-Transfer-Encoding: base64\r\n\r\n${`${"QUJD".repeat(19)}\r\n`.repeat(640_000)}`,
    ),
    "combining marks": Buffer.from(
      `Content-Type: text/plain; charset=utf-8\r\n\r\na${"\u0301\u0316".repeat(500_000)}`,
    ),
    "white space": octets(`Subject: hostile\r\n\r\n${" \t".repeat(1_000_000)}x`),
    "one line of 5 MB": octets(`Subject: hostile\r\n\r\n${"abcdefghij".repeat(500_000)}`),
    addresses: octets(`To: ${'"a" <a@b>, '.repeat(20_000)}\r\n\r\nx\r\n`),
    zeros: Buffer.concat([octets("Subject: hostile\r\n\r\n"), Buffer.alloc(3_000_000)]),
  };
  const ids = new Map<string, string>();
  for (const [name, bytes] of Object.entries(hostile)) ids.set(name, await room.add(bytes));
  const last = await room.add(mail("last", "wallaby"));
  // Generous for a busy machine: what is quadratic takes minutes.
  await makeTexts(room, { limits: { deadlineMs: 20_000, heapMb: 128, lingerMs: 1 } });
  for (const [name, id] of ids) {
    const row = await room.textOf(id);
    assert.notEqual(row?.outcome, "failed", `${name}: ${row?.reason}`);
  }
  assert.deepEqual(await room.search("wallaby"), [last]);
});

test("every message of the corpus gets a text", {
  skip: corpusThere() ? false : "no mail corpus",
}, async () => {
  const ids: string[] = [];
  for (const { bytes } of readCorpus()) ids.push(await room.add(bytes));
  await makeTexts(room);
  const rows = await room.db.query<{ outcome: string; count: number }>`
    select outcome, count(*) as count from search_texts where message_id = any(${ids}::uuid[]) group by outcome`;
  assert.equal(
    rows.find(row => row.outcome === "failed"),
    undefined,
  );
  assert.equal(
    rows.reduce((sum, row) => sum + row.count, 0),
    ids.length,
  );
  assert.ok((await room.search("lindsaar.net まみむめも")).length > 0);
});

test("nothing is left to do after a run, and every message below the mark has its text", async () => {
  await makeTexts(room);
  const [row] = await room.db.query<{ missing: number; below: string | null }>`
    select (select complete_below from search_progress) as below, count(*) as missing from messages m
    where not exists (select 1 from search_texts t where t.message_id = m.message_id)`;
  assert.equal(row?.missing, 0);
  assert.notEqual(row?.below, null);
});
