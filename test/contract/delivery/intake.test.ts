import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Deadline } from "../../../src/core/deadline.ts";
import { type Envelope, parseMailAddress } from "../../../src/core/envelope.ts";
import type { MairustError } from "../../../src/core/errors.ts";
import { messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { HookDecisions, HookRunner, MessageFacts } from "../../../src/core/ports/hooks.ts";
import type { RecipientOutcome } from "../../../src/core/ports/intake.ts";
import { Intake } from "../../../src/delivery/intake.ts";
import { TraceFields } from "../../../src/delivery/trace-field.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { type FsBlobStore, openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createVerdicts } from "../../../src/store/verdicts.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { NO_EDIT_RULES, NO_RELAY } from "../../lib/relay-parts.ts";

const newId = uuid7Generator();
let database: TestDatabase;
let blobs: FsBlobStore;
let directory: StoreDirectory;

before(async () => {
  database = await startTestDatabase();
  blobs = await openFsBlobs({
    path: join(database.dir, "blobs"),
    compression: "brotli",
    minFreeBytes: () => 0,
    log: silentLog,
  });
  await database.db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  directory = new StoreDirectory(database.db);
});
after(async () => {
  await blobs?.close();
  await database?.stop();
});

const delivered = ({ recipients }: MessageFacts): HookDecisions => ({
  each: new Map(recipients.map(recipient => [recipient, DELIVER])),
  events: [],
});

/** A chain that does what the test says: what plugins do is not this test's matter. */
function hooksThat(run: HookRunner["run"]): HookRunner {
  return { has: point => point === "pre_delivery", needs: () => NO_NEEDS, run };
}
const NO_NEEDS = { headers: false, body: false, hold: false };
const NO_HOOKS: HookRunner = {
  has: () => false,
  needs: () => NO_NEEDS,
  run: () => Promise.reject(new Error("there are no hooks")),
};

function newIntake(hooks: HookRunner): Intake {
  const db = database.db;
  const store = createMessageStore({
    db,
    changes: new MailboxChanges(db, silentLog),
    log: silentLog,
    redeliveryWindowS: () => 3600,
    confirmBlob: digest => blobs.confirm(digest),
    onCommit: () => undefined,
  });
  return new Intake({
    blobs,
    store,
    directory,
    hooks,
    verdicts: createVerdicts(db),
    trace: new TraceFields(() => [Buffer.alloc(32)]),
    relay: { ...NO_RELAY, edits: NO_EDIT_RULES },
    holds: { hold: () => Promise.reject(new Error("nothing is held here")) },
    lateReject: () => "hold",
    log: silentLog,
    hostname: "mail.example.test",
    newMessageId: () => messageId(newId()),
    now: () => new Date(),
    limits: () => ({ receivedHeaders: 5, mime: { depth: 300, parts: 3000 } }),
    detailFolder: () => true,
  });
}

interface Sent {
  readonly to: readonly string[];
  readonly text?: string;
  readonly queueId?: string;
  readonly chainMs?: number;
  /** In place of one that ends after `chainMs`. */
  readonly deadline?: Deadline;
}

async function deliver(intake: Intake, sent: Sent): Promise<readonly RecipientOutcome[]> {
  const recipients = sent.to.map(address => ({ address: parseMailAddress(address) }));
  const mailFrom = parseMailAddress("a@example.org");
  const resolved = await Promise.all(recipients.map(one => intake.checkRecipient(one, mailFrom)));
  const envelope: Envelope = {
    mailFrom,
    recipients,
    client: { ident: sent.queueId ?? newId() },
    peer: "unix",
    peerHelo: "mx",
    dsn: {},
    body8bit: false,
    smtpUtf8: false,
  };
  const stream = intake.open(envelope, resolved);
  await stream.write(Buffer.from(sent.text ?? "Subject: x\r\n\r\nbody\r\n"));
  const deadline = deadlineAfter(sent.chainMs ?? 60_000);
  // Deadlines do not keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  try {
    return await stream.finish(sent.deadline ?? deadline);
  } finally {
    clearInterval(alive);
    deadline.dispose();
  }
}

const kinds = (outcomes: readonly RecipientOutcome[]) =>
  outcomes.map(one =>
    one.kind === "failed" ? one.error.code : one.kind === "stored" && one.already ? "already" : one.kind,
  );

async function stored(address: string): Promise<number> {
  const found = await directory.findAccount(parseMailAddress(address));
  const [row] = await database.db.query<{ n: number }>`
    select count(*) as n from entries e join mailboxes m on m.id = e.mailbox_id where m.account_id = ${found?.account.id ?? 0}`;
  return row?.n ?? 0;
}

test("doubles, other spellings and sub-addresses of one account get an answer each and one copy", async () => {
  const to = ["taro@example.test", "Taro@Example.Test", "taro+x@example.test", "jiro@example.test"];
  assert.deepEqual(kinds(await deliver(newIntake(NO_HOOKS), { to })), [
    "stored",
    "stored",
    "stored",
    "stored",
  ]);
  assert.deepEqual([await stored("taro@example.test"), await stored("jiro@example.test")], [1, 1]);
});

test("a message leaves a job in its commit when hooks stand at post_receive, and none when none do", async () => {
  const after: HookRunner = { ...NO_HOOKS, has: point => point === "post_receive" };
  for (const [hooks, jobs] of [
    [after, ["post_receive"]],
    [NO_HOOKS, []],
  ] as const) {
    const [outcome] = await deliver(newIntake(hooks), {
      to: ["taro@example.test"],
      text: `X: ${newId()}\r\n\r\n`,
    });
    assert.equal(outcome?.kind, "stored");
    const rows = await database.db.query<{ kind: string }>`
      select kind from jobs where message_id = ${outcome?.id ?? null}::uuid`;
    assert.deepEqual(
      rows.map(row => row.kind),
      jobs,
    );
  }
});

