/**
 * Stages by API and by command, against a whole service: who may change what when, what is told and recorded, and the order of both
 * halves of a step. Postfix, Dovecot and the engines of export and verify are stand-ins at their ports.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Standalone } from "../../../src/cli/standalone.ts";
import type { VerifyResult } from "../../../src/wire/api/transfer.ts";
import { command } from "./command.ts";
import { type Answer, type AskOptions, type RunningService, startService } from "./service.ts";
import { compared, engines, servers } from "./stage-engines.ts";

let running: RunningService;
let hop: Server;
let relay: string;

before(async () => {
  hop = createServer(socket => socket.on("error", () => undefined).end("220 hop.test LMTP\r\n"));
  await new Promise<void>(resolve => hop.listen(0, "127.0.0.1", resolve));
  relay = `inet:127.0.0.1:${(hop.address() as AddressInfo).port}`;
  // Shortest wait for mail that was accepted before a step.
  running = await startService(["lmtp.chain_timeout_ms=100"]);
});
after(async () => {
  await running.stop();
  await new Promise(resolve => hop.close(resolve));
});

const ask: RunningService["ask"] = (...args) => running.ask(...args);
const items = (answer: Answer) => answer.body.items as readonly Record<string, unknown>[];
const pathOf = (scope: string) =>
  scope.includes("@")
    ? `/api/v1/accounts/${encodeURIComponent(scope)}/stage`
    : `/api/v1/domains/${scope}/stage`;
const shown = async (scope: string) => (await ask("GET", pathOf(scope))).body;
const errors = ({ body }: Answer) =>
  (body.errors as { pointer: string; detail: string }[]).map(one => one.pointer);

/** With the version that is there now. */
async function set(
  scope: string,
  body: Record<string, unknown>,
  options: AskOptions = {},
  query = "",
): Promise<Answer> {
  const { version } = await shown(scope);
  const headers = { "if-match": `"${version}"`, "x-mairust-actor": "taro", ...options.headers };
  return ask("POST", `${pathOf(scope)}${query}`, { body, headers });
}

async function domain(name: string, stage: string, locals: readonly string[] = []): Promise<string> {
  const made = await ask("POST", "/api/v1/domains", { body: { name, stage, relay_lmtp: relay } });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  for (const local of locals)
    await ask("POST", "/api/v1/accounts", { body: { address: `${local}@${name}` } });
  return name;
}

async function verified(
  account: string,
  counts: Partial<VerifyResult["mailboxes"][number]> = {},
): Promise<void> {
  const result = compared(counts);
  const equal = result.differences_total === 0;
  const body = { account, against: "there", mode: "headers", equal, result };
  assert.equal((await ask("POST", "/api/v1/verify", { body })).status, 201);
}

test("a stage is shown with its first value, its next hop, since when and by whom", async () => {
  const byFile = await ask("GET", pathOf("example.test"));
  assert.equal(byFile.headers.etag, '"1"');
  const { stage, initial_stage: initial, initial_origin: origin, by, relay_lmtp: next } = byFile.body;
  assert.deepEqual([stage, initial, origin, by, next], ["store", "store", "default", "", null]);
  const name = await domain("shown.test", "hooks", ["ann", "bob"]);
  assert.equal((await set("ann@shown.test", { stage: "mirror" })).status, 200);
  const byCommand = await shown(name);
  assert.deepEqual(
    [
      byCommand.stage,
      byCommand.initial_stage,
      byCommand.relay_lmtp,
      byCommand.accounts,
      byCommand.accounts_apart,
    ],
    ["hooks", null, relay, 2, 1],
  );
  const ann = await shown("ann@shown.test");
  assert.deepEqual(
    [ann.kind, ann.stage, ann.own_stage, ann.domain_stage, ann.by],
    ["account", "mirror", "mirror", "hooks", "local:taro"],
  );
  assert.ok(items(await ask("GET", "/api/v1/routing/stages")).some(one => one.scope === name));
  assert.equal((await ask("GET", "/api/v1/accounts/ann%40shown.test")).body.own_stage, "mirror");
  assert.deepEqual(
    [(await ask("GET", pathOf("nowhere.test"))).status, (await ask("GET", pathOf("x@shown.test"))).status],
    [404, 404],
  );
});

