import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import type { Db } from "../../../src/store/db.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";

let database: TestDatabase;
let db: Db;
before(async () => {
  database = await startTestDatabase();
  db = database.db;
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
});
after(() => database.stop());

test("the schema lets UIDVALIDITY change only in a mailbox that never held an entry", async () => {
  const { id } = await db.begin(tx => createAccount(tx, parseMailAddress("a@example.test")));
  const set = (name: string, value: number) =>
    db.run`update mailboxes set uidvalidity = ${value} where account_id = ${id} and name = ${name}`;
  assert.equal(await set("INBOX", 17), 1);
  await db.run`update mailboxes set uidnext = 5 where account_id = ${id} and name = 'INBOX'`;
  await assert.rejects(set("INBOX", 18), /UIDVALIDITY/u);
  await db.run`update mailboxes set highest_modseq = 2 where account_id = ${id} and name = 'Sent'`;
  await assert.rejects(set("Sent", 18), /UIDVALIDITY/u);
});
