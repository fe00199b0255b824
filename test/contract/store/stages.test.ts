/** Stages in a real PostgreSQL: whose stage counts for which address, who hears of a change, what files set, what verifications say. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { StaleVersion } from "../../../src/core/errors.ts";
import { type Domain, NO_ACCOUNT, type Stage } from "../../../src/core/ports/directory.ts";
import type { StageAdmin } from "../../../src/core/ports/stages.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { createAccountAdmin } from "../../../src/store/admin.ts";
import type { Db } from "../../../src/store/db.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { DirectoryChanges } from "../../../src/store/directory-changes.ts";
import { createStageAdmin } from "../../../src/store/stages.ts";
import { syncDomains } from "../../../src/store/sync-domains.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";

const KEEP = { dryRun: false, who: "local:test" };
let database: TestDatabase;
let db: Db;
before(async () => {
  database = await startTestDatabase();
  db = database.db;
});
after(() => database.stop());

/** One node of the service. `now` stands still: what is remembered stays, until somebody says that it changed. */
function node(on: Db) {
  const directory = new StoreDirectory(on, () => 0);
  const changes = new DirectoryChanges(on, silentLog, directory);
  const stages = createStageAdmin({ db: on, onChange: () => directory.invalidate() });
  const accounts = createAccountAdmin({
    db: on,
    onDirectoryChange: () => changes.publish(),
    onMailboxesGone: () => undefined,
  });
  const stageOf = async (address: string) =>
    (await directory.resolveRecipient(parseMailAddress(address))).stage;
  return { directory, changes, stages, accounts, stageOf };
}

async function set(stages: StageAdmin, scope: string, stage: Stage | undefined, relayLmtp?: string | null) {
  const { version } = await stages.get(scope);
  return stages.set(scope, { stage, ...(relayLmtp === undefined ? {} : { relayLmtp }) }, version, KEEP);
}

async function domain(
  name: string,
  stage: Stage,
  accounts: readonly string[],
  policy: "auto" | "listed" = "listed",
) {
  const here = node(db);
  await here.accounts.addDomain(
    { name, accounts: policy, quotaBytes: 0, stage, relayLmtp: "inet:127.0.0.1:24" },
    KEEP,
  );
  for (const local of accounts)
    await here.accounts.addAccount({ address: `${local}@${name}`, quotaBytes: undefined }, KEEP);
  return here;
}

function opening() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>(resolve => {
    open = resolve;
  });
  return { opened, open };
}

const flagOf = async (name: string) => (await node(db).directory.findDomain(name))?.hasAccountStages;

test("an account's own stage counts for its address, its aliases and sub-addresses; its domain's for all others", async () => {
  const { stages, stageOf, accounts } = await domain("own.test", "hooks", ["ann", "bob"]);
  await accounts.addAlias("ann@own.test", "sales@own.test", KEEP);
  await set(stages, "Ann@OWN.test", "store");
  for (const address of [
    "ann@own.test",
    "ANN@own.test",
    "ann+x@own.test",
    "sales@own.test",
    "sales+x@own.test",
  ])
    assert.equal(await stageOf(address), "store", address);
  for (const address of ["bob@own.test", "bob+x@own.test", "nobody@own.test"])
    assert.equal(await stageOf(address), "hooks", address);
  const shown = await stages.get("own.test");
  assert.deepEqual([shown.stage, shown.accounts, shown.accountsApart], ["hooks", 2, 1]);
  await set(stages, "ann@own.test", undefined);
  assert.equal(await stageOf("sales+x@own.test"), "hooks");
});

test("an alias of another domain's account counts by that account: its stage, its next hop, its quota", async () => {
  const { stages, directory, accounts } = await domain("two.test", "hooks", []);
  await domain("one.test", "store", ["ann"]);
  await db.run`update domains set quota_bytes = 5 where name = 'one.test'`;
  assert.equal(await flagOf("two.test"), false);
  await accounts.addAlias("ann@one.test", "info@two.test", KEEP);
  assert.equal(await flagOf("two.test"), true, "the milter must look at the accounts");
  const found = await directory.resolveRecipient(parseMailAddress("info@two.test"));
  assert.deepEqual([found.stage, found.domain.name, found.account.quotaBytes], ["store", "one.test", 5]);
  await set(stages, "ann@one.test", "mirror");
  assert.equal((await directory.resolveRecipient(parseMailAddress("info@two.test"))).stage, "mirror");
  await accounts.removeAlias("ann@one.test", "info@two.test", KEEP);
  assert.equal(await flagOf("two.test"), false);
});

