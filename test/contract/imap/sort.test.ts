/** SORT and THREAD over the real store: the same answers whether the keys of messages are made, half made or not made at all. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MESSAGE_KEYS_VERSION } from "../../../src/core/order/message-keys.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

let service: ImapService;
let client: ImapTestClient;

interface Mail {
  readonly id: number;
  readonly subject: string;
  readonly from: string;
  readonly date?: string;
  readonly refs?: string;
  readonly body?: string;
}

const LAST_ARRIVAL = Date.parse("2026-01-05T00:00:00Z");

/** UID i + 1. */
const MAILS: readonly Mail[] = [
  { id: 1, subject: "Banana", from: "zoe@x.test", date: "Fri, 2 Jan 2026 10:00:00 +0900" },
  { id: 2, subject: "Re: apple", from: "Ann <ann@x.test>", date: "Fri, 2 Jan 2026 02:00:00 +0000" },
  {
    id: 3,
    subject: "=?utf-8?q?=C3=84pfel?=",
    from: "bob@x.test",
    refs: "<m1@x.test>",
    body: "long ".repeat(200),
  },
  { id: 4, subject: "[list] apple (fwd)", from: "BOB@y.test", date: "Thu, 1 Jan 2026 00:00:00 +0000" },
  { id: 5, subject: "", from: "", date: "never", refs: "<gone@x.test>" },
  {
    id: 6,
    subject: "cherry",
    from: "ann@z.test",
    refs: "<gone@x.test>",
    date: "Sat, 3 Jan 2026 00:00:00 GMT",
  },
];

function textOf({ id, subject, from, date, refs, body = "text" }: Mail): string {
  const fields = [
    `Message-ID: <m${id}@x.test>`,
    `Subject: ${subject}`,
    ...(from === "" ? [] : [`From: ${from}`]),
    ...(date === undefined ? [] : [`Date: ${date}`]),
    ...(refs === undefined ? [] : [`References: ${refs}`]),
  ];
  return `${fields.join("\r\n")}\r\n\r\n${body}\r\n`;
}

before(async () => {
  service = await startImapService();
  for (const mail of MAILS)
    await service.deliver(textOf(mail), 1, new Date(LAST_ARRIVAL - mail.id * 3_600_100));
  client = await service.client();
  await client.command(`LOGIN ${USER} "${PASSWORD}"`);
  await client.command("SELECT INBOX");
});
after(() => service?.stop());

const ANSWERS: ReadonlyArray<readonly [command: string, answer: string]> = [
  ["UID SORT (SUBJECT) UTF-8 ALL", "* SORT 5 2 4 3 1 6"],
  ["UID SORT (REVERSE SUBJECT) UTF-8 ALL", "* SORT 6 1 3 2 4 5"],
  ["UID SORT (SUBJECT REVERSE DATE) UTF-8 ALL", "* SORT 5 2 4 3 1 6"],
  ["UID SORT (SUBJECT DATE) US-ASCII ALL", "* SORT 5 4 2 3 1 6"],
  ["UID SORT (DATE) UTF-8 ALL", "* SORT 4 1 2 6 5 3"],
  ["UID SORT (REVERSE DATE) UTF-8 ALL", "* SORT 3 5 6 2 1 4"],
  ["UID SORT (ARRIVAL) UTF-8 ALL", "* SORT 6 5 4 3 2 1"],
  ["UID SORT (REVERSE ARRIVAL) UTF-8 ALL", "* SORT 1 2 3 4 5 6"],
  ["UID SORT (FROM) UTF-8 ALL", "* SORT 5 2 6 3 4 1"],
  ["UID SORT (REVERSE FROM REVERSE ARRIVAL) UTF-8 ALL", "* SORT 1 3 4 2 6 5"],
  ["UID SORT (CC TO) UTF-8 ALL", "* SORT 1 2 3 4 5 6"],
  ["UID SORT (REVERSE SIZE) UTF-8 LARGER 1000", "* SORT 3"],
  ["UID SORT (FROM) UTF-8 UID 2:4", "* SORT 2 3 4"],
  ["UID SORT (SUBJECT) UTF-8 SUBJECT apple", "* SORT 2 4"],
  ["UID SORT (SUBJECT) UTF-8 SUBJECT nosuch", "* SORT"],
  ["UID THREAD REFERENCES UTF-8 ALL", "* THREAD ((4)(2))(1 3)((6)(5))"],
  ["UID THREAD REFERENCES UTF-8 UID 3:6", "* THREAD (4)((6)(5))(3)"],
  ["UID THREAD REFERENCES UTF-8 UID 99", "* THREAD"],
];

async function answersAre(): Promise<void> {
  for (const [command, answer] of ANSWERS) {
    const { lines, status } = await ask(command);
    assert.deepEqual([command, status, ...lines], [command, "OK", answer]);
  }
}

