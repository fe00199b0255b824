/** Dovecot before the service: each row of `imapc-rows.ts`, asked of the real Dovecot, answered by the real service. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import {
  type ImapcRow,
  READING,
  ROW_MESSAGES,
  WRITING_BARE,
  WRITING_SHIPPED,
} from "../../lib/clients/imapc-rows.ts";
import { dateOf, flagsOf, generated } from "../../lib/clients/messages.ts";
import { type Answer, RawImap } from "../../lib/clients/raw-imap.ts";
import {
  type ClientSite,
  type Front,
  PASSWORD,
  startClientSite,
  startFront,
  USER,
} from "../../lib/clients/site.ts";
import type { WireProxy } from "../../lib/clients/wire-proxy.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";

/** How long a command that must go upstream may take to get there. */
const UPSTREAM_MS = 10_000;
/** Dovecot without what `dovecot/stage-store.conf` does about reading only. */
const BARE = `
protocol imap {
  mail_plugins =
}
namespace inbox {
  location = imapc:~/mairust
}
`;

let site: ClientSite;
let bare: Front;

before(async () => {
  site = await startClientSite();
  bare = await startFront(site.sidecar, await site.folder("b"), BARE);
  assert.equal((await site.sidecar.mairust(["account", "add", USER])).code, 0);
  // One after the other: rows name UIDs.
  for (let i = 0; i < ROW_MESSAGES; i++) {
    const place = { account: USER, mailbox: "INBOX" };
    const [uid] = await site.api.addAll([
      { ...place, bytes: generated(i), flags: flagsOf(i), date: dateOf(i) },
    ]);
    assert.equal(uid, i + 1);
  }
});
after(async () => {
  await bare?.stop();
  await site?.stop();
});

/** What went upstream since the last reset, without imapc's idling. */
function asked(upstream: WireProxy): readonly string[] {
  return upstream
    .commands()
    .map(({ text }) => text)
    .filter(text => text !== "IDLE" && text !== "DONE");
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = deadlineAfter(UPSTREAM_MS);
  while (!condition() && deadline.remainingMs() > 0) await sleep(5);
  deadline.dispose();
}

const textOf = ({ lines, status, text }: Answer) => [...lines, `${status} ${text}`].join("\n");

async function checkRow(client: RawImap, upstream: WireProxy, row: ImapcRow): Promise<void> {
  upstream.reset();
  const answer = textOf(await client.command(row.client, row.literal));
  const listed = () => asked(upstream).filter(text => row.mayList !== true || text !== 'LIST "" "*"');
  await until(() => listed().length >= row.upstream.length);
  const sent = listed();
  const fits =
    sent.length === row.upstream.length &&
    row.upstream.every((wanted, i) =>
      typeof wanted === "string" ? sent[i] === wanted : wanted.test(sent[i] ?? ""),
    );
  assert.ok(fits, `${row.client} sent upstream:\n${sent.join("\n")}\nexpected:\n${row.upstream.join("\n")}`);
  assert.match(answer, row.answer, row.client);
}

/** A session that ended says goodbye upstream a moment later: that belongs to no row of the next one. */
async function quiet(upstream: WireProxy): Promise<void> {
  await until(() => upstream.open() === 0);
  upstream.reset();
}

async function checkRows(port: number, upstream: WireProxy, rows: readonly ImapcRow[]): Promise<void> {
  await quiet(upstream);
  const client = await RawImap.open(port);
  try {
    assert.equal((await client.command(`LOGIN ${USER} ${PASSWORD}`)).status, "OK");
    for (const row of rows) await checkRow(client, upstream, row);
  } finally {
    await client.close();
  }
}

test("a login at Dovecot asks nothing of the service (delay-login)", async () => {
  await quiet(site.upstream);
  const client = await RawImap.open(site.dovecot.imapPort);
  await client.command(`LOGIN ${USER} ${PASSWORD}`);
  await client.command("NOOP");
  assert.deepEqual(asked(site.upstream), []);
  assert.equal(site.upstream.counts().connections, 0);
  await client.close();
});

test("reading: each command goes upstream as known, and is answered rightly", () =>
  checkRows(site.dovecot.imapPort, site.upstream, READING));

test("the master user logs in with an authorization identity, and the same session id is told by ID", async () => {
  await quiet(site.upstream);
  const client = await RawImap.open(site.dovecot.imapPort);
  await client.command(`LOGIN ${USER} ${PASSWORD}`);
  await client.command('LIST "" "*"');
  const plain = asked(site.upstream).find(text => text.startsWith("AUTHENTICATE PLAIN ")) ?? "";
  const [authorize, user, password] = Buffer.from(plain.slice(19), "base64").toString().split("\0");
  assert.deepEqual([authorize, user, password], [USER, "dovecot", site.sidecar.masterPassword]);
  await client.close();
});

test("writing, as shipped: nothing reaches the service; \\Seen stays in Dovecot", () =>
  checkRows(site.dovecot.imapPort, site.upstream, WRITING_SHIPPED));

test("writing without ACL and private index: the service refuses each with a text that says where to go", () =>
  checkRows(bare.dovecot.imapPort, bare.upstream, WRITING_BARE));

test("SELECT through Dovecot begins to IDLE upstream; new mail is told and costs two fetches", async () => {
  await quiet(site.upstream);
  const client = await RawImap.open(site.dovecot.imapPort);
  const lmtp = await LmtpTestClient.open(site.sidecar.lmtpPort);
  try {
    await client.command(`LOGIN ${USER} ${PASSWORD}`);
    site.upstream.reset();
    await client.command("SELECT INBOX");
    client.send("i IDLE");
    await client.line(/^\+/u);
    await until(() => site.upstream.commands().some(({ text }) => text === "IDLE"));
    await until(() => site.upstream.responses().some(line => line.startsWith("+")));
    site.upstream.reset();
    await lmtp.deliver([USER], Buffer.from("Subject: pushed\r\n\r\nx\r\n"), "QPUSH");
    assert.equal(await client.line(/EXISTS/u), `* ${ROW_MESSAGES + 1} EXISTS`);
    await until(() => site.upstream.commands().at(-1)?.text === "IDLE");
    const uid = ROW_MESSAGES + 1;
    const texts = site.upstream.commands().map(({ text }) => text);
    assert.deepEqual(texts, ["DONE", `UID FETCH ${uid}:* (FLAGS)`, `UID FETCH ${uid} (RFC822.SIZE)`, "IDLE"]);
    client.send("DONE");
    await client.line(/^i OK/u);
  } finally {
    lmtp.close();
    await client.close();
  }
});
