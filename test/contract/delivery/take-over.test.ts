/** LMTP after the milter, and without it: whose verdict counts for whom, and when pre_receive runs here. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import type { DELIVER } from "../../../src/core/merge.ts";
import type { Holds } from "../../../src/core/ports/holds.ts";
import { createHolds } from "../../../src/store/holds.ts";
import { deleteExpired } from "../../../src/store/housekeeping.ts";
import { silentLog } from "../../lib/database.ts";
import { HOLD, KEY, kinds, REJECT, Rig, type Sent, TEMPFAIL, TEXT, tagged, traceOf } from "./rig.ts";

let rig: Rig;
let count = 0;
before(async () => {
  rig = await Rig.start();
});
after(() => rig?.stop());
beforeEach(() => {
  rig.hooks.decisions = {};
  rig.hooks.calls.length = 0;
  rig.holds.held.length = 0;
  rig.now = () => new Date();
  rig.lateReject = "hold";
});

/** Accounts of their own for each test. */
const address = (name: string) => `${name}${count}@example.test`;
beforeEach(() => {
  count += 1;
});

/** By the milter, then to LMTP with what it inserted. @returns the outcomes, and whom pre_receive was asked about at LMTP */
async function through(milter: Sent, lmtp: Partial<Sent> = {}) {
  const queueId = milter.queueId ?? `Q${count}`;
  const decision = await rig.ask({ ...milter, queueId });
  assert.equal(decision.kind, "accept");
  const text = `${traceOf(decision) ?? ""}${TEXT}`;
  rig.hooks.calls.length = 0;
  const outcomes = await rig.deliver({ ...milter, queueId, text, ...lmtp });
  return { kinds: kinds(outcomes), asked: rig.hooks.asked("pre_receive"), text, queueId };
}

const only = (name: string, decision: typeof DELIVER) => ({ pre_receive: { [`${name}${count}`]: decision } });

test("tags, metadata and fields of the milter's hooks are on the copy that they are for, and pre_delivery goes on from there", async () => {
  const [a, b] = [address("a"), address("b")];
  const decision = {
    ...tagged("spam"),
    metadata: { "plugin:x:score": 7 },
    headers: [["X-Score", "7"]] as const,
  };
  rig.hooks.decisions = {
    ...only("a", decision),
    pre_delivery: { "*": { ...tagged("second"), metadata: { "plugin:y:z": 1 } } },
  };
  assert.deepEqual(await through({ to: [a, b] }).then(one => [one.kinds, one.asked]), [
    ["stored", "stored"],
    [],
  ]);
  const [first] = await rig.copies(a);
  assert.deepEqual(first?.keywords, ["second", "spam"]);
  assert.deepEqual(first?.metadata, { "plugin:x:score": 7, "plugin:y:z": 1 });
  assert.match(first?.prefix ?? "", /^X-Score: 7\r$/mu);
  const [second] = await rig.copies(b);
  assert.deepEqual(second?.keywords, ["second"]);
  assert.doesNotMatch(second?.prefix ?? "", /X-Score/u);
  const call = rig.hooks.calls.find(({ facts }) => facts.account === a);
  assert.deepEqual(call?.facts.tags, ["spam"]);
  assert.equal(call?.options?.provenance?.[0]?.hook, "judge");
});

test("fields that the milter has added itself are not added twice", async () => {
  const a = address("a");
  rig.hooks.decisions = only("a", { ...tagged("spam"), headers: [["X-Score", "7"]] });
  await through({ to: [a] });
  const [copy] = await rig.copies(a);
  assert.deepEqual(copy?.keywords, ["spam"]);
  assert.doesNotMatch(copy?.prefix ?? "", /X-Score/u);
});

test("an alias is known by its ORCPT; the client's own ORCPT stays the key", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = { pre_receive: { sales: tagged("for-sales"), [`b${count}`]: tagged("for-b") } };
  const { asked } = await through(
    { to: ["sales@example.test", { address: b, orcpt: "rfc822;list@far.test" }] },
    {
      to: [
        { address: a, orcpt: "rfc822;sales@example.test" },
        { address: b, orcpt: "rfc822;list@far.test" },
      ],
    },
  );
  assert.deepEqual(asked, []);
  assert.deepEqual((await rig.copies(a))[0]?.keywords, ["for-sales"]);
  assert.deepEqual((await rig.copies(b))[0]?.keywords, ["for-b"]);
});