test("a change needs the version that was seen, is tried by a dry run, and is recorded with who did it", async () => {
  const name = await domain("change.test", "hooks");
  const body = { stage: "mirror" };
  assert.equal((await ask("POST", pathOf(name), { body })).status, 428);
  const stale = await ask("POST", pathOf(name), { body, headers: { "if-match": '"7"' } });
  assert.deepEqual([stale.status, stale.body.code], [412, "invalid_state"]);
  const tried = await set(name, body, {}, "?dry_run=true");
  assert.deepEqual([tried.status, tried.body.stage, tried.body.from], [200, "mirror", "hooks"]);
  assert.equal((await shown(name)).stage, "hooks");
  const done = await set(name, body);
  assert.deepEqual([done.status, done.headers.etag, done.body.by], [200, '"2"', "local:taro"]);
  const settled = Date.parse(String(done.body.settled_at)) - Date.parse(String(done.body.since));
  assert.equal(settled, 5_100, "a transaction and a margin");
  const audit = items(await ask("GET", "/api/v1/admin/audit?action=stage.set&object=change.test"));
  assert.deepEqual(
    audit.map(({ actor, detail }) => [actor, detail]),
    [["local:taro", { from: "hooks", to: "mirror" }]],
  );
  const again = await set(name, body);
  assert.deepEqual([again.status, again.headers.etag], [200, '"2"'], "nothing changed");
});

