/** SORT and THREAD where they meet the rest: `$`, MODSEQs, expunges, IMAP4rev2 (RFC 5256 §3, RFC 5182 §2.1, RFC 7162 §3.1.6). */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { MessageOrder } from "../../../../src/core/ports/message-order.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import type { MemoryStore } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** The last message first; each a thread of its own. What was expunged is not there, as in the store. */
function lastFirst({ inbox }: MemoryStore): MessageOrder {
  const there = (uids: Uint32Array) => uids.filter(uid => inbox.row(uid) !== undefined);
  return {
    sort: async (_, uids) => there(uids).toReversed(),
    threads: (_, uids, work) =>
      work(
        (async function* () {
          yield [...there(uids)].map(uid => ({ uid, sentS: uid, subject: 0, isReply: false, ids: [uid] }));
        })(),
      ),
  };
}

/** UIDs 2, 4, 6, 8 with MODSEQs 2, 3, 4, 5; 4 and 8 are flagged. */
async function started() {
  const server = await startTestServer({
    profile: { kind: "client" },
    parts: store => ({ order: lastFirst(store) }),
  });
  servers.push(server);
  const { inbox } = server.store;
  for (const uid of [2, 4, 6, 8])
    inbox.deliver("Subject: a\r\n\r\n", { uid, flags: { system: uid % 4 === 0 ? 4 : 0, keywords: [] } });
  const client = await server.user();
  await client.command("SELECT INBOX");
  return { client, inbox };
}

const SORTED = "OK SORT completed";
const THREADED = "OK THREAD completed";

test("SORT by MODSEQ tells the highest of what it found, and makes the session one that knows of MODSEQs", async () => {
  const { client, inbox } = await started();
  assert.deepEqual(await client.command("SORT (DATE) UTF-8 MODSEQ 3 SMALLER 1000"), [
    "* OK [HIGHESTMODSEQ 5] Highest",
    "* SORT 4 3 2 (MODSEQ 5)",
    SORTED,
  ]);
  assert.deepEqual(await client.command("UID SORT (SUBJECT) UTF-8 MODSEQ 3 UID 2:6"), [
    "* SORT 6 4 (MODSEQ 4)",
    SORTED,
  ]);
  assert.deepEqual(await client.command("UID SORT (DATE) UTF-8 MODSEQ 99"), ["* SORT", SORTED]);
  inbox.setFlags(2, { system: 1, keywords: [] });
  assert.deepEqual(await client.command("NOOP"), [
    "* 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (6))",
    "OK NOOP completed",
  ]);
});

test("SORT and THREAD take $ by UID, also when numbers changed, and IMAP4rev2 does not change their answers", async () => {
  const { client, inbox } = await started();
  await client.command("ENABLE IMAP4rev2");
  assert.deepEqual(await client.command("SEARCH RETURN (SAVE) 2:4"), ["OK SEARCH completed"]);
  assert.deepEqual(await client.command("SORT (DATE) UTF-8 $"), ["* SORT 4 3 2", SORTED]);
  inbox.expunge(2, 6);
  // Numbers are in use: no news, and what went is not sorted.
  assert.deepEqual(await client.command("SORT (DATE) UTF-8 $"), ["* SORT 4 2", SORTED]);
  assert.deepEqual(await client.command("THREAD REFERENCES UTF-8 $ FLAGGED"), ["* THREAD (2)(4)", THREADED]);
  assert.deepEqual(await client.command("UID THREAD REFERENCES UTF-8 UID $"), [
    "* 3 EXPUNGE",
    "* 1 EXPUNGE",
    "* THREAD (4)(8)",
    THREADED,
  ]);
  assert.deepEqual(await client.command("SORT (DATE) UTF-8 $"), ["* SORT 2 1", SORTED]);
});

test("numbers in UID SORT and UID THREAD mean what was announced: news come behind", async () => {
  const { client, inbox } = await started();
  inbox.expunge(2);
  assert.deepEqual(await client.command("UID SORT (DATE) UTF-8 1:2"), ["* SORT 4", "* 1 EXPUNGE", SORTED]);
  inbox.expunge(4);
  assert.deepEqual(await client.command("UID THREAD REFERENCES UTF-8 1:2"), [
    "* THREAD (6)",
    "* 1 EXPUNGE",
    THREADED,
  ]);
});