test("who the milter did not see is judged here, unless it said the same of all", async () => {
  const [a, b, c] = [address("a"), address("b"), address("c")];
  rig.hooks.decisions = only("a", tagged("one"));
  const mixed = await through({ to: [a, b] }, { to: [a, b, c] });
  assert.deepEqual(mixed.asked, [[c]]);
  rig.hooks.decisions = { pre_receive: { "*": tagged("all") } };
  const uniform = await through({ to: [a, b], queueId: `U${count}` }, { to: [a, b, c] });
  assert.deepEqual(uniform.asked, []);
  assert.deepEqual((await rig.copies(c)).at(-1)?.keywords, ["all"]);
});

test("an ORCPT that makes two different verdicts fit finds none", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = { pre_receive: { alias: REJECT, [`a${count}`]: REJECT } };
  const { asked, kinds } = await through(
    { to: [{ address: "alias@example.test", orcpt: `rfc822;${b}` }, b] },
    {
      to: [
        { address: a, orcpt: `rfc822;${b}` },
        { address: b, orcpt: `rfc822;${b}` },
      ],
    },
  );
  assert.deepEqual(asked, [[a]]);
  assert.deepEqual(kinds, ["held", "stored"]);
});

test("mail to two addresses of one account is wanted when it was wanted for one of them", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_receive: { trap: REJECT, sales: tagged("for-sales") } };
  const { kinds } = await through(
    { to: ["trap@example.test", "sales@example.test"] },
    {
      to: [
        { address: a, orcpt: "rfc822;trap@example.test" },
        { address: a, orcpt: "rfc822;sales@example.test" },
      ],
    },
  );
  assert.deepEqual(kinds, ["stored", "stored"]);
  assert.deepEqual((await rig.copies(a))[0]?.keywords, ["for-sales"]);
});

test("a field without a record: nothing is asked, nothing is looked up", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_receive: {} };
  assert.deepEqual((await through({ to: [a] })).asked, []);
});

for (const [what, spoil] of [
  ["of another queue id", (text: string, queueId: string) => text.replace(`q=${queueId};`, "q=OTHER;")],
  ["with another id", (text: string) => text.replace(/id=........-/u, "id=00000000-")],
  ["that says that there is nothing", (text: string) => text.replace(/(id=[^;]+);/u, "$1.n;")],
  ["that lives longer", (text: string) => text.replace(/x=\d+/u, "x=99999999999")],
  ["with a wrong HMAC", (text: string) => text.replace(/h=.{4}/u, "h=AAAA")],
  ["below a forged one", (text: string) => `X-MaiRust-Trace: v1; forged\r\n${text}`],
] as const) {
  test(`a trace field ${what} does not count: the message is judged here`, async () => {
    const a = address("a");
    rig.hooks.decisions = only("a", tagged("spam"));
    const decision = await rig.ask({ to: [a], queueId: `Q${count}` });
    const text = `${traceOf(decision)}${TEXT}`;
    const spoilt = spoil(text, `Q${count}`);
    assert.notEqual(spoilt, text);
    rig.hooks.calls.length = 0;
    await rig.deliver({ to: [a], queueId: `Q${count}`, text: spoilt });
    assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
  });
}

test("a field taken from delivered mail serves no other message", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_receive: {} };
  const { text } = await through({ to: [a] });
  await rig.deliver({ to: [a], queueId: `REPLAY${count}`, text });
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
});

test("a field made with another key is forged, whatever it says", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_receive: {} };
  const id = `${rig.newId()}.n`;
  const [queueId, expiry] = [`Q${count}`, "4102444800"];
  const field = (key: Buffer) => {
    const hmac = createHmac("sha256", key).update(`v1\0${id}\0${queueId}\0${expiry}`).digest("base64url");
    return `X-MaiRust-Trace: v1; id=${id}; q=${queueId}; x=${expiry}; h=${hmac}\r\n`;
  };
  await rig.deliver({ to: [a], queueId, text: `${field(Buffer.alloc(32))}${TEXT}` });
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
  rig.hooks.calls.length = 0;
  await rig.deliver({ to: [a], queueId, text: `${field(KEY)}again ${TEXT}` });
  assert.deepEqual(rig.hooks.asked("pre_receive"), [], "with ours it holds");
});

