/** The REST API against a whole service with a real database: domains, accounts, access, problems, paging. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { component } from "../../../src/platform/component.ts";
import { type Answer, type RunningService, startService } from "./service.ts";

let running: RunningService;
before(async () => {
  running = await startService();
});
after(() => running.stop());

const ask: RunningService["ask"] = (...args) => running.ask(...args);
const items = (answer: Answer) => answer.body.items as readonly Record<string, unknown>[];
const add = (address: string) => ask("POST", "/api/v1/accounts", { body: { address } });

test("a domain is added, shown, listed and removed", async () => {
  const added = await ask("POST", "/api/v1/domains", { body: { name: "Bücher.Example", accounts: "auto" } });
  assert.equal(added.status, 201);
  assert.equal(added.body.name, "xn--bcher-kva.example");
  assert.equal((await ask("GET", "/api/v1/domains/b%C3%BCcher.example")).body.accounts, "auto");
  assert.ok(items(await ask("GET", "/api/v1/domains")).some(d => d.name === "xn--bcher-kva.example"));
  assert.equal(
    (await ask("POST", "/api/v1/domains", { body: { name: "xn--bcher-kva.example" } })).status,
    409,
  );
  assert.equal((await ask("DELETE", "/api/v1/domains/xn--bcher-kva.example")).status, 200);
  assert.equal((await ask("GET", "/api/v1/domains/xn--bcher-kva.example")).body.code, "unknown_domain");
});

test("a dry run answers the same and changes nothing", async () => {
  const tried = await ask("POST", "/api/v1/domains?dry_run=true", { body: { name: "dry.example" } });
  assert.equal(tried.status, 200);
  assert.equal(tried.body.name, "dry.example");
  assert.equal((await ask("GET", "/api/v1/domains/dry.example")).status, 404);
  const account = await ask("POST", "/api/v1/accounts?dry_run=true", {
    body: { address: "dry@example.test" },
  });
  assert.equal(account.body.address, "dry@example.test");
  assert.equal((await ask("GET", "/api/v1/accounts/dry%40example.test")).body.code, "unknown_account");
  assert.equal(
    (await ask("POST", "/api/v1/domains?dry_run=true", { body: { name: "example.test" } })).status,
    409,
  );
});

test("a domain with accounts, or one that a file sets, is not removed", async () => {
  await ask("POST", "/api/v1/domains", { body: { name: "full.example" } });
  await add("one@full.example");
  const full = await ask("DELETE", "/api/v1/domains/full.example");
  assert.equal(full.status, 403);
  assert.match(String(full.body.detail), /still has 1 accounts/u);
  const locked = await ask("DELETE", "/api/v1/domains/example.test");
  assert.match(String(locked.body.detail), /is set in .*mairust\.toml:\d+/u);
});

test("an account is looked up in any case and form, and has its six mailboxes", async () => {
  const added = await add("Jose\u0301@EXAMPLE.test");
  assert.equal(added.body.address, "josé@example.test");
  assert.equal((await add("JOSÉ@example.test")).status, 409);
  const path = `/api/v1/accounts/${encodeURIComponent("josé@example.test")}`;
  const boxes = items(await ask("GET", `${path}/mailboxes`)).map(box => [
    box.name,
    box.special_use,
    box.subscribed,
  ]);
  assert.deepEqual(boxes, [
    ["INBOX", null, true],
    ["Archive", "\\Archive", true],
    ["Drafts", "\\Drafts", true],
    ["Junk", "\\Junk", true],
    ["Sent", "\\Sent", true],
    ["Trash", "\\Trash", true],
  ]);
  const quota = await ask("PATCH", path, { body: { quota_bytes: 1000 } });
  assert.deepEqual([quota.body.quota_bytes, quota.body.effective_quota_bytes], [1000, 1000]);
  assert.equal((await ask("PATCH", path, { body: { quota_bytes: null } })).body.quota_bytes, null);
});

test("ten requests for the same account at once make one", async () => {
  const answers = await Promise.all(Array.from({ length: 10 }, () => add("many@example.test")));
  assert.equal(answers.filter(a => a.status === 201).length, 1);
  assert.equal(answers.filter(a => a.status === 409).length, 9);
});

test("an address belongs to one account, as its own or as an alias", async () => {
  await add("first@example.test");
  await add("second@example.test");
  const aliases = "/api/v1/accounts/first%40example.test/aliases";
  const added = await ask("POST", aliases, { body: { address: "Info@example.test" } });
  assert.deepEqual(
    [added.status, added.body.address, added.body.account],
    [201, "info@example.test", "first@example.test"],
  );
  const alias = (address: string) =>
    ask("POST", "/api/v1/accounts/second%40example.test/aliases", { body: { address } });
  assert.equal((await alias("info@example.test")).status, 409);
  assert.equal((await alias("first@example.test")).status, 409);
  assert.equal((await alias("x@unknown.example")).body.code, "unknown_domain");
  assert.equal((await add("info@example.test")).status, 409);
  assert.equal(
    (await ask("DELETE", `/api/v1/accounts/second%40example.test/aliases/info%40example.test`)).status,
    404,
  );
  assert.equal((await ask("DELETE", `${aliases}/info%40example.test`)).status, 200);
  assert.deepEqual(items(await ask("GET", aliases)), []);
});

test("pages follow each other without gap or double, also when something is added in between", async () => {
  for (const n of [1, 2, 3, 4, 5]) await add(`page${n}@example.test`);
  const seen: unknown[] = [];
  let path = "/api/v1/accounts?domain=example.test&limit=2";
  for (let i = 0; path !== "" && i < 50; i += 1) {
    const page = await ask("GET", path);
    seen.push(...items(page).map(account => account.address));
    if (i === 1) await add("aaa-before-all@example.test");
    const next = /<([^>]+)>; rel="next"/u.exec(String(page.headers.link ?? ""))?.[1] ?? "";
    assert.equal(next === "", page.body.next_cursor === null);
    path = next;
  }
  assert.equal(new Set(seen).size, seen.length);
  for (const n of [1, 2, 3, 4, 5]) assert.ok(seen.includes(`page${n}@example.test`));
});

test("a page over the limit, and a cursor that is not ours, are refused", async () => {
  assert.equal((await ask("GET", "/api/v1/accounts?limit=200")).status, 200);
  const over = await ask("GET", "/api/v1/accounts?limit=201");
  assert.equal(over.status, 400);
  assert.deepEqual(
    (over.body.errors as { pointer: string }[]).map(e => e.pointer),
    ["/querystring/limit"],
  );
  assert.equal((await ask("GET", "/api/v1/messages?cursor=AAAA")).status, 400);
  assert.equal((await ask("GET", "/api/v1/accounts?cursor=%00")).status, 400);
});

test("a body with an unknown member or a wrong type is refused with a pointer, not repaired", async () => {
  const unknown = await ask("POST", "/api/v1/domains", { body: { name: "a.example", colour: "red" } });
  assert.equal(unknown.status, 400);
  assert.equal(unknown.headers["content-type"], "application/problem+json; charset=utf-8");
  const wrong = await ask("POST", "/api/v1/domains", { body: { name: "a.example", quota_bytes: "5" } });
  assert.deepEqual(
    (wrong.body.errors as { pointer: string }[]).map(e => e.pointer),
    ["/body/quota_bytes"],
  );
  assert.equal((await ask("GET", "/api/v1/domains/a.example")).status, 404);
  assert.equal(
    (await ask("POST", "/api/v1/domains", { body: { name: "a b" } })).body.code,
    "invalid_argument",
  );
});

test("problems have a trace id and a title in the language that is asked for", async () => {
  const english = await ask("GET", "/api/v1/accounts/no%40example.test");
  assert.deepEqual(
    [english.status, english.body.code, english.body.title],
    [404, "unknown_account", "No such account"],
  );
  assert.match(String(english.body.trace_id), /^[0-9a-f-]{36}$/u);
  const headers = { "accept-language": "ja,en;q=0.5" };
  const japanese = await ask("GET", "/api/v1/accounts/no%40example.test", { headers });
  assert.equal(japanese.body.title, "アカウントがありません");
});

test("an address of the network gives health and metrics, and nothing else", async () => {
  const spec = running.service.addresses().find(a => a.name === "api" && a.address.startsWith("inet:"));
  const tcp = spec?.address.slice("inet:".length) ?? "";
  for (const path of ["/livez", "/readyz", "/metrics"])
    assert.equal((await ask("GET", path, { tcp })).status, 200, path);
  const refused = [
    ["GET", "/api/v1/domains"],
    ["GET", "/api/v1/messages"],
    ["GET", "/api/v1/admin/config"],
    ["POST", "/api/v1/admin/reload"],
    ["DELETE", "/api/v1/accounts/first%40example.test"],
    ["GET", "/nothing"],
    ["POST", "/livez"],
  ] as const;
  for (const [method, path] of refused) {
    const answer = await ask(method, path, { tcp });
    assert.deepEqual([answer.status, answer.body.code], [401, "auth_failed"], `${method} ${path}`);
  }
  assert.equal((await ask("GET", "/api/v1/accounts/first%40example.test")).status, 200);
});

test("/readyz over the network gives names and status, and nothing that somebody else wrote", async () => {
  const spec = running.service.addresses().find(a => a.name === "api" && a.address.startsWith("inet:"));
  const tcp = spec?.address.slice("inet:".length) ?? "";
  const checksOf = async (options: { readonly tcp?: string }) =>
    (await ask("GET", "/readyz", options)).body.checks as readonly {
      name: string;
      status: string;
      reason: string;
    }[];
  const secret = component({
    info: { name: "canary", version: "1", description: "canary", type: "service" },
    health: () => ({ status: "degraded", detail: "CANARY" }),
  });
  running.service.registry.register(secret);
  await secret.init();
  await secret.start();
  const [open, own] = [await checksOf({ tcp }), await checksOf({})];
  assert.deepEqual(
    open.map(({ name, status }) => [name, status]),
    own.map(({ name, status }) => [name, status]),
  );
  assert.equal(own.find(({ name }) => name === "canary")?.reason, "CANARY");
  assert.equal(
    open.find(({ name }) => name === "canary")?.reason,
    "works in part; the UNIX socket tells more",
  );
  assert.ok(!JSON.stringify(open).includes("CANARY"));
});

test("/readyz names every dependency, /metrics counts requests by route and never by path", async () => {
  const ready = await ask("GET", "/readyz");
  const checks = ready.body.checks as readonly { name: string; status: string }[];
  for (const name of ["database", "blobs", "lmtp", "imap", "api"])
    assert.ok(
      checks.some(check => check.name === name),
      name,
    );
  const text = (await ask("GET", "/metrics")).bytes.toString();
  assert.match(text, /mairust_http_request_duration_seconds_count\{route="\/api\/v1\/accounts\/:address"\}/u);
  assert.doesNotMatch(text, /example\.test/u);
});

test("/admin/config gives every key with its origin", async () => {
  const config = items(await ask("GET", "/api/v1/admin/config"));
  const level = config.find(entry => entry.key === "log.level");
  assert.deepEqual([level?.value, level?.origin], ['"error"', "-o log.level"]);
});

test("a reload with a broken file is refused with every problem, and the old configuration stays", async () => {
  const file = running.site.configFile;
  const good = readFileSync(file, "utf8");
  appendFileSync(file, "\n[defaults]\nquotta_mb = 1\n");
  try {
    const refused = await ask("POST", "/api/v1/admin/reload");
    assert.deepEqual([refused.status, refused.body.code], [422, "config_invalid"]);
    const [error] = refused.body.errors as { pointer: string; detail: string }[];
    assert.equal(error?.pointer, "defaults.quotta_mb");
    assert.match(error?.detail ?? "", /mairust\.toml:\d+:1: .*quota_mb/u);
    writeFileSync(file, `${good}\n[retention]\nevents_days = 30\n`);
    const tried = await ask("POST", "/api/v1/admin/reload?dry_run=true");
    assert.equal(tried.status, 200);
    assert.ok(
      [...(tried.body.applied as string[]), ...(tried.body.need_restart as string[])].includes(
        "retention.events_days",
      ),
    );
  } finally {
    writeFileSync(file, good);
  }
});
