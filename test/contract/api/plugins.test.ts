/** Plugins in the whole service: called by HTTP with signatures that their server can check, listed, and given new secrets. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generateKey } from "../../../src/plugins/package/keys.ts";
import type { PluginDetailBody } from "../../../src/wire/api/plugin-lifecycle.ts";
import { type HttpPlugin, startHttpPlugin } from "../runtimes/fixtures/http-plugin.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

const ID = "com.example.called";
const SCRIPT = "com.example.script";
const IDLE = "com.example.idle";
const folder = mkdtempSync(join(tmpdir(), "mr-api-plugins-"));
let running: RunningService;
let plugin: HttpPlugin;
let known = "";

function write(id: string, entry: string): void {
  mkdirSync(join(folder, id));
  writeFileSync(
    join(folder, id, "plugin.toml"),
    `id = "${id}"\nname = "A"\nversion = "1.2.3"\n[entry]\ntype = "hook"\n${entry}\n[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true\n`,
  );
}

before(async () => {
  plugin = await startHttpPlugin({
    health: ({ headers }, response) => {
      const key = Buffer.from(known.replace("whsec_", ""), "base64");
      const mac = createHmac("sha256", key).update(`${headers["x-mairust-timestamp"]}.`).digest("hex");
      response.writeHead(headers["x-mairust-signature"] === `sha256=${mac}` ? 200 : 401).end();
    },
  });
  write(
    ID,
    `protocol = "http"\nendpoint = "${plugin.origin}/hook"\nhealth_endpoint = "${plugin.origin}/health"`,
  );
  write(SCRIPT, `protocol = "script"\ncommand = ["cat"]\nmode = "spawn"`);
  write(IDLE, `protocol = "http"\nendpoint = "${plugin.origin}/hook"`);
  running = await startService([
    "plugins.enabled=true",
    `plugins.folders=${JSON.stringify([folder])}`,
    `plugins.allow_unsigned=${JSON.stringify([ID, SCRIPT])}`,
    `plugins.allow_unsandboxed=${JSON.stringify([SCRIPT])}`,
    `plugin."${ID}".grants.read_headers=true`,
    `plugin."${SCRIPT}".grants.read_headers=true`,
  ]);
});
after(async () => {
  await running?.stop();
  await plugin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const run = (...args: readonly string[]) => command(running.site.configFile, args);

const rotate = (id: string, query = "") =>
  running.ask("POST", `/api/v1/admin/plugins/${id}/secrets/rotate${query}`);

/** Asked now; what `/readyz` shows is kept for a while. */
const health = async () =>
  JSON.stringify((await running.ask("GET", `/api/v1/admin/plugins/${ID}/health`)).body);

/** How many signatures each request of the next look at the health carries. */
async function probe() {
  plugin.seen.length = 0;
  await health();
  // They are under way at the same time.
  return plugin.seen.map(({ headers }) => String(headers["webhook-signature"]).split(" ").length).sort();
}

test("the end of a plugin's log, by command, with what it wrote escaped", async () => {
  const logs = join(running.site.dir, "log", "plugins");
  mkdirSync(logs, { recursive: true });
  writeFileSync(join(logs, `${SCRIPT}.log`), "one\ntwo \u001b[31mred\n");
  const shown = await run("plugin", "logs", SCRIPT, "--lines", "1");
  assert.deepEqual([shown.code, shown.out], [0, "two \\x1b[31mred\n"]);
  assert.equal((await run("plugin", "logs", "com.example.none")).code, 66);
});

test("plugins are listed with state, reason and destination", async () => {
  const { body } = await running.ask("GET", "/api/v1/admin/plugins");
  const items = body.items as readonly PluginDetailBody[];
  const mine = items.filter(({ id }) => id === ID || id === SCRIPT);
  assert.deepEqual(
    mine.map(({ id, version, state, reason, destination, granted_by }) => [
      id,
      version,
      state,
      reason,
      destination,
      granted_by,
    ]),
    [
      [ID, "1.2.3", "enabled", null, plugin.origin, "file"],
      [SCRIPT, "1.2.3", "enabled", null, "script:cat", "file"],
    ],
  );
  const idle = items.find(({ id }) => id === IDLE);
  assert.deepEqual([idle?.state, idle?.destination], ["disabled", null]);
  assert.match(idle?.reason ?? "", /no hook names it/);
  const { out } = await run("plugin", "list", "-f", "table");
  assert.match(out, new RegExp(`${ID} +1\\.2\\.3 +enabled .*${plugin.origin}`, "u"));
});