test("after its expiry a field does not count, and its record is deleted", async () => {
  const a = address("a");
  rig.hooks.decisions = only("a", tagged("spam"));
  const decision = await rig.ask({ to: [a], queueId: `Q${count}` });
  const text = `${traceOf(decision)}${TEXT}`;
  rig.hooks.calls.length = 0;
  rig.now = () => new Date(Date.now() + 11 * 86_400_000);
  await rig.deliver({ to: [a], queueId: `Q${count}`, text });
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
  const { db } = rig.database;
  await db.run`update verdicts set expires_at = now() - interval '1 second' where queue_id = ${`Q${count}`}`;
  assert.equal((await deleteExpired(db, { eventsDays: 90, redeliveryWindowS: 3600 })).verdicts, 1);
});

test("a record that was lost costs a second judgement, not the message", async () => {
  const a = address("a");
  rig.hooks.decisions = only("a", tagged("spam"));
  const decision = await rig.ask({ to: [a], queueId: `Q${count}` });
  await rig.database.db.run`delete from verdicts`;
  rig.hooks.calls.length = 0;
  const sent = { to: [a], queueId: `Q${count}`, text: `${traceOf(decision)}${TEXT}` };
  assert.deepEqual(kinds(await rig.deliver(sent)), ["stored"]);
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
  assert.deepEqual((await rig.copies(a))[0]?.keywords, ["spam"]);
});

test("without a milter pre_receive runs once for all accounts, and not again for a redelivery", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = only("b", HOLD);
  const sent = { to: [a, b], queueId: `Q${count}` };
  assert.deepEqual(kinds(await rig.deliver(sent)), ["stored", "held"]);
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a, b]]);
  assert.deepEqual(kinds(await rig.deliver({ ...sent, to: [a] })), ["already"]);
  assert.equal(rig.hooks.asked("pre_receive").length, 1);
});

test("what our own users submitted is not judged as mail from outside", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_send: {}, pre_receive: { "*": REJECT } };
  await rig.ask({ to: [a], direction: "outbound", from: "taro@example.test", queueId: `Q${count}` });
  assert.deepEqual(kinds(await rig.deliver({ to: [a], queueId: `Q${count}` })), ["stored"]);
  assert.deepEqual(rig.hooks.asked("pre_receive"), []);
});

test("a reject that only LMTP can apply is held, or refused where that is configured: carried ones and found ones", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = only("a", REJECT);
  assert.deepEqual((await through({ to: [a, b] })).kinds, ["held", "stored"]);
  assert.deepEqual(kinds(await rig.deliver({ to: [a], queueId: `HERE${count}` })), ["held"]);
  for (const { hold } of rig.holds.held) {
    assert.deepEqual([hold.point, hold.by?.name, hold.account?.address], ["pre_receive", "judge", a]);
    assert.match(Buffer.from(hold.prefix).toString(), new RegExp(`^Delivered-To: ${a}\r$`, "mu"));
  }
  assert.equal((await rig.copies(a)).length, 0);
  rig.lateReject = "reject";
  assert.deepEqual((await through({ to: [a, b], queueId: `R${count}` })).kinds, ["550", "stored"]);
  assert.deepEqual(kinds(await rig.deliver({ to: [a], queueId: `RHERE${count}` })), ["550"]);
});

test("a carried tempfail is answered once; the next try is judged anew", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = only("a", TEMPFAIL);
  const first = await through({ to: [a, b] });
  assert.deepEqual(first.kinds, ["451", "stored"]);
  assert.deepEqual(first.asked, []);
  rig.hooks.decisions = only("a", tagged("better"));
  assert.deepEqual(kinds(await rig.deliver({ to: [a], queueId: first.queueId, text: first.text })), [
    "stored",
  ]);
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
  assert.deepEqual((await rig.copies(a))[0]?.keywords, ["better"]);
});

test("a carried tempfail that was answered to one recipient is still there for the others", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = { pre_receive: { [`a${count}`]: TEMPFAIL, [`b${count}`]: TEMPFAIL } };
  const first = await through({ to: [a, b, address("c")] }, { to: [a] });
  assert.deepEqual(first.kinds, ["451"]);
  const sent = { queueId: first.queueId, text: first.text };
  assert.deepEqual(kinds(await rig.deliver({ ...sent, to: [b] })), ["451"]);
  assert.deepEqual(rig.hooks.asked("pre_receive"), [], "the milter's word");
  await rig.deliver({ ...sent, to: [a] });
  assert.deepEqual(rig.hooks.asked("pre_receive"), [[a]]);
});