async function ask(command: string): Promise<{ status: string; lines: readonly string[] }> {
  const response = await client.command(command);
  const lines = response.map(line => line.trimEnd());
  return { status: lines.at(-1)?.split(" ")[0] ?? "", lines: lines.slice(0, -1) };
}

async function keysMade(): Promise<number> {
  const [row] = await service.db.query<{ made: number }>`
    select count(*)::int as made from message_keys where version = ${MESSAGE_KEYS_VERSION}::smallint`;
  return row?.made ?? 0;
}

test("SORT and THREAD without keys make them", async () => {
  assert.equal(await keysMade(), 0);
  await answersAre();
  assert.equal(await keysMade(), MAILS.length);
});

test("SORT and THREAD with all keys there answer the same, and make none again", async () => {
  service.statements.length = 0;
  await answersAre();
  assert.equal(service.statements.filter(text => text.includes("insert into message_keys")).length, 0);
});

test("SORT and THREAD with half of the keys, or keys of an older version, answer the same", async () => {
  await service.db.run`
    delete from message_keys k using entries e where e.message_id = k.message_id and e.uid % 2 = 0`;
  await service.db.run`
    update message_keys k set version = 0, subject = 'old' from entries e where e.message_id = k.message_id and e.uid = 3`;
  await answersAre();
  assert.equal(await keysMade(), MAILS.length);
});

test("the job's keys are those that SORT makes", async () => {
  const rows = () => service.db.query<{ keys: string }>`
    select row_to_json(k)::text as keys from message_keys k order by message_id`;
  const bySort = await rows();
  await service.db.run`delete from message_keys`;
  const { missing } = await service.keys.walk("up", undefined, 100);
  assert.equal(missing.length, MAILS.length);
  await service.keys.make(missing, new AbortController().signal);
  assert.deepEqual(await rows(), bySort);
  assert.deepEqual((await service.keys.walk("down", undefined, 100)).missing, []);
});

test("SORT by sequence number, and what it refuses", async () => {
  assert.deepEqual(await ask("SORT (REVERSE DATE) UTF-8 2:*"), { status: "OK", lines: ["* SORT 3 5 6 2 4"] });
  assert.deepEqual(await ask("THREAD REFERENCES us-ascii 1,3"), { status: "OK", lines: ["* THREAD (1 3)"] });
  const [refused] = await client.command("SORT (DATE) KOI8-R ALL");
  assert.match(refused ?? "", /^NO \[BADCHARSET \(US-ASCII UTF-8/u);
  assert.match((await client.command("THREAD REFERENCES KOI8-R ALL")).at(-1) ?? "", /^NO \[BADCHARSET/u);
  for (const command of [
    "SORT",
    "SORT DATE UTF-8 ALL",
    "SORT () UTF-8 ALL",
    "SORT (NOSUCH) UTF-8 ALL",
    "SORT (REVERSE) UTF-8 ALL",
    "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
    "SORT (DATE UTF-8 ALL",
    "SORT (DATE) UTF-8",
    "SORT (DATE) UTF-8 NOSUCH",
    "UID SORT",
    "THREAD",
    "THREAD REFERENCES",
    "THREAD REFERENCES UTF-8",
    "THREAD ORDEREDSUBJECT UTF-8 ALL",
  ]) {
    assert.equal((await ask(command)).status, "BAD", command);
  }
});

test("a message whose header is too large for its row is sorted by its blob", async () => {
  await service.db
    .run`update messages m set header = null from entries e where e.message_id = m.message_id and e.uid in (1, 4)`;
  await service.db.run`delete from message_keys`;
  await answersAre();
});

test("new mail takes its place in an order that is known, and expunged mail leaves it", async () => {
  await service.deliver(textOf({ id: 7, subject: "banana", from: "x@x.test" }), 300);
  await client.command("NOOP");
  const sortedBy = async (command: string) =>
    (await ask(command)).lines[0]?.split(" ").slice(2).map(Number) ?? [];
  const many = Array.from({ length: 300 }, (_, i) => i + 7);
  const all = [5, 2, 4, 3, 1, ...many, 6];
  assert.deepEqual(await sortedBy("UID SORT (SUBJECT) UTF-8 ALL"), all);
  service.statements.length = 0;
  assert.deepEqual(await sortedBy("UID SORT (SUBJECT) UTF-8 ALL"), all);
  assert.deepEqual(await sortedBy("UID SORT (SUBJECT) UTF-8 UID 4:300"), [5, 4, ...many.slice(0, 294), 6]);
  assert.deepEqual(await sortedBy("UID SORT (SUBJECT) UTF-8 UID 1,300:306"), [1, ...many.slice(-7)]);
  assert.equal(service.statements.length, 0, service.statements.join("\n"));
  await service.deliver(textOf({ id: 8, subject: "aaa", from: "x@x.test" }));
  await client.command("NOOP");
  assert.deepEqual(await sortedBy("UID SORT (SUBJECT) UTF-8 ALL"), [5, 307, 2, 4, 3, 1, ...many, 6]);
});
