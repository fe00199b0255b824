/** Searching many messages: the index finds what lies deep, and each request has a bounded cost and a cursor to go on from. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseSearch } from "../../../src/core/search-grammar.ts";
import { foldSearchText } from "../../../src/core/search-text/fold.ts";
import { gramsOf } from "../../../src/core/search-text/grams.ts";
import { searchMessages } from "../../../src/store/admin-search.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";

/** More than one request looks at one by one. */
const MESSAGES = 22_500;

let database: TestDatabase;
before(async () => {
  database = await startTestDatabase();
  const { db } = database;
  await db.run`insert into blobs (digest, size_bytes, stored_bytes, codec) values (decode(repeat('00', 32), 'hex'), 1, 1, 'none')`;
  // Number n has an id that rises with n.
  await db.run`
    insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, subject, received_at)
    select ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, decode(repeat('00', 32), 'hex'), n, 0, '', 'number ' || n, now()
    from generate_series(1, ${MESSAGES}::int) n`;
});
after(() => database.stop());

const idOf = (n: number) => `01900000-0000-7000-8000-${String(n).padStart(12, "0")}`;

async function giveText(from: number, to: number, text: string): Promise<void> {
  const folded = foldSearchText(text);
  const grams = [...gramsOf(folded).grams];
  await database.db.run`
    insert into search_texts (message_id, version, outcome, folded, grams)
    select message_id, 1, 'complete', ${folded}, ${grams}::int[] from messages
    where message_id between ${idOf(from)}::uuid and ${idOf(to)}::uuid
    on conflict (message_id) do update set folded = excluded.folded, grams = excluded.grams`;
}

/** All pages of a search, and how many requests they took. */
async function searchAll(text: string, limit = 50) {
  const numbers: number[] = [];
  let after: string | undefined;
  let requests = 0;
  do {
    const page = await searchMessages(database.db, parseSearch(text), {
      limit,
      ...(after === undefined ? {} : { after }),
    });
    numbers.push(...page.items.map(item => Number(item.id.slice(-12))));
    after = page.next;
    requests++;
  } while (after !== undefined);
  return { numbers, requests };
}

test("the index finds old messages in one request: English, parts of words, two Japanese characters; every hit is checked", async () => {
  await giveText(1, MESSAGES, "nothing of interest 天気");
  await giveText(3, 3, "an invoice for the 会議 room");
  await giveText(5, 5, "nvoice inv oice 会 議");
  await database.db.run`update search_progress set complete_below = ${idOf(MESSAGES + 1)}::uuid`;
  for (const query of ["invoice", "INVO", "会議", '"the 会議"', "会議 invoice", "会議 larger:1"])
    assert.deepEqual(await searchAll(query), { numbers: [3], requests: 1 }, query);
  assert.deepEqual((await searchAll("会議 larger:100")).numbers, []);
  assert.deepEqual((await searchAll("会議 -room")).numbers, []);
  const plan = await database.db.query<Record<"QUERY PLAN", string>>`
    explain select message_id from search_texts where grams @> ${[...gramsOf("会議").grams]}::integer[]`;
  assert.match(plan.map(row => row["QUERY PLAN"]).join("\n"), /search_texts_grams/u);
});

test("common words come newest first, page by page, each once", async () => {
  await giveText(1, 100, "seldom uncommon");
  const { numbers } = await searchAll("uncommon", 30);
  assert.deepEqual(
    numbers,
    Array.from({ length: 100 }, (_, i) => 100 - i),
  );
  const [newest] = (await searchMessages(database.db, parseSearch("interest"), { limit: 5 })).items;
  assert.equal(newest?.id, idOf(MESSAGES));
});

test("what the index cannot help with is looked for in bounded steps, with a cursor to go on from", async () => {
  await giveText(2, 2, "x会x 議q");
  assert.deepEqual(await searchAll("x会x"), { numbers: [2], requests: 2 });
  const found = await searchAll("-nothing", 200);
  assert.ok(found.requests > 1 && found.numbers.includes(2));
});

test("messages without a text are found by their subject, also those that the index does not know of", async () => {
  await database.db
    .run`delete from search_texts where message_id = any(${[idOf(7), idOf(MESSAGES)]}::uuid[])`;
  assert.deepEqual((await searchAll(`"number ${MESSAGES}"`)).numbers, [MESSAGES]);
  await database.db.run`update search_progress set complete_below = ${idOf(1)}::uuid`;
  assert.deepEqual((await searchAll('"number 7" -"number 7x"')).numbers, [7]);
});

test("signs of LIKE, quotes and backslashes in a search mean themselves", async () => {
  await giveText(9, 9, String.raw`100%_sure c:\temp\new it's`);
  for (const query of ["100%_s", String.raw`"c:\\temp\\new"`, `"it's"`])
    assert.deepEqual((await searchAll(query)).numbers, [9], query);
  assert.deepEqual((await searchAll("100_%s")).numbers, []);
});
