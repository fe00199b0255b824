/** Hooks by command against a whole service with a real plugin: rows, locks, versions, the running chain, the ledger, commands. */
import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { command } from "./command.ts";
import { type Answer, type RunningService, startService } from "./service.ts";

const PLUGIN = "com.example.mairust.hello-world";
const HOOKS = "/api/v1/admin/hooks";
const FILTERED = { filter: { recipient: "row@.*" } };

let running: RunningService;
before(async () => {
  running = await startService(["plugins.enabled=true"]);
});
after(() => running.stop());

const ask: RunningService["ask"] = (...args) => running.ask(...args);
const items = (answer: Answer) => answer.body.items as readonly Record<string, unknown>[];
const etagOf = async (name: string) => String((await ask("GET", `${HOOKS}/${name}`)).headers.etag);
const change = async (name: string, body: unknown, query = "", etag?: string) =>
  ask("PATCH", `${HOOKS}/${name}${query}`, { body, headers: { "if-match": etag ?? (await etagOf(name)) } });
const remove = async (name: string) =>
  ask("DELETE", `${HOOKS}/${name}`, { headers: { "if-match": await etagOf(name) } });

const run = (...args: readonly string[]) => command(running.site.configFile, args);

const delivered = { count: 0 };

/** Sends one mail by LMTP. @returns the calls of its timeline, by hook, when all of them are there */
async function callsFor(to: string, wanted: readonly string[]) {
  delivered.count += 1;
  const queueId = `4QHOOK${delivered.count}`;
  const address = running.service.addresses().find(({ name }) => name === "lmtp")?.address ?? "";
  const client = await LmtpTestClient.open(Number(address.split(":").at(-1)));
  const message = Buffer.from(`Subject: hello ${delivered.count}\r\n\r\nbody\r\n`);
  assert.match(String(await client.deliver([to], message, queueId)), /^250 /u);
  client.close();
  let calls: readonly Record<string, unknown>[] = [];
  // Shadow calls are recorded after the answer.
  for (let i = 0; i < 500; i++) {
    const events = (await ask("GET", `/api/v1/messages/${queueId}/timeline`)).body.events;
    calls = (events as { kind: string; data: Record<string, unknown> }[]).flatMap(({ kind, data }) =>
      kind === "hook_call" ? [data] : [],
    );
    if (wanted.every(name => calls.some(({ hook }) => hook === name))) break;
    await new Promise(done => setTimeout(done, 20));
  }
  return { queueId, calls: new Map(calls.map(call => [String(call.hook), call])) };
}

test("a hook by command is called from its commit on, changes its mode, and is gone when it is removed", async () => {
  const hook = { name: "row", plugin: PLUGIN, point: "pre_delivery", ...FILTERED };
  const dry = await ask("POST", `${HOOKS}?dry_run=true`, { body: hook });
  assert.deepEqual([dry.status, dry.body.mode, dry.body.version], [200, "shadow", 1]);
  assert.equal((await ask("GET", `${HOOKS}/row`)).status, 404);
  const added = await ask("POST", HOOKS, { body: hook });
  assert.deepEqual(
    [added.status, added.body.origin, added.body.state, added.headers.etag],
    [201, "database", "active", '"1"'],
  );
  assert.equal((await ask("POST", HOOKS, { body: hook })).body.code, "already_exists");
  const first = await callsFor("row@example.test", ["hello", "row"]);
  assert.deepEqual([first.calls.get("hello")?.mode, first.calls.get("row")?.mode], ["enforce", "shadow"]);
  assert.equal((await callsFor("other@example.test", ["hello"])).calls.has("row"), false);

  const path = `${HOOKS}/row/mode`;
  const enforced = await ask("POST", path, { body: { mode: "enforce" }, headers: { "if-match": '"1"' } });
  assert.deepEqual([enforced.status, enforced.body.mode, enforced.headers.etag], [200, "enforce", '"2"']);
  assert.equal((await callsFor("row@example.test", ["row"])).calls.get("row")?.mode, "enforce");
  const [row] = items(await ask("GET", HOOKS)).filter(({ name }) => name === "row");
  assert.deepEqual(row?.calls, { ok: 2 });

  assert.equal((await remove("row")).status, 200);
  assert.equal((await callsFor("row@example.test", ["hello"])).calls.has("row"), false);
});

