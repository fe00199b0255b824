/**
 * A real Postfix with the shipped milter lines between our milter and our LMTP listener, in this process, over a real database;
 * hooks do what the test says. What one plugin cannot show: verdicts that differ by recipient, and holds.
 */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { DELIVER } from "../../src/core/merge.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { openListeners } from "../../src/platform/listeners.ts";
import { createLmtpServer } from "../../src/protocols/lmtp/server.ts";
import { createMilterServer } from "../../src/protocols/milter/server.ts";
import { HOLD, REJECT, Rig, TEMPFAIL, tagged } from "../contract/delivery/rig.ts";
import { silentLog } from "../lib/database.ts";
import { drainQueue } from "../lib/mail-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const START_MS = 90_000;
const WAIT_MS = 30_000;
const SENDER = "alice@sender.test";

const scratch = await makeScratch();
let rig: Rig;
let postfix: Postfix;
const ends: (() => Promise<unknown>)[] = [];

before(async () => {
  rig = await Rig.start();
  ends.push(() => rig.stop());
  const deadline = deadlineAfter(START_MS);
  const dir = join(scratch.dir, "p");
  await mkdir(dir);
  postfix = await startPostfix(
    {
      dir,
      domains: ["example.test", "other.test"],
      aliases: {
        "sales@example.test": ["ann@example.test"],
        "all@example.test": ["ann@example.test", "bob@example.test"],
      },
      milter: "store",
      settings: { in_flow_delay: "0", default_transport: "discard:" },
    },
    deadline,
  );
  ends.push(() => postfix.stop());
  deadline.dispose();
  const access = { mode: "0660", group: "postfix" };
  const milter = createMilterServer({
    config: {
      connections: 20,
      packetBytes: 1_048_576,
      chainTimeoutMs: 10_000,
      outboundDaemons: ["ORIGINATING"],
      outboundNetworks: [],
    },
    decider: rig.decider(),
    log: silentLog,
    metrics: { message: () => {}, duration: () => {}, protocolError: () => {}, connections: () => {} },
  });
  const lmtp = createLmtpServer({
    intake: rig.intake(),
    log: silentLog,
    config: {
      hostname: "mail.example.test",
      connections: 20,
      xforwardFrom: [],
      chainTimeoutMs: 20_000,
      messageBytes: 1_000_000,
    },
    metrics: { recipient: () => {}, duration: () => {}, connections: () => {} },
  });
  for (const [name, path, createServer] of [
    ["milter.listen", postfix.milterSocket, () => milter.createListener()],
    ["lmtp.listen", postfix.lmtpSocket, () => lmtp.createListener()],
  ] as const) {
    const listeners = await openListeners({
      name,
      specs: [`unix:${path}`],
      createServer,
      access,
      maxConnections: 40,
    });
    ends.push(() => listeners.close());
  }
  ends.push(
    () => milter.close(),
    () => lmtp.close(),
  );
});
after(async () => {
  for (const end of ends.reverse()) await end();
  await scratch.remove();
});
beforeEach(() => {
  rig.hooks.decisions = {};
  rig.hooks.calls.length = 0;
  rig.holds.held.length = 0;
});

async function send(to: readonly string[], subject: string): Promise<string> {
  const client = await SmtpTestClient.open(postfix.smtpPort);
  try {
    return await client.send(SENDER, to, `From: ${SENDER}\r\nSubject: ${subject}\r\n\r\nbody\r\n`);
  } finally {
    client.close();
  }
}

const drained = () => drainQueue(postfix);

const tags = async (address: string) => (await rig.copies(address)).at(-1)?.keywords;

test("a held message is answered 250, is durable here, and nothing of it stays in the queue", async () => {
  rig.hooks.decisions = { pre_receive: { "*": HOLD } };
  assert.match(await send(["ann@example.test", "bob@other.test"], "hold"), /^250 /u);
  const [held] = rig.holds.held;
  assert.deepEqual(
    held?.hold.recipients.map(({ address }) => address.raw),
    ["ann@example.test", "bob@other.test"],
  );
  await drained();
  assert.deepEqual(rig.hooks.asked("pre_receive").length, 1);
  assert.deepEqual([await rig.copies("ann@example.test"), await rig.copies("bob@other.test")], [[], []]);
});

test("each recipient gets its own verdict: stored with tags, held, deferred and tried again", async () => {
  rig.hooks.decisions = { pre_receive: { ann: tagged("for-ann"), bob: REJECT, cid: TEMPFAIL } };
  assert.match(await send(["ann@example.test", "bob@other.test", "cid@example.test"], "mixed"), /^250 /u);
  const deadline = deadlineAfter(WAIT_MS);
  // Who is stored is seen here before Postfix has heard of it; then one message is left, for the one who is tried again.
  const isDeferred = async () => (await postfix.queue()).map(one => one.queueName).join() === "deferred";
  while (
    (await tags("ann@example.test")) === undefined ||
    rig.holds.held.length === 0 ||
    !(await isDeferred())
  ) {
    assert.ok(deadline.remainingMs() > 0, "in time");
    await sleep(50);
  }
  deadline.dispose();
  assert.deepEqual(await tags("ann@example.test"), ["for-ann"]);
  assert.equal(rig.holds.held[0]?.hold.account?.address, "bob@other.test");
  assert.equal(rig.hooks.asked("pre_receive").length, 1, "the milter alone has asked");
  rig.hooks.decisions = { pre_receive: { cid: tagged("second-try") } };
  await drained();
  assert.deepEqual(await tags("cid@example.test"), ["second-try"]);
});

test("an alias gets what was said of all; said of it alone, its member is judged at LMTP, where nobody tells the alias", async () => {
  rig.hooks.decisions = { pre_receive: { "*": tagged("everybody") } };
  assert.match(await send(["sales@example.test", "bob@other.test"], "alias"), /^250 /u);
  await drained();
  assert.deepEqual(
    [await tags("ann@example.test"), await tags("bob@other.test")],
    [["everybody"], ["everybody"]],
  );
  assert.equal(rig.hooks.asked("pre_receive").length, 1);
  // Postfix names the alias as ORCPT, but only to a server that announces DSN.
  rig.hooks.decisions = { pre_receive: { sales: tagged("sales"), ann: tagged("ann"), bob: tagged("bob") } };
  assert.match(await send(["sales@example.test", "bob@other.test"], "mixed alias"), /^250 /u);
  await drained();
  assert.deepEqual([await tags("ann@example.test"), await tags("bob@other.test")], [["ann"], ["bob"]]);
  assert.deepEqual(rig.hooks.asked("pre_receive").slice(1), [
    ["sales@example.test", "bob@other.test"],
    ["ann@example.test"],
  ]);
});

test("fields of hooks: in the message when all get them, else in the prefix of their copy", async () => {
  const headers = [["X-Score", "7"]] as const;
  rig.hooks.decisions = { pre_receive: { "*": { ...DELIVER, headers } } };
  await send(["ann@example.test", "bob@other.test"], "same");
  await drained();
  assert.doesNotMatch((await rig.copies("ann@example.test")).at(-1)?.prefix ?? "", /X-Score/u);
  rig.hooks.decisions = { pre_receive: { ann: { ...DELIVER, headers } } };
  await send(["ann@example.test", "bob@other.test"], "differ");
  await drained();
  assert.match((await rig.copies("ann@example.test")).at(-1)?.prefix ?? "", /^X-Score: 7\r$/mu);
  assert.doesNotMatch((await rig.copies("bob@other.test")).at(-1)?.prefix ?? "", /X-Score/u);
});