test("a hold of pre_delivery keeps one account's copy, with what pre_receive had decided", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = {
    pre_receive: { [`a${count}`]: { ...tagged("spam"), headers: [["X-Score", "7"]] } },
    pre_delivery: { [`a${count}`]: { ...HOLD, headers: [["X-Held", "1"]] } },
  };
  assert.deepEqual((await through({ to: [a, b] })).kinds, ["held", "stored"]);
  const [held] = rig.holds.held;
  assert.equal(held?.hold.point, "pre_delivery");
  assert.deepEqual(held?.hold.decision.tags, ["spam"]);
  const prefix = Buffer.from(held?.hold.prefix ?? []).toString();
  assert.match(prefix, /^X-Score: 7\r$/mu);
  assert.doesNotMatch(prefix, /X-Held/u, "release adds those of the decision");
});

test("a hold that fails defers its own recipient alone", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = only("a", HOLD);
  rig.holds.error = new Error("no room");
  assert.deepEqual(kinds(await rig.deliver({ to: [a, b], queueId: `Q${count}` })), ["internal", "stored"]);
  rig.holds.error = undefined;
});

const realHolds = () =>
  createHolds({
    db: rig.database.db,
    confirmBlob: digest => rig.blobs.confirm(digest),
    expireDays: () => 30,
    redeliveryWindowS: () => 3600,
    newId: rig.newId,
    log: silentLog,
  });

async function holdsOf(account: string): Promise<number | undefined> {
  const [row] = await rig.database.db.query<{ n: number }>`
    select count(*) as n from holds where account = ${account}`;
  return row?.n;
}

test("a hold that does not come back is answered 4xx at the deadline, and is known when the mail comes again", async () => {
  const a = address("a");
  rig.hooks.decisions = only("a", HOLD);
  let release = (): void => {};
  const gate = new Promise<void>(resolve => {
    release = resolve;
  });
  rig.realHolds = { hold: (message, holds) => gate.then(() => realHolds().hold(message, holds)) };
  rig.waitMs = 300;
  const intake = rig.intake();
  const sent = { to: [a], queueId: `Q${count}` };
  assert.deepEqual(kinds(await rig.deliver(sent, intake)), ["deadline"]);
  assert.equal(await holdsOf(a), 0);
  release();
  rig.waitMs = 20_000;
  assert.deepEqual(kinds(await rig.deliver(sent, intake)), ["already"]);
  assert.equal(await holdsOf(a), 1);
  rig.realHolds = undefined;
});

test("of two copies one is stored, and the hold of the other is cut off: neither is lost or doubled", async () => {
  const [a, b] = [address("a"), address("b")];
  rig.hooks.decisions = { pre_delivery: { [`b${count}`]: HOLD } };
  const cut: Holds = { hold: () => Promise.reject(new Error("killed")) };
  const sent = { to: [a, b], queueId: `Q${count}` };
  rig.realHolds = cut;
  assert.deepEqual(kinds(await rig.deliver(sent)), ["stored", "internal"]);
  assert.equal(await holdsOf(b), 0);
  rig.realHolds = realHolds();
  assert.deepEqual(kinds(await rig.deliver(sent)), ["already", "held"]);
  assert.deepEqual(kinds(await rig.deliver(sent)), ["already", "already"]);
  rig.hooks.decisions = {};
  assert.deepEqual(kinds(await rig.deliver(sent)), ["already", "already"], "also when the hook is gone");
  rig.realHolds = undefined;
  assert.deepEqual([(await rig.copies(a)).length, (await rig.copies(b)).length, await holdsOf(b)], [1, 0, 1]);
  assert.deepEqual(rig.hooks.asked("pre_delivery"), [[a], [b], [b]]);
});

test("the client stands in the timeline for hooks that run later; LMTP never speaks for everyone", async () => {
  const a = address("a");
  rig.hooks.decisions = { pre_receive: {} };
  const [outcome] = await rig.deliver({ to: [a], queueId: `Q${count}` });
  const [row] = await rig.database.db.query<{ data: Record<string, unknown> }>`
    select list -> 0 -> 'data' as data from events where message_id = ${outcome?.id ?? ""}::uuid order by id limit 1`;
  const { client_ip, client_name, helo } = row?.data ?? {};
  assert.deepEqual([client_ip, client_name, helo], ["192.0.2.1", "mx.far.test", "far.test"]);
  assert.equal(rig.hooks.calls[0]?.facts.everyone, undefined);
});
