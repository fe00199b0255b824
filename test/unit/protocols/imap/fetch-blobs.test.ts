/** Messages as files, read over TLS by clients that are slow, that are quick and that leave: every octet is the message's own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { ByteRange } from "../../../../src/core/ports/blobs.ts";
import { ServerTls } from "../../../../src/platform/tls-server.ts";
import { type FsBlobStore, openFsBlobs } from "../../../../src/store/blobs-fs.ts";
import { type Certificate, makeCertificate } from "../../../lib/certificate.ts";
import { silentLog } from "../../../lib/database.ts";
import { SeededRandom } from "../../../lib/random.ts";
import { startTestServer, TestClient, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-imap-blobs-"));
const tls = new ServerTls(silentLog, "imap");
const random = new SeededRandom(7);
const messages: Buffer[] = [];
let certificate: Certificate;
let blobs: FsBlobStore;
let server: TestServer;

const line = () => `${random.whole(1, 1_000_000_000)} is a number like others, and this is a line\r\n`;
const text = (size: number) => {
  let made = "Subject: text\r\n\r\n";
  while (made.length < size) made += line();
  return Buffer.from(made.slice(0, size));
};
/** Too dense to be compressed. */
const noise = (size: number) => {
  const made = Buffer.alloc(size, "Subject: noise\r\n\r\n");
  for (let at = 18; at + 4 <= size; at += 4) made.writeUInt32LE(random.whole(0, 4_294_967_295), at);
  return made;
};

before(async () => {
  certificate = makeCertificate(folder, "mail.test");
  (await tls.prepare({ cert_file: certificate.path, key_file: certificate.keyPath }))();
  const path = join(folder, "blobs");
  blobs = await openFsBlobs({ path, compression: "brotli", minFreeBytes: () => 0, log: silentLog });
  const profile = { kind: "client", tls: "implicit" } as const;
  server = await startTestServer({ profile, parts: () => ({ tls, blobs }) });
  for (let i = 0; i < 3; i += 1) {
    for (const size of [100, 5000, 9000, 33_000, 130_000]) messages.push(text(size), noise(size + i));
    messages.push(noise(1_500_000 + i), text(1_200_000));
  }
  for (const message of messages) {
    const stage = blobs.stage();
    await stage.write(message);
    const staged = await stage.finish();
    await staged.persist();
    await staged.discard();
    server.store.inbox.deliver(message, { prefix: "X-Here: 1\r\n" });
  }
});
after(async () => {
  await server.close();
  await blobs.close();
  tls.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function secured(): Promise<TLSSocket> {
  const socket = connect({
    port: server.port,
    host: "127.0.0.1",
    servername: "mail.test",
    ca: [certificate.cert],
  });
  await once(socket, "secureConnect");
  return socket;
}

async function selected(): Promise<TestClient> {
  const client = new TestClient(await secured());
  await client.line();
  await client.command(`LOGIN ${server.store.account.address} ${PASSWORD}`);
  await client.command("SELECT INBOX");
  return client;
}

const sentOf = (index: number) =>
  Buffer.concat([Buffer.from("X-Here: 1\r\n"), messages[index] ?? Buffer.alloc(0)]);

async function readAll(client: TestClient, tag: string): Promise<void> {
  client.send(`${tag} FETCH 1:* BODY.PEEK[]\r\n`);
  for (let i = 0; i < messages.length; i += 1) {
    const expected = sentOf(i);
    assert.equal(await client.line(), `* ${i + 1} FETCH (BODY[] {${expected.length}}`);
    assert.ok((await client.octets(expected.length)).equals(expected), `message ${i + 1}`);
    assert.equal(await client.line(), ")");
  }
  assert.equal(await client.line(), `${tag} OK FETCH completed`);
}

/** Ranges of messages in any order, header and all. */
async function readParts(client: TestClient, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const index = random.whole(0, messages.length - 1);
    const whole = sentOf(index);
    const cut: ByteRange = { start: random.whole(0, whole.length), end: random.whole(1, 200_000) };
    const expected = whole.subarray(cut.start, cut.start + cut.end);
    client.send(`p${i} FETCH ${index + 1} BODY.PEEK[]<${cut.start}.${cut.end}>\r\n`);
    assert.equal(await client.line(), `* ${index + 1} FETCH (BODY[]<${cut.start}> {${expected.length}}`);
    assert.ok(
      (await client.octets(expected.length)).equals(expected),
      `${cut.start} of message ${index + 1}`,
    );
    assert.equal(await client.line(), ")");
    assert.match(await client.line(), /^p\d+ OK/u);
  }
}

test("a slow reader over TLS gets every octet while others read, and leave", {
  timeout: 120_000,
}, async () => {
  const slow = await selected();
  const { socket } = slow;
  socket.on("data", () => {
    socket.pause();
    setTimeout(() => socket.resume(), 1);
  });
  const leaving = (async () => {
    for (let i = 0; i < 20; i += 1) {
      const client = await selected();
      client.send(`l FETCH ${1 + (i % 12)}:* BODY.PEEK[]\r\n`);
      await client.octets(random.whole(1, 300_000));
      client.close();
    }
  })();
  const quick = await Promise.all([selected(), selected(), selected()]);
  await Promise.all([
    readAll(slow, "s"),
    ...quick.map(async (client, i) => {
      if (i === 0) await readParts(client, 60);
      else for (let round = 0; round < 3; round += 1) await readAll(client, `q${round}`);
    }),
    leaving,
  ]);
  for (const client of [slow, ...quick]) client.close();
  const end = performance.now() + 20_000;
  while ((server.open() > 0 || openBlobs() > 0) && performance.now() < end)
    await new Promise(resolve => setTimeout(resolve, 5));
  assert.deepEqual([server.open(), openBlobs()], [0, 0], "connections and files that stayed open");
  assert.deepEqual(server.recorded.unreadable, []);
});

function openBlobs(): number {
  const paths = readdirSync("/proc/self/fd").map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  // Folders are kept open for fsync.
  return paths.filter(
    path => /\/blobs\/[0-9a-f]{2}\/./u.test(path.slice(folder.length)) && path.startsWith(folder),
  ).length;
}
