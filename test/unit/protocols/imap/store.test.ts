/** The grammar of STORE, and what it does over a writer that a test steers. Over the real store: `test/contract/imap/store*.test.ts`. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { MairustError } from "../../../../src/core/errors.ts";
import { changeFlags } from "../../../../src/core/flag-change.ts";
import type { FlagChange, FlagWriter } from "../../../../src/core/ports/flag-writer.ts";
import { FLAG_SEEN } from "../../../../src/core/ports/store.ts";
import { parseCommand } from "../../../../src/protocols/imap/command.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/imap/limits.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { sequenceSet } from "../../../lib/sequence-sets.ts";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";
import type { MemoryStore } from "./memory-store.ts";

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

const parsed = (text: string) => parseCommand(Buffer.from(`a ${text}`), DEFAULT_LIMITS).command;

test("STORE is read with and without parentheses, a sign, silence and a condition", () => {
  const common = { kind: "STORE", uid: false, unchangedSince: undefined, silent: false } as const;
  const set = sequenceSet("1");
  assert.deepEqual(parsed("STORE 1 FLAGS ()"), { ...common, set, op: "replace", flags: [] });
  assert.deepEqual(parsed("store 1 +flags \\Seen $Label1"), {
    ...{ ...common, set, op: "add" },
    flags: ["\\Seen", "$Label1"],
  });
  assert.deepEqual(parsed("UID STORE 2:*,7 (unchangedsince 12) -FLAGS.SILENT (a b)"), {
    ...{ kind: "STORE", uid: true, set: sequenceSet("2:*,7"), unchangedSince: 12 },
    ...{ op: "remove", silent: true, flags: ["a", "b"] },
  });
});

test("what is no STORE is BAD", () => {
  for (const text of [
    "STORE",
    "STORE 1",
    "STORE 1 FLAGS",
    "STORE 1 FLAGS (",
    "STORE 1 FLAGS (a",
    "STORE 1 FLAGS (a)x",
    "STORE 1 *FLAGS (a)",
    "STORE 1 +-FLAGS (a)",
    "STORE 1 FLAGS.LOUD (a)",
    "STORE 0 FLAGS (a)",
    "STORE 1 () FLAGS (a)",
    "STORE 1 (CHANGEDSINCE 1) FLAGS (a)",
    "STORE 1 (UNCHANGEDSINCE x) FLAGS (a)",
    "STORE 1 (UNCHANGEDSINCE 1 FLAGS (a)",
    "STORE 1 FLAGS ((a))",
    "STORE 1 FLAGS (\\)",
    'STORE 1 FLAGS ("a")',
  ])
    assert.throws(() => parsed(text), ImapSyntaxError, text);
});

/** Changes the memory store; `before` runs first, and says which UIDs are left as they are. */
function writerOver(
  store: MemoryStore,
  before: (change: FlagChange) => Promise<readonly number[] | undefined>,
): FlagWriter {
  return {
    async change(change) {
      const conflicts = (await before(change)) ?? [];
      const left = new Set(conflicts);
      const wanted = new Set(change.uids.filter(uid => !left.has(uid)));
      for (const { row, flags } of [...store.inbox.stored])
        if (wanted.has(row.uid)) store.inbox.setFlags(row.uid, changeFlags(flags, change.op, change.flags));
      return { conflicts, missing: [] };
    },
  };
}

async function started(
  count: number,
  before: (change: FlagChange) => Promise<readonly number[] | undefined>,
  flags: (i: number) => readonly string[] = () => [],
) {
  const server = await startTestServer({ parts: store => ({ writer: writerOver(store, before) }) });
  servers.push(server);
  for (let i = 0; i < count; i += 1)
    server.store.inbox.deliver("Subject: x\r\n\r\n", { flags: { system: 0, keywords: flags(i) } });
  const client = await server.user();
  await client.command("SELECT INBOX");
  return { server, client };
}

test("a client that leaves ends its STORE: no further page is begun", async () => {
  const pages: number[] = [];
  const { server, client } = await started(2500, async ({ uids }) => {
    pages.push(uids.length);
    client.socket.resetAndDestroy();
    // Until the server has heard of it.
    while (server.open() > 0) await new Promise(resolve => setImmediate(resolve));
  });
  client.send("x STORE 1:* +FLAGS.SILENT (\\Seen)\r\n");
  while (server.recorded.connections > 0 || pages.length === 0)
    await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(pages, [1000]);
});

test("a STORE that fails half way tells how far all is known, as one that does not", async () => {
  let pages = 0;
  const { server, client } = await started(1001, async () => {
    pages += 1;
    if (pages > 1) throw new MairustError("store_unavailable", "Cannot reach it");
    server.store.inbox.expunge(7);
  });
  await client.command("ENABLE CONDSTORE");
  const answers = await client.command("STORE 1:* +FLAGS.SILENT (\\Seen)");
  assert.match(
    answers.at(-1) ?? "",
    /^NO \[UNAVAILABLE\] What was named is changed up to message 1000, the rest is not/u,
  );
  assert.match(answers.at(-2) ?? "", /^\* OK \[HIGHESTMODSEQ 1002\]/u);
});

