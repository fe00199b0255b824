import assert from "node:assert/strict";
import { after, test } from "node:test";
import { deadlineAfter, sleep } from "../../../../src/platform/deadline.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  servers.push(server);
  return server;
}

async function until(reached: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !reached() && performance.now() < end; ) await sleep(5);
  assert.ok(reached());
}

test("commands are refused in the wrong state", async () => {
  const { client, user } = await started();
  const stranger = await client();
  for (const command of [
    'LIST "" *',
    "SELECT INBOX",
    "FETCH 1 FLAGS",
    "SEARCH ALL",
    "IDLE",
    "CREATE x",
    "STATUS INBOX (MESSAGES)",
    "CLOSE",
    "CHECK",
    "APPEND x {3}",
  ]) {
    assert.deepEqual(await stranger.command(command), ["BAD Log in first"], command);
  }
  const known = await user();
  for (const command of [
    "FETCH 1 FLAGS",
    "SEARCH ALL",
    "CLOSE",
    "UNSELECT",
    "CHECK",
    "STORE 1 FLAGS (\\Seen)",
    "EXPUNGE",
  ]) {
    assert.deepEqual(await known.command(command), ["BAD Select a mailbox first"], command);
  }
  assert.deepEqual(await known.command("LOGIN a b"), ["BAD Already logged in"]);
});

test("every command that would change mail is NO with a text that says where to go", async () => {
  const { user, recorded } = await started({ config: { readOnlyHint: "visit https://mail.test" } });
  const client = await user();
  await client.command("SELECT INBOX");
  for (const command of [
    "STORE 1 +FLAGS (\\Seen)",
    "UID STORE 1 +FLAGS.SILENT (\\Deleted)",
    "COPY 1 x",
    "UID COPY 1 x",
    "MOVE 1 x",
    "UID MOVE 1 x",
    "EXPUNGE",
    "UID EXPUNGE 1",
    "CREATE x",
    "DELETE x",
    "RENAME x y",
    "APPEND x {5}",
    "APPEND x (\\Seen) {5+}\r\nabc\r\n",
  ]) {
    const answers = await client.command(command);
    assert.equal(answers.length, 1);
    assert.match(
      String(answers[0]),
      /^NO \[NOPERM\] .*read-only over IMAP: visit https:\/\/mail\.test$/u,
      command,
    );
  }
  assert.ok(recorded.commands.includes("append no"));
});

test("SELECT and EXAMINE are read-only, and a failed one leaves nothing selected", async () => {
  const { store, user } = await started();
  store.inbox.deliver("a: b\r\n\r\n", { flags: { system: 1, keywords: [] } });
  store.inbox.deliver("a: b\r\n\r\n");
  const client = await user();
  assert.deepEqual(await client.command("SELECT INBOX"), [
    "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
    "* 2 EXISTS",
    "* 0 RECENT",
    "* OK [UNSEEN 2] First unseen",
    "* OK [PERMANENTFLAGS ()] Read-only mailbox",
    "* OK [UIDVALIDITY 1700000000] UIDs valid",
    "* OK [UIDNEXT 3] Predicted next UID",
    "* OK [HIGHESTMODSEQ 3] Highest",
    "* OK [MAILBOXID (F1)] Of this mailbox",
    "OK [READ-ONLY] SELECT completed",
  ]);
  assert.equal((await client.command("EXAMINE inbox")).at(-1), "OK [READ-ONLY] EXAMINE completed");
  assert.equal(store.inbox.holders, 1);
  assert.deepEqual(await client.command("SELECT nowhere"), [
    "* OK [CLOSED] Previous mailbox is closed",
    "NO [NONEXISTENT] no such mailbox",
  ]);
  assert.equal(store.inbox.holders, 0);
  assert.deepEqual(await client.command("FETCH 1 FLAGS"), ["BAD Select a mailbox first"]);
});

