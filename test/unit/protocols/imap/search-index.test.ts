/** SEARCH with an index answers what SEARCH without one answers, whatever the mail and however much of it is indexed. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gramsOfNeedle, type Where } from "../../../../src/core/mail-text/grams.ts";
import { planIndex } from "../../../../src/core/mail-text/index-plan.ts";
import { indexText } from "../../../../src/core/mail-text/index-text.ts";
import type { BodyIndex, IndexQuery } from "../../../../src/core/ports/body-index.ts";
import { SeededRandom } from "../../../lib/random.ts";
import { needle, oddMail } from "../../../lib/search-mail.ts";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";
import type { MemoryStore } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** The index as the store keeps it, in memory. */
class MemoryIndex implements BodyIndex {
  readonly texts = new Map<number, { readonly complete: boolean; readonly grams: ReadonlySet<number> }>();
  asked = 0;

  async add(store: MemoryStore, uid: number): Promise<void> {
    const row = store.inbox.row(uid);
    assert.ok(row !== undefined);
    const { pieces, complete } = planIndex(row.structure, row.headerBytes);
    const chunks: Uint8Array[] = [];
    for await (const chunk of store.blobs.get(row.blob)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const text = indexText(
      pieces.map(piece => ({ ...piece, bytes: bytes.subarray(piece.start, piece.end) })),
    );
    this.texts.set(uid, { complete: complete && text.complete, grams: new Set(text.grams) });
  }

  async candidates(
    _: unknown,
    uids: Uint32Array,
    { folded, where }: IndexQuery,
  ): Promise<Uint32Array | undefined> {
    this.asked += 1;
    const places: readonly Where[] = where === "text" ? ["header", "body"] : [where];
    const wanted = places.map(place => gramsOfNeedle(folded, place));
    if (wanted.some(grams => grams.length === 0)) return undefined;
    return uids.filter(uid => {
      const text = this.texts.get(uid);
      return text?.complete !== true || wanted.some(grams => grams.every(gram => text.grams.has(gram)));
    });
  }
}

async function pair(messages: readonly Buffer[]) {
  const plain = await startTestServer();
  const index = new MemoryIndex();
  const indexed = await startTestServer({ store: plain.store, parts: () => ({ bodyIndex: index }) });
  servers.push(plain, indexed);
  for (const message of messages) plain.store.inbox.deliver(message);
  const open = async (server: TestServer) => {
    const client = await server.user();
    await client.command("SELECT INBOX");
    return client;
  };
  return { store: plain.store, index, plain: await open(plain), indexed: await open(indexed) };
}

const literal = (text: string) => {
  const octets = Buffer.from(text);
  return `{${octets.length}+}\r\n${octets.toString("latin1")}`;
};

function randomKey(random: SeededRandom): string {
  const key = random.pick(["BODY", "TEXT", "SUBJECT", "FROM", "HEADER x-odd"]);
  const one = `${key} ${literal(needle(random))}`;
  if (random.chance(0.2)) return `NOT ${one}`;
  return random.chance(0.2) ? `OR ${one} BODY ${literal(needle(random))}` : one;
}

test("the index leaves out nothing that reading every message finds, absent, half made, and whole", async () => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const random = new SeededRandom(seed);
    const { store, index, plain, indexed } = await pair(Array.from({ length: 30 }, () => oddMail(random)));
    store.blobs.chunkBytes = random.pick([1000, 65_536, 40_000]);
    let found = 0;
    const compare = async (state: string) => {
      for (let i = 0; i < 20; i += 1) {
        const key = randomKey(random);
        const [expected, done] = await plain.command(`UID SEARCH ${key}`);
        assert.deepEqual(
          await indexed.command(`UID SEARCH ${key}`),
          [expected, done],
          `${seed} ${state} ${key}`,
        );
        if (expected !== "* SEARCH") found += 1;
      }
    };
    await compare("absent");
    for (let uid = 1; uid <= 30; uid += 1) if (random.chance(0.5)) await index.add(store, uid);
    await compare("half");
    for (let uid = 1; uid <= 30; uid += 1) await index.add(store, uid);
    await compare("whole");
    assert.ok(found > 10 && index.asked > 40, `${found} ${index.asked}`);
  }
});

async function reads(store: MemoryStore, client: TestClient, key: string) {
  const get = store.blobs.get.bind(store.blobs);
  let blobs = 0;
  store.blobs.get = (digest, range) => {
    blobs += 1;
    return get(digest, range);
  };
  const [answer] = await client.command(`UID SEARCH ${key}`);
  store.blobs.get = get;
  return { answer, blobs };
}

test("only messages that may hold the text are read, also where it must not be there", async () => {
  const mail = Array.from({ length: 50 }, (_, i) =>
    Buffer.from(`Subject: message ${i}\r\nX-Odd: ${i}\r\n\r\n${i === 7 ? "platypus 会議" : "wombat"}\r\n`),
  );
  const { store, index, indexed } = await pair(mail);
  for (let uid = 1; uid <= 50; uid += 1) await index.add(store, uid);
  const others = Array.from({ length: 50 }, (_, i) => i + 1).filter(uid => uid !== 8);
  assert.deepEqual(await reads(store, indexed, "BODY platypus"), { answer: "* SEARCH 8", blobs: 1 });
  assert.deepEqual(await reads(store, indexed, `BODY ${literal("会議")}`), {
    answer: "* SEARCH 8",
    blobs: 1,
  });
  assert.deepEqual(await reads(store, indexed, "NOT BODY platypus"), {
    answer: `* SEARCH ${others.join(" ")}`,
    blobs: 1,
  });
  assert.deepEqual(await reads(store, indexed, "BODY echidna"), { answer: "* SEARCH", blobs: 0 });
  assert.deepEqual(await reads(store, indexed, "BODY message"), { answer: "* SEARCH", blobs: 0 });
  assert.deepEqual(await reads(store, indexed, "TEXT echidna"), { answer: "* SEARCH", blobs: 0 });
  store.rowRequests.length = 0;
  assert.equal((await reads(store, indexed, "SUBJECT platypus")).answer, "* SEARCH");
  assert.deepEqual(store.rowRequests, []);
});

test("a message that begins where its delivery's fields end is read all the same", async () => {
  const { store, index, plain, indexed } = await pair([]);
  for (let i = 0; i < 20; i += 1)
    store.inbox.deliver(" and a wallaby\r\nSubject: x\r\n\r\nbody\r\n", { prefix: "X-Odd: a kangaroo\r\n" });
  for (let uid = 1; uid <= 20; uid += 1) await index.add(store, uid);
  const [expected] = await plain.command("UID SEARCH TEXT wallaby");
  assert.notEqual(expected, "* SEARCH");
  assert.equal((await indexed.command("UID SEARCH TEXT wallaby"))[0], expected);
});