test("every call is in the ledger before it left, and whoever reads it sees it at once", async () => {
  const { queueId, calls } = await callsFor("ledger@example.test", ["hello"]);
  const [entry, ...others] = items(await ask("GET", `/api/v1/admin/ledger?queue_id=${queueId}`));
  const call = calls.get("hello");
  assert.deepEqual(others, []);
  assert.deepEqual(
    [entry?.call_id, entry?.hook, entry?.plugin, entry?.bytes, entry?.fields, entry?.mode],
    [call?.call_id, "hello", PLUGIN, call?.bytes_sent, call?.fields, "enforce"],
  );
  assert.match(String(entry?.destination), /^script:/u);
  assert.match(String(entry?.digest), /^[0-9a-f]{64}$/u);
  assert.deepEqual(items(await ask("GET", "/api/v1/admin/ledger?plugin=com.example.none")), []);
  assert.equal((await ask("GET", "/api/v1/admin/ledger?since=yesterday")).status, 400);
  const page = await ask("GET", "/api/v1/admin/ledger?limit=1");
  assert.match(String(page.headers.link), /rel="next"/u);
  const shown = await run("ledger", "--since", "1h", "--plugin", PLUGIN, "-f", "table");
  assert.match(shown.out, /AT +PLUGIN +HOOK[\s\S]*hello/u);
  assert.equal((await run("ledger", "--since", "1week")).code, 64);
});

test("a hook that a file sets is locked, by name and by route; a row of the same name is shadowed", async () => {
  const { body: file } = await ask("GET", `${HOOKS}/hello`);
  assert.match(String(file.where), /mairust\.toml:\d+:\d+$/u);
  assert.equal(file.version, null);
  const refusals = [
    await ask("POST", HOOKS, { body: { name: "hello", plugin: PLUGIN, point: "pre_delivery" } }),
    await ask("PATCH", `${HOOKS}/hello`, { body: { mode: "shadow" }, headers: { "if-match": '"1"' } }),
    await ask("POST", `${HOOKS}/hello/mode`, { body: { mode: "shadow" }, headers: { "if-match": '"1"' } }),
    await ask("DELETE", `${HOOKS}/hello`, { headers: { "if-match": '"1"' } }),
  ];
  for (const { status, body } of refusals) {
    assert.equal(status, 403);
    assert.match(String(body.detail), /^hook "hello" is set in .*mairust\.toml:\d+:\d+; change it there$/u);
  }
  assert.equal((await ask("GET", `${HOOKS}/hello`)).body.mode, "enforce");
  const command = await run("hook", "mode", "hello", "shadow");
  assert.equal(command.code, 77);
  assert.match(command.err, /is set in/u);
});

test("a change without a version is 428, with an old one 412, and leaves everything as it is", async () => {
  await ask("POST", HOOKS, {
    body: { name: "versioned", plugin: PLUGIN, point: "pre_delivery", ...FILTERED },
  });
  const bare = await ask("PATCH", `${HOOKS}/versioned`, { body: { priority: 5 } });
  assert.deepEqual([bare.status, bare.body.code], [428, "invalid_argument"]);
  assert.equal((await change("versioned", { priority: 5 }, "?dry_run=true")).body.priority, 5);
  assert.equal((await change("versioned", { priority: 5, filter: { sender: "a@.*" } })).body.version, 2);
  const stale = await change("versioned", { priority: 6 }, "", '"1"');
  assert.deepEqual([stale.status, stale.body.code], [412, "invalid_state"]);
  assert.equal((await change("versioned", { priority: 6 }, "?dry_run=true", '"1"')).status, 412);
  const { body } = await ask("GET", `${HOOKS}/versioned`);
  assert.deepEqual(
    [body.priority, body.filter],
    [5, { ...(body.filter as object), recipient: "row@.*", sender: "a@.*" }],
  );
  assert.equal((await change("versioned", { priority: null })).body.priority, 100);
  const order = (version: number) =>
    ask("POST", `${HOOKS}/reorder`, { body: { hooks: [{ name: "versioned", priority: 1, version }] } });
  assert.equal((await order(2)).status, 412);
  assert.deepEqual(items(await order(3))[0]?.name, "versioned");
  assert.equal((await remove("versioned")).status, 200);
});

