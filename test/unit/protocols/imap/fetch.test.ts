import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../../../src/platform/deadline.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/imap/limits.ts";
import { snapshotOf } from "../../../lib/snapshots.ts";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  servers.push(server);
  return server;
}

const PREFIX = "Return-Path: <s@b.test>\r\nDelivered-To: ann@a.test\r\n";
const HEADER = "Subject: hi\r\nX-Long: a\r\n b\r\nTo: c@d.test\r\n\r\n";

test("FETCH gives every section of a message, prefix first, with exact sizes", async () => {
  const { store, user } = await started();
  store.inbox.deliver(`${HEADER}body\0\r\n.\nend`, { prefix: PREFIX });
  const client = await user();
  await client.command("SELECT INBOX");
  const [all] = await client.command(
    "FETCH 1 (RFC822.SIZE BODY[] BODY[HEADER] BODY[TEXT] RFC822.TEXT BODY[1])",
  );
  const body = "body\0\r\n.\nend";
  const whole = PREFIX + HEADER + body;
  const literal = (text: string) => `{${text.length}}\r\n${text}`;
  assert.equal(
    all,
    `* 1 FETCH (RFC822.SIZE ${whole.length} BODY[] ${literal(whole)} BODY[HEADER] ${literal(PREFIX + HEADER)} ` +
      `BODY[TEXT] ${literal(body)} RFC822.TEXT ${literal(body)} BODY[1] ${literal(body)})`,
  );
  const [fields] = await client.command("UID FETCH 1 BODY.PEEK[HEADER.FIELDS (x-long RETURN-PATH)]");
  assert.equal(
    fields,
    `* 1 FETCH (UID 1 BODY[HEADER.FIELDS (x-long RETURN-PATH)] ${literal("Return-Path: <s@b.test>\r\nX-Long: a\r\n b\r\n\r\n")})`,
  );
  const [flags] = await client.command("FETCH 1 FLAGS");
  assert.equal(flags, "* 1 FETCH (FLAGS ())", "a body was fetched and \\Seen was not set");
});

test("BODY[1.MIME] of a message that is no multipart is its whole header, prefix first, as BODY[HEADER] is", async () => {
  const { store, user } = await started();
  store.inbox.deliver(`${HEADER}body`, { prefix: PREFIX });
  store.inbox.deliver(
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nX-Part: 1\r\n\r\nbody\r\n--x--\r\n",
    {
      prefix: PREFIX,
    },
  );
  const client = await user();
  await client.command("SELECT INBOX");
  const literal = (text: string) => `{${text.length}}\r\n${text}`;
  const cases = [
    ["FETCH 1 BODY.PEEK[1.MIME]", `* 1 FETCH (BODY[1.MIME] ${literal(PREFIX + HEADER)})`],
    ["FETCH 1 BODY.PEEK[1.MIME]<3.9>", `* 1 FETCH (BODY[1.MIME]<3> ${literal(PREFIX.slice(3, 12))})`],
    ["FETCH 2 BODY.PEEK[1.MIME]", `* 2 FETCH (BODY[1.MIME] ${literal("X-Part: 1\r\n\r\n")})`],
  ] as const;
  for (const [command, answer] of cases) assert.equal((await client.command(command))[0], answer, command);
});

test("partial FETCH gives the same octets as cutting the whole section", async () => {
  const { store, user } = await started();
  const text = `${HEADER}${"0123456789".repeat(20)}`;
  store.inbox.deliver(text, { prefix: PREFIX });
  store.blobs.chunkBytes = 7;
  const whole = PREFIX + text;
  const client = await user();
  await client.command("SELECT INBOX");
  await fc.assert(
    fc.asyncProperty(
      fc.nat(whole.length + 5),
      fc.integer({ min: 1, max: whole.length + 5 }),
      async (offset, length) => {
        const [response] = await client.command(`FETCH 1 BODY[]<${offset}.${length}>`);
        const cut = whole.slice(offset, offset + length);
        assert.equal(response, `* 1 FETCH (BODY[]<${offset}> {${cut.length}}\r\n${cut})`);
      },
    ),
    { numRuns: 60 },
  );
});

test("FETCH asks the store for no column that it does not need", async () => {
  const { store, user } = await started();
  store.inbox.deliver(`${HEADER}x`, { prefix: PREFIX });
  const client = await user();
  await client.command("SELECT INBOX");
  const wanted = async (items: string) => {
    store.rowRequests.length = 0;
    await client.command(`UID FETCH 1 (${items})`);
    return store.rowRequests.map(request =>
      Object.entries(request.fields).flatMap(([name, on]) => (on ? [name] : [])),
    );
  };
  assert.deepEqual(await wanted("FLAGS UID"), []);
  assert.deepEqual(await wanted("RFC822.SIZE INTERNALDATE"), [[]]);
  assert.deepEqual(await wanted("BODY[TEXT]"), [[]]);
  assert.deepEqual(await wanted("BODY[]"), [["prefix"]]);
  assert.deepEqual(await wanted("BODYSTRUCTURE"), [["structure"]]);
  assert.deepEqual(await wanted("BODY[HEADER.FIELDS (TO)]"), [["header", "prefix"]]);
});