test("before store who has no account is the next hop's matter; only mirror and store make accounts", async () => {
  for (const [name, stage, policy, isMade] of [
    ["a.observe.test", "observe", "auto", false],
    ["a.hooks.test", "hooks", "auto", false],
    ["a.mirror.test", "mirror", "auto", true],
    ["l.mirror.test", "mirror", "listed", false],
  ] as const) {
    const { directory } = await domain(name, stage, [], policy);
    const found = await directory.resolveRecipient(parseMailAddress(`new+x@${name}`));
    assert.equal(found.account.id !== NO_ACCOUNT, isMade, name);
    assert.equal(
      (await directory.findAccount(parseMailAddress(`new+x@${name}`))) !== undefined,
      isMade,
      name,
    );
  }
});

test("whether accounts have stages of their own is known, whatever happens at the same time", async () => {
  const { stages, accounts } = await domain("flag.test", "hooks", ["ann", "bob"]);
  assert.equal(await flagOf("flag.test"), false);
  await set(stages, "ann@flag.test", "store");
  assert.equal(await flagOf("flag.test"), true);
  // Two who do not see each other: one sets the second, one takes the first away.
  const other = await database.open();
  const started = opening();
  const first = db.begin(async tx => {
    await tx.run`update accounts set stage = 'mirror' where domain = 'flag.test' and local_part = 'bob'`;
    started.open();
    await sleep(300);
  });
  await started.opened;
  await other.run`update accounts set stage = null where domain = 'flag.test' and local_part = 'ann'`;
  await first;
  assert.equal(await flagOf("flag.test"), true);
  await accounts.removeAccount("bob@flag.test", KEEP);
  assert.equal(await flagOf("flag.test"), false);
});

test("a change counts on every node as soon as it is committed, a dry run on none", async () => {
  const here = await domain("nodes.test", "hooks", ["ann"]);
  const there = node(await database.open());
  await there.changes.start();
  assert.deepEqual(
    [await here.stageOf("ann@nodes.test"), await there.stageOf("ann@nodes.test")],
    ["hooks", "hooks"],
  );
  const { version } = await here.stages.get("nodes.test");
  const tried = await here.stages.set("nodes.test", { stage: "mirror" }, version, { ...KEEP, dryRun: true });
  assert.equal(tried.stage, "mirror");
  assert.equal(await here.stageOf("ann@nodes.test"), "hooks");
  await set(here.stages, "nodes.test", "store");
  assert.equal(await here.stageOf("ann@nodes.test"), "store");
  const ends = performance.now() + 30_000;
  while ((await there.stageOf("ann@nodes.test")) === "hooks" && performance.now() < ends) await sleep(5);
  assert.equal(await there.stageOf("ann@nodes.test"), "store");
  await there.changes.stop();
});

test("an answer that was on its way while the stage changed is not remembered", async () => {
  const here = await domain("race.test", "hooks", ["ann"]);
  const gate = opening();
  let answered = 0;
  // The real database, whose answers take a while to arrive.
  const late: Db = new Proxy(db, {
    get: (target, name) =>
      name !== "query"
        ? Reflect.get(target, name)
        : async (...asked: Parameters<Db["query"]>) => {
            const rows = await target.query(...asked);
            answered += 1;
            await gate.opened;
            return rows;
          },
  });
  const directory = new StoreDirectory(late, () => 0);
  const asked = directory.resolveRecipient(parseMailAddress("ann@race.test"));
  const domainAsked = directory.findDomain("race.test");
  for (const end = performance.now() + 60_000; answered < 2 && performance.now() < end; ) await sleep(5);
  await set(here.stages, "race.test", "store");
  directory.invalidate();
  gate.open();
  assert.deepEqual(
    [(await asked).stage, (await domainAsked)?.stage],
    ["hooks", "hooks"],
    "as it was when they asked",
  );
  assert.equal((await directory.resolveRecipient(parseMailAddress("ann@race.test"))).stage, "store");
  assert.equal((await directory.findDomain("race.test"))?.stage, "store");
});

test("two changes from the same version: one of them is told; who did it and when is kept", async () => {
  const { stages } = await domain("version.test", "hooks", []);
  const before = await stages.get("version.test");
  const both = await Promise.allSettled([
    stages.set("version.test", { stage: "mirror" }, before.version, KEEP),
    stages.set("version.test", { stage: "observe" }, before.version, KEEP),
  ]);
  const refused = both.flatMap(one => (one.status === "rejected" ? [one.reason] : []));
  assert.equal(refused.length, 1);
  assert.ok(refused[0] instanceof StaleVersion);
  const after = await stages.get("version.test");
  assert.deepEqual([after.version, after.by], [before.version + 1, "local:test"]);
  assert.ok(after.since > before.since);
  const hop = await set(stages, "version.test", after.stage, "inet:127.0.0.1:25");
  assert.deepEqual(
    [hop.since, hop.version],
    [after.since, after.version + 1],
    "the next hop alone is no new stage",
  );
});