test("a hook that takes the whole chain leaves the time for the commit: its policy counts, and nobody is deferred", async () => {
  // The whole never ends, its end is only told: a machine that pauses does not use up what was left for the commit.
  const whole = { remainingMs: () => 1200, signal: new AbortController().signal };
  const slow = hooksThat(async (_point, facts, deadline) => {
    assert.ok(deadline.remainingMs() <= 900, `${deadline.remainingMs()} ms for the hooks`);
    if (facts.account === "slow@example.test") await sleep(60_000, deadline.signal).catch(() => undefined);
    return delivered(facts);
  });
  const to = ["slow@example.test", "quick@example.test"];
  assert.deepEqual(kinds(await deliver(newIntake(slow), { to, deadline: whole })), ["stored", "stored"]);
});

test("a chain that breaks fails its own recipient only", async () => {
  const broken = hooksThat(async (_point, facts: MessageFacts) => {
    if (facts.account === "broken@example.test") throw new Error("a bug");
    return delivered(facts);
  });
  const to = ["broken@example.test", "fine@example.test"];
  assert.deepEqual(kinds(await deliver(newIntake(broken), { to })), ["internal", "stored"]);
  assert.equal(await stored("broken@example.test"), 0);
});

test("a delivery that the deadline cut is never answered as stored while it is not, and is stored once in the end", async () => {
  const intake = newIntake(NO_HOOKS);
  const address = "held@example.test";
  const account = (await directory.resolveRecipient(parseMailAddress(address))).account;
  let release = () => undefined as unknown;
  const released = new Promise(resolve => {
    release = () => resolve(undefined);
  });
  let held = () => undefined as unknown;
  const locked = new Promise(resolve => {
    held = () => resolve(undefined);
  });
  const holder = database.db.begin(async tx => {
    await tx.query`select 1 as one from accounts where id = ${account.id} for update`;
    held();
    await released;
  });
  await locked;
  const first = deliver(intake, { to: [address], queueId: "HELD", chainMs: 300 });
  assert.deepEqual(kinds(await first), ["deadline"]);
  const second = deliver(intake, { to: [address], queueId: "HELD", chainMs: 60_000 });
  await sleep(100);
  release();
  await holder;
  const [answer] = kinds(await second);
  assert.ok(answer === "stored" || answer === "already", answer);
  assert.equal(await stored(address), 1);
});

test("a redelivery is answered without running the hooks again", async () => {
  let runs = 0;
  const intake = newIntake(
    hooksThat(async (_point, facts) => {
      runs++;
      return delivered(facts);
    }),
  );
  const sent = { to: ["again@example.test"], queueId: "AGAIN" };
  assert.deepEqual(kinds(await deliver(intake, sent)), ["stored"]);
  assert.deepEqual(kinds(await deliver(intake, sent)), ["already"]);
  assert.equal(runs, 1);
});

test("the content stays readable for calls that the decision did not wait for, and their events are recorded", async () => {
  let text = "";
  let answer = () => undefined as unknown;
  const answered = new Promise(resolve => {
    answer = () => resolve(undefined);
  });
  const shadow = hooksThat(async (_point, facts) => {
    const late = (async () => {
      await answered;
      for await (const chunk of facts.content.read()) text += Buffer.from(chunk).toString();
      return [{ at: new Date(), kind: "hook_call" as const, data: { hook: "late" } }];
    })();
    return { ...delivered(facts), late };
  });
  const [outcome] = await deliver(newIntake(shadow), { to: ["shadow@example.test"] });
  assert.equal(text, "", "the answer did not wait");
  assert.equal(outcome?.kind, "stored");
  answer();
  const recorded = () =>
    database.db
      .query`select 1 as one from events where message_id = ${outcome?.id ?? ""}::uuid and list @> '[{"kind": "hook_call"}]'`;
  for (const end = performance.now() + 60_000; (await recorded()).length === 0 && performance.now() < end; )
    await sleep(20);
  assert.match(text, /Subject: x/u);
  assert.equal((await recorded()).length, 1);
});

test("mail loops are refused: our own Delivered-To, or too many hops", async () => {
  const intake = newIntake(NO_HOOKS);
  const to = ["loop@example.test", "other@example.test"];
  const text = "Delivered-To: loop@example.test\r\nSubject: x\r\n\r\nbody\r\n";
  assert.deepEqual(kinds(await deliver(intake, { to, text })), ["mail_loop", "stored"]);
  const hops = "Received: from a by b; Sat, 21 Nov 2026 00:00:00 +0000\r\n".repeat(6);
  assert.deepEqual(kinds(await deliver(intake, { to, text: `${hops}\r\nbody\r\n` })), [
    "mail_loop",
    "mail_loop",
  ]);
});

test("a domain in a stage that this version does not have is deferred, not stored", async () => {
  await database.db
    .query`insert into domains (name, accounts, stage) values ('mirror.test', 'auto', 'mirror')`;
  await assert.rejects(
    deliver(newIntake(NO_HOOKS), { to: ["x@mirror.test"] }),
    (error: MairustError) => error.retry === "later",
  );
});

test("a domain that is switched off is unknown", async () => {
  await database.db
    .query`insert into domains (name, accounts, origin, enabled) values ('gone.test', 'auto', 'file', false)`;
  await assert.rejects(
    deliver(newIntake(NO_HOOKS), { to: ["x@gone.test"] }),
    (error: MairustError) => error.code === "unknown_domain",
  );
});