test("UID FETCH (FLAGS) of 100 000 messages is exact and reads no row", async () => {
  const { store, user } = await started();
  const count = 100_000;
  const flags = { system: 9, keywords: ["work"] };
  store.inbox.pretend(
    snapshotOf(Array.from({ length: count }, (_, i) => ({ uid: i * 3 + 2, ...(i % 2 === 1 && { flags }) }))),
  );
  const client = await user();
  await client.command("SELECT INBOX");
  const expected = Array.from(
    { length: count },
    (_, i) => `* ${i + 1} FETCH (UID ${i * 3 + 2} FLAGS (${i % 2 === 0 ? "" : "\\Seen \\Deleted work"}))\r\n`,
  ).join("");
  client.send("z UID FETCH 1:* (FLAGS)\r\n");
  assert.ok((await client.octets(expected.length)).equals(Buffer.from(expected)));
  assert.equal(await client.line(), "z OK FETCH completed");
  assert.equal(store.rowRequests.length, 0);
});

test("a header too large for its row is read from the blob", async () => {
  const { store, user } = await started();
  const header = `Subject: big\r\n${"X-Filler: ".concat("y".repeat(70), "\r\n").repeat(1200)}\r\n`;
  store.inbox.deliver(`${header}b`);
  assert.equal(store.inbox.stored[0]?.row.header, null);
  const client = await user();
  await client.command("SELECT INBOX");
  const [whole] = await client.command("FETCH 1 BODY[HEADER]");
  assert.equal(whole, `* 1 FETCH (BODY[HEADER] {${header.length}}\r\n${header})`);
  const [field] = await client.command("FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]");
  assert.match(String(field), /\{16\}\r\nSubject: big\r\n\r\n\)$/u);
  assert.deepEqual(await client.command('SEARCH HEADER X-Filler "yyy" SUBJECT big'), [
    "* SEARCH 1",
    "OK SEARCH completed",
  ]);
});

test("a missing blob is NO with a text while other messages are sent", async () => {
  const { store, user, recorded } = await started();
  for (const text of ["one", "two", "three"]) store.inbox.deliver(`Subject: ${text}\r\n\r\n${text}`);
  const lost = store.inbox.stored[1]?.row.blob;
  assert.ok(lost !== undefined);
  store.blobs.remove(lost);
  const client = await user();
  await client.command("SELECT INBOX");
  const responses = await client.command("FETCH 1:3 BODY[TEXT]");
  assert.deepEqual(responses, [
    "* 1 FETCH (BODY[TEXT] {3}\r\none)",
    "* 3 FETCH (BODY[TEXT] {5}\r\nthree)",
    "NO [CORRUPTION] The message cannot be read: its data is missing",
  ]);
  assert.deepEqual(recorded.unreadable, ["refused"]);
  assert.ok(
    recorded.logs.some(line => line.startsWith("error imap message cannot be read") && line.includes(lost)),
  );
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
});

test("a blob that breaks inside its literal closes the connection and is counted", async () => {
  const { store, user, recorded } = await started();
  store.inbox.deliver(`Subject: big\r\n\r\n${"x".repeat(500_000)}`);
  const blob = store.inbox.stored[0]?.row.blob;
  assert.ok(blob !== undefined);
  store.blobs.damagedAfter.set(blob, 200_000);
  const client = await user();
  await client.command("SELECT INBOX");
  client.send("z FETCH 1 BODY[]\r\n");
  const rest = await client.rest();
  assert.ok(rest.startsWith("* 1 FETCH (BODY[] {500016}\r\n"));
  assert.ok(!rest.includes("z OK") && !rest.includes("z NO"));
  assert.deepEqual(recorded.unreadable, ["cut"]);
});

test("damage within the first stretch is found before the literal begins", async () => {
  const { store, user, recorded } = await started();
  store.inbox.deliver(`Subject: small\r\n\r\n${"x".repeat(50_000)}`);
  const blob = store.inbox.stored[0]?.row.blob;
  assert.ok(blob !== undefined);
  store.blobs.chunkBytes = 1000;
  store.blobs.damagedAfter.set(blob, 30_000);
  const client = await user();
  await client.command("SELECT INBOX");
  assert.deepEqual(await client.command("FETCH 1 BODY[]"), [
    "NO [CORRUPTION] The message cannot be read: its data is damaged",
  ]);
  assert.deepEqual(recorded.unreadable, ["refused"]);
});

