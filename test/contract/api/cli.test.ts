/** The command line against a whole service: what it prints, its exit codes, and the state of the service agree. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { Client } from "../../../src/cli/client.ts";
import { authorTools } from "../../../src/compose/author.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

let running: RunningService;
before(async () => {
  running = await startService();
});
after(() => running.stop());

const standalone = { author: async () => authorTools };
const run = (args: readonly string[], stdin?: Buffer) =>
  command(running.site.configFile, args, { columns: 160, stdin, standalone });

const json = async (...args: string[]) => JSON.parse((await run([...args, "-f", "json"])).out);

test("accounts and domains: add, show, dry run, refuse, remove", async () => {
  assert.equal((await run(["domain", "add", "cli.example", "--quota", "1G"])).code, 0);
  assert.equal((await json("domain", "show", "cli.example")).quota_bytes, 1_073_741_824);
  assert.equal((await run(["domain", "add", "cli.example"])).code, 73);
  assert.equal((await run(["account", "add", "a@cli.example", "--dry-run"])).code, 0);
  assert.equal((await run(["account", "show", "a@cli.example"])).code, 67);
  assert.equal((await run(["account", "add", "a@nowhere.example"])).code, 67);
  assert.equal((await run(["account", "add", "no address"])).code, 65);
  assert.equal((await run(["account", "add", "a@cli.example"])).code, 0);
  assert.equal((await json("account", "show", "a@cli.example")).mailboxes.length, 6);
  assert.equal((await run(["domain", "rm", "cli.example", "--yes"])).code, 77);
  assert.equal((await run(["account", "rm", "a@cli.example"])).code, 64);
  assert.equal((await run(["account", "rm", "a@cli.example", "--yes"])).code, 0);
  assert.equal((await run(["domain", "rm", "cli.example", "--yes"])).code, 0);
});

test("msg add, search, show, raw: the same bytes come back", async () => {
  await run(["account", "add", "taro@example.test"]);
  const message = Buffer.from(
    "Subject: from the shell\r\nMessage-ID: <shell@x.test>\r\n\r\nbin \u0000 ary\r\n",
    "latin1",
  );
  const added = await run(["msg", "add", "--account", "taro@example.test", "--flags", "\\Seen"], message);
  assert.equal(added.code, 0, added.err);
  const [found] = await json("msg", "search", "subject:shell", "-is:unread");
  assert.equal(found.message_id_header.replace(/[<>]/gu, ""), "shell@x.test");
  assert.deepEqual(await json("msg", "search", "subject:shell", "-from:nobody", "-folder:INBOX"), []);
  assert.equal(
    (await run(["msg", "search", "-f", "jsonl", "--", "shell", "-other"])).out.split("\n").length,
    2,
  );
  assert.equal((await run(["msg", "raw", "<shell@x.test>"])).out, message.toString("latin1"));
  const place = ["--account", "taro@example.test", "--mailbox", "INBOX", "--uid", "1"];
  assert.equal((await run(["msg", "raw", ...place])).out, message.toString("latin1"));
  assert.equal((await run(["msg", "show", found.id])).code, 0);
  assert.match(
    (await run(["explain", found.id, "-f", "table"])).out,
    /added .*\n.*stored {5}in INBOX, UID 1 → taro@example\.test\n$/u,
  );
  assert.equal((await run(["explain", "unknown"])).code, 66);
  const hello = join(packageRoot(), "plugins/hello-world");
  const recorded = await run(["plugin", "record", found.id, "--plugin", hello, "--dry-run", "-f", "json"]);
  assert.equal(recorded.code, 0, recorded.err);
  assert.ok(JSON.parse(recorded.out).size_bytes > 0);
  assert.equal((await run(["plugin", "record", "unknown", "--plugin", hello])).code, 66);
  assert.equal((await run(["msg", "search", "to:x"])).code, 64);
  assert.equal((await run(["msg", "add", "--account", "taro@example.test"], Buffer.alloc(0))).code, 65);
});

test("a message that is refused early ends with the reason, however the upload and the answer meet", async () => {
  await run(["account", "add", "early@example.test"]);
  const client = new Client(running.site.apiSocket);
  const path = "/api/v1/accounts/early%40example.test/mailboxes/INBOX/messages";
  async function* slowly() {
    for (let i = 0; i < 40; i += 1) {
      yield Buffer.alloc(65_536, "x");
      await new Promise(resolve => setImmediate(resolve));
    }
  }
  const refused = async () => {
    const options = { message: Readable.from(slowly()), query: { date: "yesterday" } };
    await assert.rejects(client.post(path, options), { exitCode: 64, message: /no RFC 3339 time/u });
  };
  for (let round = 0; round < 4; round += 1) await Promise.all(Array.from({ length: 50 }, refused));
  const gone = await run(
    ["msg", "add", "--account", "early@example.test", "--mailbox", "New"],
    Buffer.from("a"),
  );
  assert.equal(gone.code, 66);
  assert.match(gone.err, /no mailbox "New" .*made when the first hook files mail there/u);
});

test("a table of one account's mail does not repeat the account, nor show an empty column; tab output keeps both", async () => {
  await run(["account", "add", "table@example.test"]);
  await run(["msg", "add", "--account", "table@example.test"], Buffer.from("Subject: one\r\n\r\n"));
  const table = (await run(["msg", "search", "account:table@example.test", "-f", "table"])).out;
  assert.match(table, /INBOX\/1/u);
  assert.doesNotMatch(table, /table@example\.test|QUEUE ID/u);
  assert.match(
    (await run(["msg", "search", "subject:one", "-f", "table"])).out,
    /table@example\.test INBOX\/1/u,
  );
  const tab = (await run(["msg", "search", "account:table@example.test", "-f", "tab"])).out;
  assert.equal(tab.split("\t").length, 8);
  assert.match(tab, /\ttable@example\.test INBOX\/1\t/u);
});

test("lists longer than a page are read to the end, and --limit says that there is more", async () => {
  for (let n = 0; n < 12; n += 1) await run(["account", "add", `list${n}@example.test`]);
  assert.equal(
    (await run(["account", "list"])).out.split("\n").filter(line => line.startsWith("list")).length,
    12,
  );
  const some = await run(["account", "list", "--limit", "3"]);
  assert.equal(some.out.trim().split("\n").length, 3);
  assert.match(some.err, /there are more/u);
});

test("selftest sends one message through LMTP and shows it stored; readyz and reload agree with the service", async () => {
  const sent = await run(["selftest", "--to", "selftest@example.test", "-f", "json"]);
  assert.equal(sent.code, 0, sent.err);
  assert.ok(JSON.parse(sent.out).events.some((event: { kind: string }) => event.kind === "stored"));
  assert.equal((await run(["selftest", "--to", "x@unknown.example"])).code, 67);
  assert.equal((await run(["readyz"])).code, 0);
  assert.match((await run(["reload"])).err, /nothing changed/u);
});