test("news comes with NOOP and UID commands, never during FETCH and SEARCH by number", async () => {
  const { store, user } = await started();
  for (let i = 0; i < 4; i += 1) store.inbox.deliver(`Subject: ${i}\r\n\r\n`);
  const client = await user();
  await client.command("SELECT INBOX");
  store.inbox.expunge(1, 3);
  store.inbox.deliver("Subject: new\r\n\r\n");
  store.inbox.setFlags(4, { system: 2, keywords: ["urgent"] });
  assert.deepEqual(await client.command("FETCH 4 (UID FLAGS)"), [
    "* 4 FETCH (UID 4 FLAGS ())",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("SEARCH ALL"), ["* SEARCH 1 2 3 4", "OK SEARCH completed"]);
  assert.deepEqual(await client.command("NOOP"), [
    "* 3 EXPUNGE",
    "* 1 EXPUNGE",
    "* 3 EXISTS",
    "* 0 RECENT",
    "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft urgent)",
    "* 2 FETCH (UID 4 FLAGS (\\Answered urgent))",
    "OK NOOP completed",
  ]);
  store.inbox.expunge(2);
  assert.deepEqual(await client.command("UID FETCH 4 RFC822.SIZE"), [
    "* 1 EXPUNGE",
    `* 1 FETCH (UID 4 RFC822.SIZE ${"Subject: 3\r\n\r\n".length})`,
    "OK FETCH completed",
  ]);
});

test("a message that vanished while it was fetched by number is told as RFC 5530 says", async () => {
  const { store, user } = await started();
  store.inbox.deliver("Subject: a\r\n\r\n");
  store.inbox.deliver("Subject: b\r\n\r\n");
  const client = await user();
  await client.command("SELECT INBOX");
  store.inbox.expunge(1);
  const answers = await client.command("FETCH 1:2 RFC822.SIZE");
  assert.deepEqual(answers, ["* 2 FETCH (RFC822.SIZE 14)", "NO [EXPUNGEISSUED] Some messages were expunged"]);
});

test("IDLE tells news at once and ends with DONE", async () => {
  const { store, user } = await started();
  store.inbox.deliver("Subject: a\r\n\r\n");
  const client = await user();
  await client.command("SELECT INBOX");
  store.inbox.deliver("Subject: before idle\r\n\r\n");
  client.send("i IDLE\r\n");
  assert.equal(await client.line(), "+ idling");
  assert.equal(await client.line(), "* 2 EXISTS");
  await client.line();
  const startedAt = performance.now();
  store.inbox.deliver("Subject: b\r\n\r\n");
  assert.equal(await client.line(), "* 3 EXISTS");
  assert.ok(performance.now() - startedAt < 10_000);
  await client.line();
  store.inbox.expunge(1);
  assert.equal(await client.line(), "* 1 EXPUNGE");
  client.send("DONE\r\nj NOOP\r\n");
  assert.equal(await client.line(), "i OK IDLE completed");
  assert.equal(await client.line(), "j OK NOOP completed");
  assert.equal(store.inbox.listeners.size, 0);
  client.send("k IDLE\r\nFOO\r\n");
  assert.equal(await client.line(), "+ idling");
  assert.equal(await client.line(), "k BAD Expected DONE");
});

test("a mailbox whose UIDVALIDITY changed ends the session", async () => {
  const { store, user } = await started();
  const client = await user();
  await client.command("SELECT INBOX");
  store.inbox.uidValidity += 1;
  store.inbox.changed();
  assert.match(String((await client.command("NOOP")).at(-1)), /^NO /u);
  assert.match(await client.line(), /^\* BYE \[UNAVAILABLE\]/u);
  assert.equal(store.inbox.holders, 0);
});

test("pipelined commands are answered in order, also when the client has closed its side", async () => {
  const { store, client } = await started();
  store.inbox.deliver("Subject: a\r\n\r\nbody");
  const user = await client();
  user.socket.end(
    `a LOGIN ${store.account.address} ${PASSWORD}\r\nb SELECT INBOX\r\nc FETCH 1 BODY[TEXT]\r\nd NOOP\r\n`,
  );
  const tagged = (await user.rest()).split("\r\n").filter(line => /^[a-d] /u.test(line));
  assert.deepEqual(
    tagged.map(line => line.slice(0, 4)),
    ["a OK", "b OK", "c OK", "d OK"],
  );
});

test("twenty unparsable commands in a row close the connection, a good one in between forgives", async () => {
  const { user } = await started();
  const client = await user();
  for (let i = 0; i < 19; i += 1) assert.match(String(await client.command("FOO")), /^BAD /u);
  await client.command("NOOP");
  for (let i = 0; i < 20; i += 1) assert.match(String(await client.command("FETCH 1 (")), /^BAD /u);
  assert.equal(await client.line(), "* BYE Too many invalid commands");
  assert.equal(await client.rest(), "");
});

test("a command line of 1 MiB works after login and closes the connection before it", async () => {
  const { client, user } = await started();
  const known = await user();
  await known.command("SELECT INBOX");
  const list = Array.from({ length: 140_000 }, (_, i) => i + 100_000).join(",");
  assert.ok(list.length > 950_000 && list.length < 1_048_000);
  assert.deepEqual(await known.command(`UID FETCH ${list} (FLAGS)`), ["OK FETCH completed"]);
  known.send(`x NOOP ${"y".repeat(1_048_576)}`);
  assert.equal(await known.line(), "* BYE [TOOBIG] Command is too long");
  const stranger = await client();
  stranger.send(`x LOGIN ${"y".repeat(17_000)}`);
  assert.equal(await stranger.line(), "* BYE [TOOBIG] Command is too long");
  const other = await client();
  assert.deepEqual(await other.command("LOGIN {5000}"), ["NO [TOOBIG] Literal is too large"]);
});

test("the time to log in and the time without a command are bounded", async () => {
  const logins = await started({ limits: { loginTimeoutMs: 60 } });
  const slow = await logins.client();
  assert.equal(await slow.line(), "* BYE Too slow to log in");
  const { store, client, recorded } = await started({ limits: { idleTimeoutMs: 150 } });
  const quiet = await client();
  // All in one write: a machine that pauses between two of them makes a silence of its own.
  quiet.send(`l LOGIN ${store.account.address} ${PASSWORD}\r\ns SELECT INBOX\r\ni IDLE\r\n`);
  let line = await quiet.line();
  while (/^(?:l OK|s OK|\* (?!BYE))/u.test(line)) line = await quiet.line();
  assert.equal(line, "+ idling");
  assert.equal(await quiet.line(), "* BYE Nothing heard for too long");
  slow.socket.end();
  quiet.socket.end();
  await until(() => logins.recorded.connections + recorded.connections === 0);
});

test("a client that takes nothing for too long is cut", async () => {
  const { store, user, recorded } = await started({ limits: { stallTimeoutMs: 60 } });
  store.inbox.deliver(Buffer.alloc(20_000_000, "m"));
  const client = await user();
  await client.command("SELECT INBOX");
  client.socket.pause();
  client.send("z FETCH 1 BODY[]\r\n");
  await until(() => recorded.connections === 0);
  assert.ok(recorded.commands.includes("fetch gone"));
});

test("a peer that does not close after BYE is cut", async () => {
  const { user, recorded } = await started({ limits: { lingerMs: 40 } });
  const client = await user();
  client.socket.allowHalfOpen = true;
  assert.deepEqual(await client.command("LOGOUT"), ["* BYE Logging out", "OK LOGOUT completed"]);
  await until(() => recorded.connections === 0);
});

test("connections are limited in all and per account", async () => {
  const { client, user, recorded } = await started({ config: { connections: 4, connectionsPerUser: 2 } });
  const first = await user();
  await user();
  const third = await client();
  assert.deepEqual(await third.command(`LOGIN ann@a.test ${PASSWORD}`), [
    "NO [LIMIT] Too many connections of this account",
  ]);
  first.close();
  await until(() => recorded.connections === 2);
  assert.match(String(await third.command(`LOGIN ann@a.test ${PASSWORD}`)), /^OK /u);
  await client();
  await client();
  const tooMany = await client();
  assert.equal(await tooMany.rest(), "");
});

test("drain lets commands finish, ends waiting sessions, and IDLE last", async () => {
  const { store, user, server } = await started();
  store.inbox.deliver(Buffer.alloc(3_000_000, "m"));
  const [idle, quiet, busy] = [await user(), await user(), await user()];
  for (const client of [idle, busy]) await client.command("SELECT INBOX");
  idle.send("i IDLE\r\n");
  await idle.line();
  const order: string[] = [];
  for (const [name, client] of Object.entries({ idle, quiet, busy }))
    client.socket.on("end", () => order.push(name));
  let release: () => void = () => undefined;
  const held = new Promise<void>(resolve => {
    release = resolve;
  });
  let reads = 0;
  const get = store.blobs.get.bind(store.blobs);
  store.blobs.get = async function* (digest, range) {
    reads += 1;
    await held;
    yield* get(digest, range);
  };
  busy.send("f FETCH 1 BODY[]\r\n");
  await until(() => reads > 0);
  const deadline = deadlineAfter(60_000);
  const drained = server.drain(deadline);
  assert.equal(await quiet.line(), "* BYE Server is shutting down");
  await sleep(40);
  assert.deepEqual(order, ["quiet"], "a running command and an IDLE go on");
  release();
  const rest = await busy.rest();
  assert.match(rest.slice(-100), /f OK FETCH completed\r\n\* BYE Server is shutting down\r\n$/u);
  assert.equal(await idle.line(), "* BYE Server is shutting down");
  assert.equal(await drained, 0);
  deadline.dispose();
  assert.deepEqual(order, ["quiet", "busy", "idle"]);
});

test("drain cuts what is left at the deadline", async () => {
  const { store, user, server, queued } = await started();
  store.inbox.deliver(Buffer.alloc(20_000_000, "m"));
  const client = await user();
  await client.command("SELECT INBOX");
  client.socket.pause();
  client.send("f FETCH 1 BODY[]\r\n");
  await until(() => queued() > 0);
  const deadline = deadlineAfter(60);
  assert.equal(await server.drain(deadline), 1);
  deadline.dispose();
  assert.equal(server.connections(), 0);
});

test("an error of the store is NO and logged, and the session goes on", async () => {
  const { store, user, recorded } = await started();
  const client = await user();
  store.status = () => Promise.reject(new Error("connection lost"));
  assert.deepEqual(await client.command("STATUS INBOX (MESSAGES)"), [
    "NO [SERVERBUG] Internal error, see the server's log",
  ]);
  assert.ok(recorded.logs.some(line => line.startsWith("error imap command failed")));
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
});