test("a file gives the first stage only; its next hop is the truth, where it names one", async () => {
  const file = (stage: Stage, relayLmtp: string | undefined): Omit<Domain, "hasAccountStages"> => ({
    ...{ name: "file.test", tenant: "main", stage, accounts: "listed", quotaBytes: 0, relayLmtp },
  });
  const { stages } = node(db);
  const shown = async () => {
    const { stage, relayLmtp, relayByFile } = await stages.get("file.test");
    return [stage, relayLmtp, relayByFile];
  };
  await syncDomains(db, [file("observe", undefined)]);
  assert.deepEqual(await shown(), ["observe", undefined, false]);
  await set(stages, "file.test", "hooks", "inet:127.0.0.1:1");
  await syncDomains(db, [file("observe", undefined)]);
  assert.deepEqual(
    await shown(),
    ["hooks", "inet:127.0.0.1:1", false],
    "set by command, and named by no file",
  );
  const { version } = await stages.get("file.test");
  await syncDomains(db, [file("observe", "inet:127.0.0.1:2")]);
  assert.deepEqual(await shown(), ["hooks", "inet:127.0.0.1:2", true]);
  assert.equal((await stages.get("file.test")).version, version + 1);
  await syncDomains(db, [file("store", "inet:127.0.0.1:2")]);
  assert.deepEqual(await shown(), ["hooks", "inet:127.0.0.1:2", true]);
  assert.equal((await stages.get("file.test")).version, version + 1, "nothing of it changed");
  await syncDomains(db, [file("observe", undefined)]);
  assert.deepEqual(await shown(), ["hooks", undefined, false]);
  await syncDomains(db, []);
  await assert.rejects(stages.get("file.test"), { code: "unknown_domain" });
});

async function verified(
  address: string,
  equal: boolean,
  agoS: number,
  counts: Partial<Record<string, number>> = {},
) {
  const mailbox = { mailbox: "INBOX", extra: 0, missing: 0, bytes_differ: 0, flags_differ: 0, ...counts };
  const result = JSON.stringify({ mailboxes: [mailbox], seconds: 10 });
  await db.run`
    insert into verifications (account_id, against, mode, equal, result, finished_at)
    select id, 'x', 'headers', ${equal}, ${result}::text::jsonb, now() - make_interval(secs => ${agoS})
    from accounts where local_part || '@' || domain = ${address}
    on conflict (account_id) do update set equal = excluded.equal, result = excluded.result, finished_at = excluded.finished_at`;
}

test("verifications: missing, too old, different; whose stage is their own does not count", async () => {
  const { stages } = await domain("verify.test", "mirror", ["a", "b", "c", "d", "own"]);
  await set(stages, "own@verify.test", "hooks");
  await verified("b@verify.test", true, 3600);
  await verified("c@verify.test", false, 1);
  await verified("d@verify.test", true, 1);
  const notBefore = new Date(Date.now() - 1_800_000);
  const gaps = (scope: string, want: "equal" | "carried") =>
    stages.get(scope).then(record => stages.verifyGaps(record, { notBefore, want }));
  assert.deepEqual(await gaps("verify.test", "equal"), [
    { reason: "different", accounts: 1, examples: ["c@verify.test"] },
    { reason: "missing", accounts: 1, examples: ["a@verify.test"] },
    { reason: "stale", accounts: 1, examples: ["b@verify.test"] },
  ]);
  assert.deepEqual(await gaps("d@verify.test", "equal"), []);
  assert.equal((await gaps("own@verify.test", "equal"))[0]?.reason, "missing");
  // Down: what is only there is no loss; what is only here must have come just now, and these accounts have no mail at all.
  const down = async (counts: Partial<Record<string, number>>) => {
    await verified("c@verify.test", false, 1, counts);
    return (await gaps("c@verify.test", "carried")).map(({ reason }) => reason);
  };
  assert.deepEqual(await down({ missing: 3 }), []);
  assert.deepEqual(await down({ extra: 1 }), ["different"]);
  assert.deepEqual(await down({ bytes_differ: 1 }), ["different"]);
  assert.deepEqual(await down({ flags_differ: 1 }), ["different"]);
});
