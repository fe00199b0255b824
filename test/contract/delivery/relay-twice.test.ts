/** Relays of which nobody knows the end: a process is gone between the next hop's answer and the record. They are counted, each once. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { silentLog } from "../../lib/database.ts";
import { LmtpHop } from "../../lib/lmtp-hop.ts";
import { changeableRecords, type RealRelay, realRelay } from "../../lib/relay-parts.ts";
import { Rig, said } from "./rig.ts";

const TEXT = "Received: by mx\r\nSubject: x\r\n\r\nline\n.\r\nbare\rend";
let rig: Rig;
let hop: LmtpHop;
let relay: RealRelay;
let twice = 0;

before(async () => {
  rig = await Rig.start();
  hop = await LmtpHop.start();
  const { db, dir } = rig.database;
  await db.query`
    insert into domains (name, accounts, stage, relay_lmtp)
    values ('h.test', 'listed', 'hooks', ${hop.server}), ('m.test', 'auto', 'mirror', ${hop.server})`;
  relay = realRelay({ db, changes: new MailboxChanges(db, silentLog), blobs: rig.blobs, dir });
  rig.relay = { hops: relay.hops, records: relay.records, onMaybeTwice: () => (twice += 1) };
});
beforeEach(() => {
  hop.messages.length = 0;
  twice = 0;
});
after(async () => {
  relay?.close();
  await hop?.stop();
  await rig?.stop();
});

test("what a killed process had sent and not recorded is counted when it comes again", async () => {
  const { db, dir } = rig.database;
  const part = { db, changes: new MailboxChanges(db, silentLog), blobs: rig.blobs, dir: join(dir, "killed") };
  const killed = realRelay(part);
  // It ends between the next hop's answer and the record.
  rig.relay = {
    ...rig.relay,
    hops: killed.hops,
    records: { ...changeableRecords(killed), record: () => Promise.reject(new Error("killed")) },
  };
  const sent = { to: ["a@h.test", "m2@m.test"], text: TEXT, queueId: "Q7" };
  assert.deepEqual(said(await rig.deliver(sent)), ["internal", "internal"]);
  killed.close();
  const next = realRelay(part);
  rig.relay = { ...rig.relay, hops: next.hops, records: next.records };
  assert.deepEqual(said(await rig.deliver(sent)), ["250", "250"]);
  assert.equal(twice, 2);
  assert.equal(hop.messages.length, 2);
  assert.equal((await rig.stored("m2@m.test")).length, 1);
  assert.equal(await rig.waitingCopies(), 0);
  rig.relay = { ...rig.relay, hops: relay.hops, records: relay.records };
  next.close();
});

test("of mail that two processes left open two copies may be too many, and both are counted, each once", async () => {
  const { db, dir } = rig.database;
  const part = { db, changes: new MailboxChanges(db, silentLog), blobs: rig.blobs, dir: join(dir, "twice") };
  const sent = { to: ["a@h.test", "m3@m.test"], text: TEXT, queueId: "Q17" };
  // The first two end before they count, the third one between counting and the record.
  const killed = () => Promise.reject(new Error("killed"));
  const endings = [
    { takenAgain: () => [], record: killed },
    { takenAgain: () => [], record: killed },
    { record: killed },
  ];
  for (const [i, ending] of endings.entries()) {
    const process = realRelay(part);
    rig.relay = {
      ...rig.relay,
      hops: process.hops,
      records: { ...changeableRecords(process), ...ending },
    };
    assert.deepEqual(said(await rig.deliver(sent)), ["internal", "internal"]);
    assert.equal(twice, i < 2 ? 0 : 4);
    process.close();
  }
  const last = realRelay(part);
  rig.relay = { ...rig.relay, hops: last.hops, records: last.records };
  assert.deepEqual(said(await rig.deliver(sent)), ["250", "250"]);
  assert.equal(hop.messages.length, 4);
  assert.equal(twice, 6);
  rig.relay = { ...rig.relay, hops: relay.hops, records: relay.records };
  last.close();
});