test("two changes from the same version: one of them is told", async () => {
  await ask("POST", HOOKS, { body: { name: "raced", plugin: PLUGIN, point: "pre_delivery", ...FILTERED } });
  const answers = await Promise.all([7, 8].map(priority => change("raced", { priority }, "", '"1"')));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412]);
  await remove("raced");
});

test("a row that cannot be used is refused with all problems, and nothing is half applied", async () => {
  const bad = { name: "bad", point: "nowhere", timeout_ms: 0, colour: "red", filter: { recipient: "(" } };
  const refused = await ask("POST", HOOKS, { body: bad });
  assert.equal(refused.status, 422);
  const texts = (refused.body.errors as { detail: string }[]).map(({ detail }) => detail).join("\n");
  for (const key of ["point", "timeout_ms", "colour", "plugin"])
    assert.match(texts, new RegExp(`^${key}: `, "mu"));
  const unknown = { name: "bad", plugin: "com.example.none", point: "pre_delivery" };
  assert.match(
    JSON.stringify((await ask("POST", HOOKS, { body: unknown })).body),
    /there is none in plugins\.folders/u,
  );
  const tooLong = { name: "bad", plugin: PLUGIN, point: "pre_delivery", timeout_ms: 60_000 };
  assert.match(JSON.stringify((await ask("POST", HOOKS, { body: tooLong })).body), /at most 5000/u);
  assert.deepEqual(
    items(await ask("GET", HOOKS)).map(({ name }) => name),
    ["hello"],
  );
  const command = await run(
    "hook",
    "add",
    "bad",
    "--plugin",
    PLUGIN,
    "--point",
    "pre_delivery",
    "--mode",
    "loud",
  );
  assert.equal(command.code, 78);
  assert.match(command.err, /mode: found "loud"/u);
});

test("hook test calls the plugin once, applies nothing, and is in the ledger in mode shadow", async () => {
  const file = join(running.site.dir, "mail.eml");
  writeFileSync(file, "Subject: Invoice 7\r\n\r\nhello\r\n");
  const args = ["hook", "test", "hello", "--file", file, "--from", "a@b.example", "--to", "c@d.example"];
  const tried = await run(...args, "-f", "json");
  assert.equal(tried.code, 0, tried.err);
  const result = JSON.parse(tried.out);
  assert.deepEqual(
    [result.outcome, result.verdict, result.tags.add, result.folder, result.matches],
    ["ok", "deliver", ["hello", "invoice"], "Invoices", true],
  );
  assert.deepEqual(result.fields.includes("body_preview"), true);
  const [entry] = items(await ask("GET", "/api/v1/admin/ledger?limit=1"));
  assert.deepEqual([entry?.call_id, entry?.mode, entry?.bytes], [result.call_id, "shadow", result.bytes]);
  assert.match(
    (await run("hook", "test", "hello", "-f", "table")).out,
    /outcome +ok in [\s\S]*tags +hello invoice/u,
  );
  const { queueId } = await callsFor("stored@example.test", ["hello"]);
  assert.equal((await run("hook", "test", "hello", "--message", queueId)).code, 0);
  assert.equal((await run("hook", "test", "hello", "--message", "none")).code, 66);
  assert.equal((await run("hook", "test", "nobody")).code, 66);
  assert.equal((await run("hook", "test", "hello", "--file", "/nonexistent", "--to", "a@b")).code, 66);
  assert.equal((await run("hook", "test", "hello", "--file", file)).code, 64);
});

