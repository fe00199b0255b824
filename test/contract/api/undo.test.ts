/** What a real plugin did to stored mail, taken back through the API and the command line of a whole service. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

const PLUGIN = "com.example.mairust.hello-world";
const UNDO = "/api/v1/admin/undo";

let running: RunningService;
before(async () => {
  running = await startService(["plugins.enabled=true"]);
});
after(() => running.stop());

const run = (...args: readonly string[]) => command(running.site.configFile, args);

async function deliver(to: string, queueId: string): Promise<void> {
  const address = running.service.addresses().find(({ name }) => name === "lmtp")?.address ?? "";
  const client = await LmtpTestClient.open(Number(address.split(":").at(-1)));
  const message = Buffer.from("Subject: hello there\r\n\r\nbody\r\n");
  assert.match(String(await client.deliver([to], message, queueId)), /^250 /u);
  client.close();
}

async function tagsOf(account: string): Promise<readonly string[]> {
  const { body } = await running.ask("GET", `/api/v1/messages?q=${encodeURIComponent(`account:${account}`)}`);
  const items = body.items as readonly { readonly places: readonly { readonly tags: readonly string[] }[] }[];
  return items.flatMap(({ places }) => places.flatMap(({ tags }) => tags));
}

test("a plugin's tags are taken back in one account, then in all, and the audit and the timeline say who did it", async () => {
  await deliver("one@example.test", "4QUNDO1");
  await deliver("two@example.test", "4QUNDO2");
  const before = await tagsOf("one@example.test");
  assert.ok(before.length > 0, "the plugin tags nothing, so nothing would be shown");
  const dry = await run(
    "undo",
    "--plugin",
    PLUGIN,
    "--account",
    "one@example.test",
    "--dry-run",
    "-f",
    "json",
  );
  assert.equal(dry.code, 0, dry.err);
  const counts = { changes: 1, messages: 1, accounts: 1 };
  assert.deepEqual(JSON.parse(dry.out), { ...counts, job: null, state: "nothing done" });
  assert.deepEqual(await tagsOf("one@example.test"), before);

  const done = await run("undo", "--plugin", PLUGIN, "--account", "one@example.test", "--yes", "-f", "json");
  assert.equal(done.code, 0, done.err);
  assert.equal((JSON.parse(done.out) as { state: string }).state, "done");
  assert.deepEqual(await tagsOf("one@example.test"), []);
  assert.deepEqual(await tagsOf("two@example.test"), before);

  const rest = await run("undo", "--plugin", PLUGIN, "--since", "1h", "--yes");
  assert.equal(rest.code, 0, rest.err);
  assert.deepEqual(await tagsOf("two@example.test"), []);
  const { body } = await running.ask("GET", "/api/v1/messages/4QUNDO2/timeline");
  const changed = (body.events as { kind: string; data: { job?: string } }[]).filter(
    ({ kind }) => kind === "changed",
  );
  assert.deepEqual(
    changed.map(({ data }) => data.job),
    ["undo"],
  );
  assert.match((await run("undo", "--plugin", PLUGIN, "--yes")).out, /nothing done/u);
});

test("what cannot be meant is refused by name", async () => {
  assert.equal((await run("undo")).code, 64);
  assert.equal((await run("undo", "--plugin", PLUGIN, "--since", "yesterday")).code, 64);
  const unknown = await running.ask("POST", UNDO, {
    body: { plugin: PLUGIN, account: "nobody@elsewhere.test" },
  });
  assert.equal(unknown.status, 404);
  const backwards = { since: "2026-01-02T00:00:00Z", until: "2026-01-01T00:00:00Z" };
  const times = await running.ask("POST", UNDO, { body: { plugin: PLUGIN, ...backwards } });
  assert.deepEqual([times.status, times.body.code], [400, "invalid_argument"]);
  await deliver("ask@example.test", "4QUNDO3");
  const asked = await run("undo", "--plugin", PLUGIN);
  assert.equal(asked.code, 64);
  assert.match(asked.err, /Say --yes/u);
});