test("a stage before store needs a next hop that greets; observe waits for it, who must", async () => {
  const bare = await ask("POST", "/api/v1/domains", { body: { name: "hop.test", stage: "hooks" } });
  assert.match(String(bare.body.detail), /needs a next hop/u);
  await ask("POST", "/api/v1/domains", { body: { name: "hop.test", stage: "observe" } });
  const missing = await set("hop.test", { stage: "hooks", force: true });
  assert.deepEqual([missing.status, errors(missing)], [403, ["next_hop_missing"]]);
  const silent = createServer();
  await new Promise<void>(resolve => silent.listen(0, "127.0.0.1", resolve));
  const closed = `inet:127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await new Promise(resolve => silent.close(resolve));
  const refused = await set("hop.test", { stage: "hooks", relay_lmtp: closed });
  assert.deepEqual([refused.status, errors(refused)], [403, ["next_hop_silent"]]);
  assert.equal((await shown("hop.test")).stage, "observe");
  const forced = await set("hop.test", { stage: "hooks", relay_lmtp: closed, force: true });
  assert.deepEqual(
    [forced.status, (forced.body.waived as { code: string }[]).map(one => one.code)],
    [200, ["next_hop_silent"]],
  );
  const [entry] = items(await ask("GET", "/api/v1/admin/audit?action=stage.set&object=hop.test"));
  assert.deepEqual((entry?.detail as { waived: unknown } | undefined)?.waived, ["next_hop_silent"]);
  assert.equal((await set("hop.test", { stage: "hooks", relay_lmtp: "tls:x:1" })).status, 400);
  assert.equal((await set("hop.test", { stage: "hooks", relay_lmtp: relay })).body.relay_lmtp, relay);
});

test("store needs mirror and accounts that are the same there and here, or somebody who says it all the same", async () => {
  const name = await domain("up.test", "hooks", ["ann", "bob"]);
  assert.deepEqual(errors(await set(name, { stage: "store" })), ["not_mirrored", "verify_missing"]);
  await verified("ann@up.test");
  await set(name, { stage: "mirror" });
  await verified("bob@up.test", { missing: 1 });
  const refused = await set(name, { stage: "store", force: true });
  assert.deepEqual([refused.status, errors(refused)], [403, ["verify_different", "verify_stale"]]);
  assert.match(String(refused.body.detail), /bob@up\.test.*ann@up\.test/su);
  assert.equal(
    (await set("ann@up.test", { stage: "store", without_verify: true })).status,
    200,
    "one account alone",
  );
  await verified("bob@up.test");
  assert.equal((await set(name, { stage: "store" })).body.stage, "store");
});

test("down from store needs what is only here to be there, and an account follows its domain again", async () => {
  const name = await domain("down.test", "store", ["ann"]);
  assert.deepEqual(errors(await set(name, { stage: "mirror" })), ["delta_missing"]);
  await verified("ann@down.test", { extra: 1 });
  assert.deepEqual(errors(await set(name, { stage: "mirror" })), ["delta_different"]);
  await verified("ann@down.test", { missing: 2 });
  assert.equal((await set(name, { stage: "mirror" })).status, 200, "what is only there is no loss");
  assert.equal((await set("ann@down.test", { stage: "hooks" })).body.own_stage, "hooks");
  assert.equal((await set("ann@down.test", { stage: "hooks", relay_lmtp: relay })).status, 400);
  const cleared = await set("ann@down.test", { stage: "domain" });
  assert.deepEqual(
    [cleared.body.own_stage, cleared.body.stage, cleared.body.from],
    [null, "mirror", "hooks"],
  );
  assert.equal((await set(name, { stage: "domain" })).status, 400);
});

// ---------------------------------------------------------------- by command

const run = (args: readonly string[], standalone: Partial<Standalone> = {}, isTerminal = false) =>
  command(running.site.configFile, args, { columns: 160, isTerminal, standalone });

const SAME = ["--sidecar-only", "--yes"];
const stageOf = async (scope: string) => (await shown(scope)).stage;

test("stage show and set: tables, JSON, exit codes, and no change without a yes", async () => {
  const name = await domain("cli.test", "hooks", ["ann"]);
  const list = await run(["stage", "show", "--limit", "100"]);
  assert.match(list.out, /^cli\.test\thooks\t\tinet:127/mu);
  assert.match((await run(["stage", "show", name], {}, true)).out, /INITIAL +none: by command/u);
  assert.equal((await run(["stage", "show", "nowhere.test"])).code, 67);
  const unsure = await run(["stage", "set", name, "mirror", "--sidecar-only"]);
  assert.deepEqual([unsure.code, /from hooks to mirror/u.test(unsure.err)], [64, true]);
  const tried = await run(["stage", "set", name, "mirror", "--sidecar-only", "--dry-run"]);
  assert.deepEqual([tried.code, (await shown(name)).stage], [0, "hooks"]);
  const done = await run(["stage", "set", name, "mirror", ...SAME, "-f", "json"]);
  assert.deepEqual(
    [done.code, JSON.parse(done.out).stage, done.err],
    [0, "mirror", "cli.test moved from hooks to mirror\n"],
  );
  const refused = await run(["stage", "set", name, "store", ...SAME]);
  assert.deepEqual(
    [refused.code, /verify_missing: never verified: ann@cli\.test/u.test(refused.err)],
    [77, true],
  );
  assert.equal((await run(["stage", "set", "ann@cli.test", "observe", ...SAME])).code, 0);
  const cleared = await run(["stage", "set", "ann@cli.test", "--clear", ...SAME, "-f", "json"]);
  assert.equal(JSON.parse(cleared.out).own_stage, null);
  for (const wrong of [[name, "--clear"], [name, "stor"], [name], ["ann@cli.test", "store", "--clear"]])
    assert.equal((await run(["stage", "set", ...wrong, ...SAME])).code, 64, wrong.join(" "));
});

test("up: the servers come first, by hand or with --apply; down: the stage does", async () => {
  const name = await domain("order.test", "observe", ["ann"]);
  const { state, standalone } = servers(name, stageOf);
  const refused = await run(["stage", "set", name, "hooks", "--yes"], standalone);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /postconf -e stage=hooks[\s\S]*# postconf -X stage[\s\S]*nothing was changed/u);
  assert.equal((await shown(name)).stage, "observe");
  assert.equal((await run(["stage", "set", name, "hooks", "--dry-run"], standalone)).code, 1);
  const applied = ["--apply", "--yes", "--backup", "/b", "--postfix-dir", "/p"];
  const up = await run(["stage", "set", name, "hooks", ...applied], standalone);
  assert.deepEqual([up.code, /as they were: \/b/u.test(up.err)], [0, true]);
  const again = await run(["stage", "set", name, "hooks", "--yes"], standalone);
  assert.equal(again.code, 0, "the servers are ready");
  const down = await run(["stage", "set", name, "observe", "--yes"], standalone);
  assert.match(
    down.err,
    /moved from hooks to observe\nnow observe needs of Postfix and Dovecot:[\s\S]*stage=observe/u,
  );
  assert.equal((await shown(name)).stage, "observe");
  const finished = await run(["stage", "set", name, "observe", ...applied], standalone);
  assert.equal(finished.code, 0, "what is left of an interrupted step");
  assert.deepEqual(
    state.log.filter(line => !line.startsWith("plan")),
    ["apply hooks while observe", "apply observe while observe"],
  );
  assert.ok(state.log.includes("plan hooks /p"));
});

test("up to store: what was read is marked once the stage has turned; who fails is named, and the step is done", async () => {
  const name = await domain("read.test", "mirror", ["ann", "bob"]);
  const { state, standalone } = servers(name, stageOf);
  const to = (stage: string) => ["stage", "set", name, stage, "--without-verify", "--yes"];
  state.stage = "store";
  const byHand = await run(to("store"), standalone);
  assert.deepEqual([byHand.code, state.log], [0, ["plan store"]]);
  assert.match(byHand.err, /what was read before shows as unread in store: only --apply/u);
  const done = async (...args: readonly string[]) => {
    state.log.length = 0;
    const { code, err } = await run([...args, "--apply"], standalone);
    return { code, err, log: state.log.filter(line => !line.startsWith("plan")) };
  };
  const accounts = ["ann", "bob"].map(local => `${local}@${name}`);
  const marked = accounts.map(account => `seen ${account} while store`);
  const forgotten = accounts.map(account => `forget ${account} while mirror`);
  assert.deepEqual((await done(...to("mirror"))).log.slice(0, 2).sort(), forgotten);
  const refused = await done("stage", "set", name, "store", "--yes");
  assert.deepEqual(refused.log, []);
  const up = await done(...to("store"));
  assert.deepEqual([up.code, up.log[0]], [0, "apply store while mirror"], up.err);
  assert.deepEqual([up.log.slice(1, 3).sort(), up.log.slice(3).sort()], [forgotten, marked]);
  assert.match(up.err, /3 messages of 1 accounts are marked.*1 accounts are not.*bob@read\.test: no/su);
  const again = (await done(...to("store"))).log.sort();
  assert.deepEqual(again, ["apply store while store", ...marked], "what it marked before is not forgotten");
});

test("a next hop that is given is known before mail comes by the new routes", async () => {
  await ask("POST", "/api/v1/domains", { body: { name: "routes.test", stage: "observe" } });
  const { state, standalone } = servers("routes.test", stageOf);
  const seen: unknown[] = [];
  const watching: Partial<Standalone> = {
    async site() {
      const engines = await standalone.site();
      return {
        ...engines,
        apply: async (...args) => {
          seen.push((await shown("routes.test")).relay_lmtp);
          return engines.apply(...args);
        },
      };
    },
  };
  const done = await run(
    ["stage", "set", "routes.test", "hooks", "--relay-lmtp", relay, "--apply", "--yes"],
    watching,
  );
  assert.deepEqual([done.code, seen, state.log.at(-1)], [0, [relay], "apply hooks while observe"]);
});

test("down from store: mail goes back until nothing is new, the stage turns, the rest follows, then the servers", async () => {
  const name = await domain("back.test", "store", ["ann", "own"]);
  await set("own@back.test", { stage: "store", without_verify: true });
  const password = join(running.site.dir, "password");
  writeFileSync(password, "secret\n");
  const against = ["--against", "imap://127.0.0.1:9", "--password-file", password];
  const set2 = ["stage", "set", name, "mirror", "--yes"];
  assert.match((await run([...set2, "--sidecar-only"])).err, /--against is missing/u);
  assert.match((await run([...set2, "--sidecar-only", ...against])).err, /--master-user is missing/u);
  const site = servers(name, stageOf);
  const path = "/api/v1/accounts/ann%40back.test/mailboxes/INBOX";
  const carrying = engines(name, stageOf, async n => {
    if (n > 0) return {};
    assert.equal(
      (await ask("POST", `${path}/messages`, { message: Buffer.from("Subject: late\r\n\r\nx\r\n") })).status,
      201,
    );
    return { copied: 3 };
  });
  const full = [...against, "--master-user", "admin", "--apply", "-f", "json"];
  const done = await run([...set2, ...full], { ...site.standalone, ...carrying.standalone });
  assert.equal(done.code, 0, done.err);
  assert.deepEqual(carrying.log, [
    "pass ann@back.test by admin in store expunging",
    "pass ann@back.test by admin in store expunging",
    "verify ann@back.test in store",
    "pass ann@back.test by admin in mirror",
    "pass ann@back.test by admin in mirror",
    "verify ann@back.test in mirror",
  ]);
  assert.deepEqual(carrying.seen, [0, 1, 1, 1], "what comes while a pass runs is the next one's");
  assert.deepEqual(site.state.log, [
    "plan mirror",
    "read ann@back.test while store",
    "forget ann@back.test while mirror",
    "read ann@back.test while mirror",
    "plan mirror",
    "apply mirror while mirror",
  ]);
  const { stage, carried } = JSON.parse(done.out);
  assert.deepEqual([stage, carried.length, carried[0].copied, carried[0].passes], ["mirror", 1, 3, 4]);
  assert.match(done.err, /waiting \d+ s for mail that was accepted before/u);
  // Run again, it looks for what is left, and nothing else.
  const again = engines(name, stageOf, async () => ({}));
  assert.equal((await run([...set2, ...full], { ...site.standalone, ...again.standalone })).code, 0);
  assert.ok(again.log.every(line => / in mirror$/u.test(line)));
});

test("down from store: what cannot be carried back keeps the stage where it is, and a dry run changes nothing", async () => {
  const name = await domain("stuck.test", "store", ["ann"]);
  const password = join(running.site.dir, "password");
  writeFileSync(password, "secret\n");
  const args = ["stage", "set", name, "mirror", "--sidecar-only", "--against", "imap://127.0.0.1:9"];
  const login = ["--password-file", password, "--master-user", "admin"];
  const failing = engines(name, stageOf, async () => ({ failed: 1 }));
  const tried = await run([...args, ...login, "--dry-run"], failing.standalone);
  assert.deepEqual([tried.code, failing.log], [0, ["pass ann@stuck.test by admin in store expunging dry"]]);
  const refused = await run([...args, ...login, "--yes"], failing.standalone);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /what users have read in store is not carried back: only --apply/u);
  assert.match(
    refused.err,
    /1 messages could not be carried back; the stage is as it was:\n {2}ann@stuck\.test: INBOX\/1: too large/u,
  );
  assert.equal((await shown(name)).stage, "store");
});

test("down from store: what was read there in Dovecot is read here before it is carried back; who fails is named", async () => {
  const name = await domain("unread.test", "store", ["ann", "bob"]);
  const inbox = "/api/v1/accounts/ann%40unread.test/mailboxes/INBOX";
  for (const subject of ["one", "two", "three"]) {
    const message = Buffer.from(`Subject: ${subject}\r\n\r\nx\r\n`);
    assert.equal((await ask("POST", `${inbox}/messages`, { message })).status, 201);
  }
  const mailboxes = await ask("GET", "/api/v1/accounts/ann%40unread.test/mailboxes");
  const { uid_validity: validity } = (mailboxes.body.items as { name: string; uid_validity: number }[]).find(
    one => one.name === "INBOX",
  ) ?? { uid_validity: 0 };
  const flags = async () => {
    const { body } = await ask("GET", `${inbox}/messages`);
    return (body.items as { flags: string[] }[]).map(one => one.flags.join());
  };
  const wrong = await ask("POST", `${inbox}/seen`, { body: { uid_validity: validity + 1, uids: [1] } });
  assert.deepEqual([wrong.status, await flags()], [409, ["", "", ""]]);
  const site = servers(name, stageOf);
  site.state.read = [
    { mailbox: "INBOX", uid_validity: validity + 1, uids: [1] },
    { mailbox: "INBOX", uid_validity: validity, uids: [2, 3, 99] },
    { mailbox: "Public/x", uid_validity: 1, uids: [1] },
  ];
  const password = join(running.site.dir, "password");
  writeFileSync(password, "secret\n");
  const login = ["--against", "imap://127.0.0.1:9", "--password-file", password, "--master-user", "admin"];
  const step = ["stage", "set", name, "mirror", "--yes", "-f", "json", ...login];
  const passes = engines(name, stageOf, async () => ({ failed: 1 }));
  const done = await run([...step, "--apply"], { ...site.standalone, ...passes.standalone });
  assert.equal(done.code, 1, "the pass after it fails");
  assert.deepEqual(await flags(), ["", "\\Seen", "\\Seen"]);
  assert.match(done.err, /what bob@unread\.test has read in store is not carried back: no such user/u);
  const again = await ask("POST", `${inbox}/seen`, { body: { uid_validity: validity, uids: [1, 2] } });
  assert.deepEqual(again.body, { changed: 1 });
});