test("hook test refuses what is no address", async () => {
  const message = Buffer.from("Subject: x\r\n\r\nbody\r\n");
  for (const query of ["to=nobody", `to=${encodeURIComponent("a@b.test\r\nX: y")}`, "to=a@b.test&from=me"]) {
    const { status, body } = await running.ask("POST", `/api/v1/admin/hooks/hello/test?${query}`, {
      message,
    });
    assert.deepEqual([status, /is no mail address/u.test(String(body.detail))], [400, true], query);
  }
});

test("the commands add, edit, show, list and remove hooks", async () => {
  const base = ["hook", "add", "mine", "--plugin", PLUGIN, "--point", "pre_delivery"];
  assert.equal((await run("hook", "add", "mine", "--point", "pre_delivery")).code, 64);
  assert.match((await run(...base, "--dry-run")).err, /^would add hook mine in mode shadow/u);
  const added = await run(...base, "--recipient", "row@.*", "--set", "parallel=true", "--timeout", "900");
  assert.equal(added.code, 0, added.err);
  assert.equal((await run(...base)).code, 73);
  const edited = await run(
    "hook",
    "edit",
    "mine",
    "--priority",
    "7",
    "--set",
    "filter.size_max_bytes=100",
    "--disable",
  );
  assert.equal(edited.code, 0, edited.err);
  const shown = JSON.parse((await run("hook", "show", "mine", "-f", "json")).out);
  assert.deepEqual(
    [
      shown.priority,
      shown.parallel,
      shown.timeout_ms,
      shown.state,
      shown.filter.recipient,
      shown.filter.size_max_bytes,
    ],
    [7, true, 900, "disabled", "row@.*", 100],
  );
  assert.equal((await run("hook", "edit", "mine", "--enable", "--unset", "filter.size_max_bytes")).code, 0);
  assert.match(
    (await run("hook", "list", "-f", "table")).out,
    /pre_delivery +7 +mine .*database\npre_delivery +100 +hello/u,
  );
  assert.equal((await run("hook", "edit", "mine")).code, 64);
  assert.equal((await run("hook", "mode", "mine", "enforce")).code, 0);
  assert.equal((await run("hook", "rm", "mine")).code, 64);
  assert.equal((await run("hook", "rm", "mine", "--dry-run")).code, 0);
  assert.equal((await run("hook", "rm", "mine", "--yes")).code, 0);
  assert.equal((await run("hook", "rm", "mine", "--yes")).code, 66);
});

test("a hook by command is shadowed when a file takes its name; it can be removed then, and the file's stays", async () => {
  const hook = { name: "later", plugin: PLUGIN, point: "pre_delivery", ...FILTERED };
  assert.equal((await ask("POST", HOOKS, { body: hook })).status, 201);
  const row = `[[hooks]]\nname = "later"\nplugin = "${PLUGIN}"\npoint = "pre_delivery"\npriority = 9\n`;
  appendFileSync(running.site.configFile, row);
  assert.equal((await ask("POST", "/api/v1/admin/reload")).status, 200);
  const states = async () =>
    items(await ask("GET", HOOKS))
      .filter(({ name }) => name === "later")
      .map(({ state, origin }) => [origin, state]);
  assert.deepEqual(await states(), [
    ["file", "active"],
    ["database", "shadowed"],
  ]);
  assert.equal((await ask("GET", `${HOOKS}/later`)).body.priority, 9);
  assert.equal((await change("later", { priority: 1 }, "", '"1"')).status, 403);
  const removed = await run("hook", "rm", "later", "--yes");
  assert.equal(removed.code, 0, removed.err);
  assert.deepEqual(await states(), [["file", "active"]]);
  assert.equal((await run("hook", "rm", "later", "--yes")).code, 77);
});

test("explain shows the milter's part too: other ids under the same queue id", async () => {
  const { queueId } = await callsFor("explained@example.test", ["hello"]);
  const out = (await run("explain", queueId, "-f", "table")).out;
  assert.match(out, /hook_call +hello \(enforce\): deliver in [\d.]+ ms, sent [\d.]+ \w+ of .*headers/u);
});