test("the first rotation gives a secret that signs at once; the next one is staged until it is proved", async () => {
  const answer = await rotate(ID);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["cache-control"], "no-store");
  assert.deepEqual([answer.body.active, answer.body.old_until], [true, null]);
  known = String(answer.body.secret);
  assert.match(known, /^whsec_[A-Za-z0-9+/]{43}=$/u);
  assert.equal((await probe()).length, 1);
  assert.doesNotMatch(await health(), /answered 401/);

  const next = await run("plugin", "rotate", ID, "-f", "json");
  assert.equal(next.code, 0);
  const made: { secret: string; active: boolean; old_until: string } = JSON.parse(next.out);
  assert.equal(made.active, false);
  assert.ok(Date.parse(made.old_until) > Date.now() + 86_000_000);
  // Asked with the old one, and probed with the new one, which the server does not know yet.
  assert.deepEqual(await probe(), [1, 2]);
  const again = await rotate(ID);
  assert.deepEqual([again.status, again.body.code], [409, "invalid_state"]);
  known = made.secret;
  await probe();
  // Proved: it signs first, and there is nothing left to prove.
  assert.deepEqual(await probe(), [2]);
  assert.doesNotMatch(await health(), /answered 401/);
});

test("a grace of 0 ends the old secret at once", async () => {
  const answer = await rotate(ID, "?grace_s=0");
  assert.deepEqual([answer.body.active, answer.body.old_until], [true, null]);
  known = String(answer.body.secret);
  assert.deepEqual(await probe(), [1]);
});

test("an endpoint that is our own socket does not make us the administrator", async () => {
  const headers = { "x-mairust-plugin-id": ID };
  const refused = await running.ask("POST", "/api/v1/admin/reload", { headers });
  assert.deepEqual([refused.status, refused.body.code], [403, "not_permitted"]);
  assert.equal((await running.ask("GET", "/readyz", { headers })).status, 403);
  assert.equal((await running.ask("POST", "/api/v1/admin/reload")).status, 200);
});

test("what has no secret is told apart from what does not exist", async () => {
  assert.equal((await rotate("com.example.none")).status, 404);
  assert.equal((await rotate(IDLE)).status, 409);
  const script = await rotate(SCRIPT);
  assert.deepEqual([script.status, script.body.code], [409, "invalid_state"]);
  assert.match(String(script.body.detail), /not called by HTTP/);
  assert.equal((await rotate(ID, "?grace_s=604801")).status, 400);
  assert.equal((await rotate(ID, "?grace_s=x")).status, 400);
});

test("keys are trusted and taken back, plugins revoked, by command", async () => {
  const [file, other] = [join(folder, "dev.key"), join(folder, "market.key")];
  const keygen = async (path: string) => {
    const { id, privatePem, publicPem } = generateKey();
    writeFileSync(path, privatePem);
    writeFileSync(`${path}.pub`, publicPem);
    return id;
  };
  const [id, marketId] = [await keygen(file), await keygen(other)];
  const trusted = await run("plugin", "keys", "trust", `${file}.pub`, "--label", "our own", "-f", "table");
  assert.equal(trusted.code, 0, trusted.err);
  assert.match(trusted.out, /^ROLE +private\nLABEL +our own\nKEY +[0-9a-f]{64}\n/u);
  const dry = ["plugin", "keys", "trust", `${other}.pub`, "--role", "marketplace", "--dry-run"];
  assert.match((await run(...dry)).err, /nothing was changed/u);
  const wrong = await run("plugin", "keys", "trust", file);
  assert.deepEqual([wrong.code, /holds a private key/u.test(wrong.err)], [65, true]);
  const list = await run("plugin", "keys", "list");
  assert.equal(list.out.split("\n").length, 2);
  assert.ok(list.out.includes(id) && !list.out.includes(marketId));
  const what = "com.example.bad@1.0.0";
  const asked = await run("plugin", "revoke", what, "--reason", "CVE");
  assert.deepEqual([asked.code, /Say --yes/u.test(asked.err)], [64, true]);
  const revoked = await run("plugin", "revoke", what, "--severity", "vulnerable", "--reason", "CVE", "--yes");
  assert.equal(revoked.code, 0, revoked.err);
  assert.equal((await run("plugin", "revoke", `key:${id}`, "--reason", "stolen", "--yes")).code, 0);
  const revocations = await run("plugin", "revocations", "-f", "table");
  assert.match(revocations.out, /com\.example\.bad@1\.0\.0 +vulnerable .* local:\S+ +CVE/u);
  assert.ok(revocations.out.includes(`key:${id}`));
  assert.equal((await run("plugin", "revoke", "Not An Id", "--reason", "x", "--yes")).code, 64);
  assert.equal((await run("plugin", "unrevoke", what, "--yes")).code, 0);
  assert.equal((await run("plugin", "unrevoke", what, "--yes")).code, 66);
  assert.equal((await run("plugin", "keys", "rm", id.slice(0, 12), "--yes")).code, 0);
  assert.equal((await run("plugin", "keys", "rm", id, "--yes")).code, 66);
});
