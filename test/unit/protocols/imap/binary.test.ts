import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  servers.push(server);
  return server;
}

/** Of one leaf. */
const mail = (encoding: string, body: string) => `Content-Transfer-Encoding: ${encoding}\r\n\r\n${body}`;
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
/** As a literal, or as a literal8 where NUL wants it. */
const literal = (text: string) => `${text.includes("\0") ? "~" : ""}{${text.length}}\r\n${text}`;

/** Small limits, so that the second pass and the cuts between chunks are seen as well. */
async function answers(server: TestServer, message: string, ...items: string[]): Promise<string> {
  const { store, user } = server;
  const uid = store.inbox.deliver(message);
  const client = await user();
  await client.command("SELECT INBOX");
  const [answer] = await client.command(`UID FETCH ${uid} (${items.join(" ")})`);
  client.close();
  return (answer ?? "").replace(/^\* \d+ FETCH \(UID \d+ ?/u, "");
}

test("FETCH BINARY gives a part decoded, BINARY.SIZE its octets, for every encoding", async () => {
  for (const decodedBytes of [0, 262_144]) {
    const server = await started({ limits: { decodedBytes } });
    server.store.blobs.chunkBytes = 3;
    const cases = [
      ["base64", "AAEC/w==\r\n", "\0\x01\x02\xff"],
      ["Base64", "aGVs\r\nbG8", "hello"],
      ["base64", "aG!!Vs=\r\nbG8=", "hello"],
      ["quoted-printable", "a=3Db =\r\nc  \r\n=ZZ=00", "a=b c\r\n=ZZ\0"],
      ["8bit", "caf\xe9\r\n", "caf\xe9\r\n"],
      ["binary", "\0\r\n", "\0\r\n"],
      ["7bit", "", ""],
    ] as const;
    for (const [encoding, body, text] of cases) {
      const got = await answers(server, mail(encoding, body), "BINARY.PEEK[1]", "BINARY.SIZE[1]");
      assert.equal(got, `BINARY[1] ${literal(text)} BINARY.SIZE[1] ${text.length})`, `${encoding} ${body}`);
    }
  }
});

test("a partial BINARY is cut from the decoded octets, a literal8 only when they hold NUL", async () => {
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7) % 256));
  const message = mail("base64", bytes.toString("base64").replace(/.{60}/gu, "$&\r\n"));
  for (const decodedBytes of [0, 40, 262_144]) {
    const { store, user } = await started({ limits: { decodedBytes } });
    store.blobs.chunkBytes = 7;
    store.inbox.deliver(message);
    const client = await user();
    await client.command("SELECT INBOX");
    const range = fc.tuple(fc.nat(310), fc.integer({ min: 1, max: 310 }));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, length]) => {
        const [answer] = await client.command(`FETCH 1 BINARY[1]<${offset}.${length}>`);
        const text = latin1(bytes.subarray(offset, offset + length));
        assert.equal(answer, `* 1 FETCH (BINARY[1]<${offset}> ${literal(text)})`);
      }),
      { numRuns: 60 },
    );
  }
});

test("BINARY of the whole message, of a multipart and of an attached message gives it as it is", async () => {
  const server = await started();
  const inner = "Subject: in\r\n\r\ntext";
  const body = `--b\r\nContent-Type: message/rfc822\r\n\r\n${inner}\r\n--b--\r\n`;
  const message = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${body}`;
  assert.equal(
    await answers(server, message, "BINARY[]", "BINARY.SIZE[]", "BINARY[1]", "BINARY[2]", "BINARY.SIZE[2]"),
    `BINARY[] ${literal(message)} BINARY.SIZE[] ${message.length} BINARY[1] ${literal(inner)} BINARY[2] NIL BINARY.SIZE[2] 0)`,
  );
});

test("a part whose encoding nobody knows is NO [UNKNOWN-CTE], and the others are sent", async () => {
  const { store, user, recorded } = await started();
  store.inbox.deliver(mail("x-uuencode", "begin 644 a\r\n"));
  store.inbox.deliver(mail("base64", "YQ=="));
  const client = await user();
  await client.command("SELECT INBOX");
  for (const item of ["BINARY[1]", "BINARY.SIZE[1]"]) {
    const lines = await client.command(`FETCH 1:2 ${item}`);
    assert.equal(lines.at(-1), `NO [UNKNOWN-CTE] The transfer encoding of ${item} is unknown`);
    assert.equal(lines.length, 2);
  }
  assert.deepEqual(recorded.unreadable, [], "a message that is whole was counted as unreadable");
});

test("a large BINARY is sent in bounded memory, decoded anew, and a break inside ends the connection", async () => {
  const { store, user, queued } = await started({ limits: { decodedBytes: 1000, outputQueueBytes: 65_536 } });
  const text = "0123456789ab\r\n".repeat(600_000);
  const encoded = Buffer.from(text).toString("base64");
  const uid = store.inbox.deliver(mail("base64", encoded));
  const client = await user();
  await client.command("SELECT INBOX");
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, queued());
  }, 1);
  const [answer] = await client.command("FETCH 1 BINARY[1]");
  clearInterval(watch);
  assert.equal(answer, `* 1 FETCH (BINARY[1] {${text.length}}\r\n${text})`);
  assert.ok(most < 1_000_000, `${most} octets were queued`);
  const row = store.inbox.row(uid);
  assert.ok(row !== undefined);
  store.blobs.damagedAfter.set(row.blob, 200_000);
  assert.match((await client.command("FETCH 1 BINARY[1]")).at(-1) ?? "", /^NO \[CORRUPTION\]/u);
});