test("a STORE that fails half way does not say that it changed what others had changed meanwhile", async () => {
  const { client } = await started(1001, async ({ uids }) => {
    if (!uids.includes(1)) throw new MairustError("store_unavailable", "Cannot reach it");
    return [7];
  });
  const answers = await client.command("STORE 1:* (UNCHANGEDSINCE 2000) +FLAGS.SILENT (\\Seen)");
  assert.match(
    answers.at(-1) ?? "",
    /^NO \[UNAVAILABLE\] What was named is changed up to message 1000, but for what changed meanwhile, the rest is not: /u,
  );
  assert.deepEqual(
    answers.filter(line => line.includes("FLAGS (")),
    ["* 7 FETCH (UID 7 FLAGS () MODSEQ (8))"],
  );
});

const AWAY = new MairustError("store_unavailable", "Cannot ask the database", { publicText: "it is away" });

/** The tagged answer to a command, and what the next one is answered, which the session does not come to. */
async function toTheEnd(client: TestClient, command: string): Promise<readonly string[]> {
  const answers = await client.command(command);
  return [...answers.slice(-1), ...(await client.command("NOOP"))];
}

for (const silent of ["", ".SILENT"]) {
  test(`a STORE${silent} that was committed is OK when the mailbox cannot be read after it, and the session ends`, async () => {
    const { server, client } = await started(3, async () => {
      server.store.away = AWAY;
    });
    const answers = await toTheEnd(client, `STORE 1:* +FLAGS${silent} (\\Seen)`);
    assert.deepEqual(answers, [
      "OK STORE completed",
      "* BYE [UNAVAILABLE] Flags were changed, but the mailbox cannot be read again: open it anew",
      "",
    ]);
    assert.ok(server.store.inbox.stored.every(({ flags }) => flags.system === FLAG_SEEN));
    assert.equal(server.recorded.logs.filter(line => line.includes("cannot follow its change")).length, 1);
  });
}

test("a STORE whose mailbox cannot be read between two pages says how far it came, and the session ends", async () => {
  const { server, client } = await started(1001, async () => {
    server.store.away = AWAY;
  });
  assert.deepEqual(await toTheEnd(client, "UID STORE 1:* +FLAGS.SILENT (\\Seen)"), [
    "NO [UNAVAILABLE] What was named is changed up to UID 1000, the rest is not: it is away",
    "* BYE [UNAVAILABLE] Flags were changed, but the mailbox cannot be read again: open it anew",
    "",
  ]);
  const changed = server.store.inbox.stored.filter(({ flags }) => flags.system === FLAG_SEEN);
  assert.equal(changed.length, 1000);
});

for (const count of [3, 1001]) {
  test(`a STORE of ${count} messages of which nobody knows whether it was committed is neither OK nor NO`, async () => {
    const context = { outcome: "unknown" };
    const { client, server } = await started(count, async ({ uids }) => {
      if (uids.includes(count)) throw new MairustError("store_unavailable", "Cannot tell", { context });
    });
    assert.deepEqual(await client.command("STORE 1:* +FLAGS.SILENT (\\Seen)"), [
      "* BYE [UNAVAILABLE] It is not known whether STORE was carried out",
      "",
    ]);
    assert.ok(server.recorded.commands.includes("store gone"));
  });
}

test("a mailbox with too many different keywords takes no more, and says so; they can be taken away", async () => {
  const { client, server } = await started(
    1000,
    async () => undefined,
    i => [`k${i}`],
  );
  assert.match((await client.command("STORE 1 +FLAGS (one-more)")).at(-1) ?? "", /^NO \[LIMIT\] .*keywords/u);
  assert.deepEqual(server.store.inbox.stored[0]?.flags.keywords, ["k0"]);
  assert.match((await client.command("STORE 1 +FLAGS (k1)")).at(-1) ?? "", /^OK/u);
  assert.match((await client.command("STORE 2:* FLAGS.SILENT (\\Seen)")).at(-1) ?? "", /^OK/u);
  assert.match((await client.command("STORE 1 +FLAGS (one-more)")).at(-1) ?? "", /^OK/u);
});

test("PERMANENTFLAGS names no more keywords than FLAGS, which has a bound", async () => {
  const { client } = await started(
    700,
    async () => undefined,
    i => [`k${i}`],
  );
  const opened = await client.command("SELECT INBOX");
  const keywords = (kind: RegExp) => opened.find(line => kind.test(line))?.match(/\bk\d+/gu) ?? [];
  assert.equal(keywords(/^\* FLAGS/u).length, 500);
  assert.deepEqual(keywords(/PERMANENTFLAGS/u), keywords(/^\* FLAGS/u));
});

test("without a writer nothing is changed, whatever is asked", async () => {
  const server = await startTestServer();
  servers.push(server);
  server.store.inbox.deliver("Subject: x\r\n\r\n");
  const client = await server.user();
  const opened = await client.command("SELECT INBOX");
  assert.match(opened.at(-1) ?? "", /^OK \[READ-ONLY\]/u);
  assert.ok(opened.includes("* OK [PERMANENTFLAGS ()] Read-only mailbox"));
  for (const command of ["STORE 1 FLAGS (\\Seen)", "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Recent)"])
    assert.match((await client.command(command)).at(-1) ?? "", /^NO \[NOPERM\].*read-only/u);
});