test("a slow reader holds back the server, which queues little and sends all", async () => {
  const { store, user, queued } = await started();
  const size = 20_000_000;
  store.inbox.deliver(Buffer.alloc(size, "m"));
  let yielded = 0;
  const get = store.blobs.get.bind(store.blobs);
  store.blobs.get = async function* (digest, range) {
    for await (const chunk of get(digest, range)) {
      yielded += chunk.length;
      yield chunk;
    }
  };
  const client = await user();
  await client.command("SELECT INBOX");
  client.socket.pause();
  client.send("z FETCH 1 BODY[]\r\n");
  while (queued() === 0) await sleep(5);
  for (let before = -1; before !== yielded; ) {
    before = yielded;
    await sleep(200);
  }
  // What the kernel's socket buffers take is not ours; the queue in the process is.
  assert.ok(yielded < 12_000_000, `${yielded} octets were read for a client that takes none`);
  assert.ok(
    queued() > 0 && queued() <= DEFAULT_LIMITS.outputQueueBytes + 65_536,
    `${queued()} octets queued`,
  );
  client.socket.resume();
  assert.match(await client.line(), /^\* 1 FETCH \(BODY\[\] \{20000000\}$/u);
  assert.equal((await client.octets(size)).length, size);
  assert.equal(await client.line(), ")");
  assert.equal(await client.line(), "z OK FETCH completed");
});

test("what a client sends while a command runs is not read without end", async () => {
  const { store, user, received } = await started();
  store.inbox.deliver("Subject: a\r\n\r\nx");
  const client = await user();
  await client.command("SELECT INBOX");
  let release: () => void = () => undefined;
  const held = new Promise<void>(resolve => {
    release = resolve;
  });
  const get = store.blobs.get.bind(store.blobs);
  store.blobs.get = async function* (digest, range) {
    await held;
    yield* get(digest, range);
  };
  client.send(`f FETCH 1 BODY[]\r\n${"n NOOP\r\n".repeat(300_000)}`);
  await sleep(50);
  assert.ok(received() < 1_000_000, `${received()} octets were read ahead`);
  release();
  assert.equal(await client.line(), "* 1 FETCH (BODY[] {15}");
  client.close();
});

test("few messages are opened ahead of the one that is sent", async () => {
  const { store, user } = await started();
  for (let i = 0; i < 50; i += 1) store.inbox.deliver(`Subject: ${i}\r\n\r\n${"x".repeat(200_000)}`);
  let open = 0;
  let most = 0;
  const get = store.blobs.get.bind(store.blobs);
  store.blobs.get = async function* (digest, range) {
    open += 1;
    most = Math.max(most, open);
    try {
      yield* get(digest, range);
    } finally {
      open -= 1;
    }
  };
  const client = await user();
  await client.command("SELECT INBOX");
  await client.command("FETCH 1:* BODY[]");
  assert.ok(most <= Math.ceil(DEFAULT_LIMITS.readAhead.bytes / 200_000) + 1, `${most} blobs were open`);
  client.send("g FETCH 1:* BODY[]\r\n");
  await client.line();
  client.close();
  for (const end = performance.now() + 20_000; open > 0 && performance.now() < end; ) await sleep(5);
  assert.equal(open, 0, "a blob stayed open after the client left");
});

test("header fields are looked for in a bounded stretch of a header", async () => {
  const { store, user } = await started({ limits: { headerBytes: 70_000 } });
  store.inbox.deliver(
    `Subject: near\r\n${`X-Filler: ${"y".repeat(70)}\r\n`.repeat(1200)}To: far@b.test\r\n\r\nb`,
  );
  const client = await user();
  await client.command("SELECT INBOX");
  const [fields] = await client.command("FETCH 1 BODY[HEADER.FIELDS (SUBJECT TO)]");
  assert.match(String(fields), /\{15\}\r\nSubject: near\r\n\)$/u);
});

test("what one message's answer keeps in memory is bounded, however many items want its header", async () => {
  const { store, user } = await started({ limits: { fetchBytes: 3000 } });
  store.inbox.deliver(`X-Long: ${"a".repeat(900)}\r\n\r\nbody`);
  store.inbox.deliver("Subject: small\r\n\r\nbody");
  const client = await user();
  await client.command("SELECT INBOX");
  const items = (count: number) =>
    Array.from({ length: count }, () => "BODY.PEEK[HEADER.FIELDS.NOT (b)]").join(" ");
  assert.match((await client.command(`FETCH 1 (${items(3)})`)).at(-1) ?? "", /^OK/u);
  const answers = await client.command(`FETCH 1:2 (${items(4)})`);
  assert.match(answers[0] ?? "", /^\* 2 FETCH /u, "the other is told");
  assert.match(answers.at(-1) ?? "", /^NO \[TOOBIG\] Too much of one message/u);
});

test("HEADER.FIELDS takes as many names as clients send, and no list without end", async () => {
  const { store, user } = await started();
  store.inbox.deliver(`${HEADER}body`);
  const client = await user();
  await client.command("SELECT INBOX");
  const fetch = (count: number) =>
    client.command(`FETCH 1 BODY.PEEK[HEADER.FIELDS (${"a ".repeat(count - 1)}to)]`);
  assert.match((await fetch(250)).at(-1) ?? "", /^OK/u);
  assert.match((await fetch(251)).at(-1) ?? "", /^BAD Too many header field names/u);
});
