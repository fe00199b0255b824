import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { verify } from "@node-rs/argon2";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { createAccountAdmin } from "../../../src/store/admin.ts";
import type { Db } from "../../../src/store/db.ts";
import { createUserPasswords, hashPassword } from "../../../src/store/passwords.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";

const ADDRESS = "taro@example.test";
const SAVE = { dryRun: false };
let database: TestDatabase;
let db: Db;

before(async () => {
  database = await startTestDatabase();
  db = database.db;
  await db.query`insert into domains (name, accounts) values ('example.test', 'listed')`;
  await db.begin(tx => createAccount(tx, parseMailAddress(ADDRESS)));
});
after(() => database.stop());

const admin = () =>
  createAccountAdmin({ db, onDirectoryChange: () => undefined, onMailboxesGone: () => undefined });
const users = () => createUserPasswords(() => db, Date.now);
const set = (password: string) => admin().setPassword(ADDRESS, { kind: "password", password }, SAVE);

test("the right password gives the account, in any spelling of the address; nothing else does", async () => {
  const passwords = users();
  assert.equal(await passwords.check(ADDRESS, ""), undefined);
  assert.equal((await set("秘密 secret")).hasPassword, true);
  assert.equal((await passwords.check("Taro@EXAMPLE.test", "秘密 secret"))?.address, ADDRESS);
  for (const [user, password] of [
    [ADDRESS, "secret"],
    [ADDRESS, ""],
    ["hanako@example.test", "秘密 secret"],
    ["taro@other.test", "秘密 secret"],
    ["", "秘密 secret"],
    ["not an address", "秘密 secret"],
    [ADDRESS, "x".repeat(2_000_000)],
  ] as const)
    assert.equal(await passwords.check(user, password), undefined, user);
});

test("a password that was changed or taken away counts at once, although the old one is remembered", async () => {
  const passwords = users();
  await set("old");
  assert.ok(await passwords.check(ADDRESS, "old"));
  assert.ok(await passwords.check(ADDRESS, "old"));
  await set("new");
  assert.equal(await passwords.check(ADDRESS, "old"), undefined);
  assert.ok(await passwords.check(ADDRESS, "new"));
  assert.equal((await admin().setPassword(ADDRESS, { kind: "none" }, SAVE)).hasPassword, false);
  assert.equal(await passwords.check(ADDRESS, "new"), undefined);
});

test("a right password is compared once in a minute, a wrong one each time, unknown users as often", async () => {
  let now = 1_000;
  let compared = 0;
  const passwords = createUserPasswords(
    () => db,
    () => now,
    async (hash, password) => {
      compared += 1;
      return verify(hash, password);
    },
  );
  await set("right");
  const comparing = async (user: string, password: string) => {
    const before = compared;
    await passwords.check(user, password);
    return compared - before;
  };
  assert.deepEqual([await comparing(ADDRESS, "right"), await comparing(ADDRESS, "right")], [1, 0]);
  assert.deepEqual([await comparing(ADDRESS, "wrong"), await comparing(ADDRESS, "wrong")], [1, 1]);
  assert.equal(await comparing("nobody@example.test", "right"), 1);
  now += 60_001;
  assert.equal(await comparing(ADDRESS, "right"), 1);
});

test("accounts of a domain that is switched off do not log in, and a dry run changes nothing", async () => {
  const passwords = users();
  await set("pass");
  await admin().setPassword(ADDRESS, { kind: "password", password: "other" }, { dryRun: true });
  assert.ok(await passwords.check(ADDRESS, "pass"));
  await db.query`update domains set enabled = false`;
  assert.equal(await passwords.check(ADDRESS, "pass"), undefined);
  await db.query`update domains set enabled = true`;
});

test("hashes come from elsewhere when they are Argon2id and not too costly", async () => {
  const made = await hashPassword("from elsewhere");
  await admin().setPassword(ADDRESS, { kind: "hash", hash: `{ARGON2ID}${made}` }, SAVE);
  assert.ok(await users().check(ADDRESS, "from elsewhere"));
  const salt = made.split("$").slice(4).join("$");
  for (const hash of [
    "{CRYPT}$2y$05$abcdefghijklmnopqrstuv",
    "{PLAIN}secret",
    "",
    `$argon2i$v=19$m=19456,t=2,p=1$${salt}`,
    `$argon2id$v=19$m=9999999,t=2,p=1$${salt}`,
    `$argon2id$v=19$m=19456,t=999,p=1$${salt}`,
  ])
    await assert.rejects(
      admin().setPassword(ADDRESS, { kind: "hash", hash }, SAVE),
      { code: "invalid_argument" },
      hash,
    );
  for (const password of ["", "a\0b", "x".repeat(1001)])
    await assert.rejects(admin().setPassword(ADDRESS, { kind: "password", password }, SAVE), {
      code: "invalid_argument",
    });
});
