/**
 * What an administrator agrees to, on the running service: review, settings, the audit log, another master key; and that no secret of
 * all this is found anywhere that it has no business to be (S6 of the quality figures).
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import type { Db } from "../../src/store/db.ts";
import { statement } from "../lib/database.ts";
import { openEmbedded } from "../lib/promises-store.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const ID = "com.example.asks";
const HTTP = "com.example.called";
const HOOK = "asks";
const CANARY = `canary-${randomBytes(12).toString("hex")}`;

/** Says what it was set to, without saying the secret, and which process it is. */
const PLUGIN = `
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  if (line.mairust === 1) console.log(JSON.stringify({ mairust: 1, plugin: "${ID}", version: "1.0.0", api: ["1"] }));
  else if (line.health) console.log('{"status":"ok"}');
  else {
    const { api_key: key = "", threshold, in_file, ...rest } = line.settings;
    const digest = createHash("sha256").update(key).digest("hex");
    if (threshold > 0.98) { console.error("a crash"); process.exit(3); }
    console.log(JSON.stringify({ call_id: line.call_id, explanation: JSON.stringify({ pid: process.pid, threshold, digest, rest }) }));
  }
}`;
const MANIFEST = `
id = "${ID}"
name = "Asks"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["${process.execPath}", "main.mjs"]
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = true
read_body = "full"
[permission_notes]
read_body = "All of it,\\nplease"
[limits]
network = "outbound-limited"
network_allow = ["api.example.com:443"]
[settings.threshold]
type = "number"
default = 0.8
min = 0
max = 1
[settings.api_key]
type = "secret"
description = "Key of the API"
[settings.url]
type = "url"
default = "https://api.example.com/"
[settings.fixed]
type = "string"
[settings.in_file]
type = "secret"
`;

let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
let db: Db;

before(async () => {
  scratch = await makeScratch();
  const plugins = join(scratch.dir, "plugins");
  mkdirSync(join(plugins, ID), { recursive: true });
  mkdirSync(join(plugins, HTTP));
  writeFileSync(join(plugins, ID, "plugin.toml"), MANIFEST);
  writeFileSync(join(plugins, ID, "main.mjs"), PLUGIN);
  writeFileSync(
    join(plugins, HTTP, "plugin.toml"),
    `id = "${HTTP}"\nname = "B"\nversion = "1.0.0"\n[entry]\ntype = "hook"\nprotocol = "http"\nendpoint = "http://127.0.0.1:9/"\n` +
      `[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true\n`,
  );
  sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    logLevel: "debug",
    // A look at its health takes another of its processes' turn; which one answers is looked at here.
    toml: `[plugins]
health_interval_s = 3600
folders = [${JSON.stringify(plugins)}]
allow_unsigned = ["${ID}", "${HTTP}"]
allow_unsandboxed = ["${ID}"]
[plugin."${ID}"]
grants = { read_headers = true }
settings = { fixed = "by file", in_file = "${CANARY}-file" }
[plugin."${HTTP}"]
grants = { read_headers = true }
[[hooks]]
name = "${HOOK}"
point = "pre_delivery"
plugin = "${ID}"
mode = "shadow"
timeout_ms = 5000
`,
  });
  db = await openEmbedded(join(sidecar.dir, "data"));
});
after(async () => {
  const deadline = deadlineAfter(10_000);
  await db?.close(deadline);
  deadline.dispose();
  await sidecar?.stop();
  await scratch?.remove();
});

async function mairust(args: readonly string[], input?: string) {
  const { code, stdout, stderr } = await sidecar.mairust(args, input);
  return { code, out: stdout.toString(), err: stderr };
}

const json = async (...args: string[]) => {
  const { code, out, err } = await mairust([...args, "-f", "json"]);
  assert.equal(code, 0, err);
  return JSON.parse(out);
};

/** What the plugin was sent. */
async function asked() {
  const { explanation } = await json("hook", "test", HOOK);
  return JSON.parse(explanation);
}

function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; text: string; headers: NodeJS.Dict<string | string[]> }>(
    (resolve, reject) => {
      const sent = request(
        {
          socketPath: sidecar.apiSocket,
          method,
          path,
          agent: false,
          headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        },
        response => {
          const chunks: Buffer[] = [];
          response.on("data", chunk => chunks.push(chunk));
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, text, headers: response.headers });
          });
        },
      );
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    },
  );
}

test("a review says in plain sentences what a plugin asks for, in two languages", async () => {
  const en = await mairust(["plugin", "review", ID, "--lang", "en"]);
  assert.equal(en.code, 0, en.err);
  assert.match(en.out, /read the whole text of every message\n {2}The author says: “All of it, please”/u);
  // It is named in `allow_unsandboxed`: no list of hosts is enforced then.
  assert.match(en.out, /Risk: 6\/6/u);
  assert.match(en.out, /network: NOT enforced/u);
  assert.match(en.out, /It can reach the network/u);
  const ja = await mairust(["plugin", "review", ID, "--lang", "ja"]);
  assert.match(ja.out, /すべてのメールの本文全体を読みます/u);
  const path = `/api/v1/admin/plugins/${ID}/review`;
  const answer = await ask("GET", path, undefined, { "accept-language": "ja,en;q=0.5" });
  assert.equal(answer.headers["content-language"], "ja");
  assert.equal(JSON.parse(answer.text).rating, 6);
  assert.equal((await mairust(["plugin", "review", "com.example.none"])).code, 66);
  assert.equal((await mairust(["plugin", "review", ID, "--lang", "fr"])).code, 64);
});

test("settings reach the running plugin with the next call, and its process goes on", async () => {
  const first = await asked();
  assert.equal(first.threshold, 0.8);
  assert.deepEqual(first.rest, { url: "https://api.example.com/", fixed: "by file" });
  const secret = await mairust(["plugin", "settings", ID, "threshold=0.5", "api_key=-"], `${CANARY}\n`);
  assert.equal(secret.code, 0, secret.err);
  assert.match(secret.out, /api_key\t\(set\)\tdatabase/u);
  const second = await asked();
  assert.deepEqual([second.threshold, second.pid], [0.5, first.pid]);
  assert.equal(second.digest, createHash("sha256").update(CANARY).digest("hex"));

  const again = await mairust(["plugin", "settings", ID, "--unset", "threshold"]);
  assert.equal(again.code, 0, again.err);
  assert.equal((await asked()).threshold, 0.8);
});

test("settings that are not allowed are refused, and nothing changes", async () => {
  const refusals: ReadonlyArray<readonly [string, RegExp]> = [
    ["threshold=2", /threshold: found 2, allowed: a number from 0 to 1/u],
    ["threshold=many", /threshold: found "many"/u],
    ["none=1", /settings\.none: found an unknown key, allowed: threshold, api_key/u],
    [
      "url=https://evil.example/",
      /url: found "https:\/\/evil.example\/", allowed: a host of limits.network_allow/u,
    ],
    ["fixed=other", /"fixed" is set in .*mairust\.toml:\d+.*change it there/u],
    [`api_key=${CANARY}`, /"api_key" is a secret: say api_key=-/u],
  ];
  for (const [assignment, why] of refusals) {
    const { code, err } = await mairust(["plugin", "settings", ID, assignment]);
    assert.notEqual(code, 0, assignment);
    assert.match(err, why);
    assert.ok(!err.includes(CANARY));
  }
  assert.equal((await mairust(["plugin", "settings", ID, "threshold=0.1", "--dry-run"])).code, 0);
  assert.equal((await asked()).threshold, 0.8);
  const path = `/api/v1/admin/plugins/${ID}/settings`;
  assert.equal((await ask("PATCH", path, { threshold: 0.1 })).status, 428);
  assert.equal((await ask("PATCH", path, { threshold: 0.1 }, { "if-match": '"1"' })).status, 412);
  const wrong = await ask("PATCH", path, { api_key: 5 }, { "if-match": '"3"' });
  assert.ok(wrong.status >= 400 && !wrong.text.includes("found 5"), wrong.text);
});

test("who changed what is recorded before it is done, also what was refused, and never a secret", async () => {
  await mairust(["domain", "add", "audit.example"]);
  await mairust(["domain", "add", "audit.example"]);
  await mairust(["reload"]);
  const rows = await json("audit", "--object", "audit.example");
  assert.equal(rows.length, 3);
  assert.deepEqual(
    rows.map((row: { action: string; detail: { failed?: string } }) => [row.action, row.detail.failed]),
    [
      ["domain.add", "already_exists"],
      ["domain.add", undefined],
      ["domain.add", undefined],
    ],
  );
  assert.match(rows[0].actor, /^local:[\w.@-]+$/u);
  const actions = (await json("audit", "--action", "plugin.")).map((row: { action: string }) => row.action);
  assert.ok(actions.length > 2 && actions.every((action: string) => action === "plugin.settings"));
  const [settings] = (await json("audit", "--action", "plugin.settings")).slice(-1);
  assert.deepEqual(settings.detail, { set: ["threshold", "api_key"], unset: [] });
  assert.equal((await json("audit", "--action", "config.reload", "--since", "1h")).length, 1);
  const { out } = await mairust(["audit", "--export"]);
  const all = out.trimEnd().split("\n");
  assert.deepEqual(
    all.map(line => BigInt(JSON.parse(line).id)),
    all.map(line => BigInt(JSON.parse(line).id)).sort((a, b) => (a > b ? -1 : 1)),
  );
  assert.equal((await json("audit", "--limit", "2")).length, 2);
  for (const change of ["update audit set actor = 'x'", "delete from audit", "truncate audit"])
    await assert.rejects(db.run(statement(change)), /append only/u);
});

test("another master key opens what was sealed with the old one, and the service goes on with it", async () => {
  const old = readFileSync(join(sidecar.dir, "master.key"), "utf8");
  const tried = await mairust(["key", "rotate", "--dry-run", "-f", "json"]);
  assert.equal(JSON.parse(tried.out).settings, 1, tried.err);
  assert.equal(readFileSync(join(sidecar.dir, "master.key"), "utf8"), old);
  const { code, out, err } = await mairust(["key", "rotate", "--yes", "-f", "json"]);
  assert.equal(code, 0, err);
  const made = JSON.parse(out);
  assert.deepEqual([made.secrets, made.settings], [1, 1]);
  assert.notEqual(readFileSync(join(sidecar.dir, "master.key"), "utf8"), old);
  await sidecar.stop();
  await sidecar.restart();
  assert.equal((await asked()).digest, createHash("sha256").update(CANARY).digest("hex"));
});

test("no secret is found in logs, answers, errors, processes, the database, the ledger or other files", async () => {
  const rotated = await mairust(["plugin", "rotate", HTTP, "-f", "json"]);
  assert.equal(rotated.code, 0, rotated.err);
  const whsec = String(JSON.parse(rotated.out).secret).replace("whsec_", "");
  const master = readFileSync(join(sidecar.dir, "master.key"), "utf8").trim();
  const forms = (secret: Buffer) =>
    ["utf8", "hex", "base64", "base64url"].map(form => secret.toString(form as BufferEncoding));
  const secrets = [
    Buffer.from(CANARY),
    Buffer.from(whsec, "base64"),
    Buffer.from(master),
    Buffer.from(master, "hex"),
  ];
  const needles = [...new Set(secrets.flatMap(forms))].filter(one => /^[\w+/=-]{16,}$/u.test(one));
  const seen: string[] = [];
  const look = (where: string, text: string) => {
    seen.push(where);
    for (const needle of needles) assert.ok(!text.includes(needle), `${where} holds a secret`);
  };

  // A plugin that crashes with the secret in its hands, and calls that fail.
  const crash = await mairust(["plugin", "settings", ID, "threshold=0.99"]);
  assert.equal(crash.code, 0, crash.err);
  const failed = await mairust(["hook", "test", HOOK]);
  look("a failed call", failed.out + failed.err);
  await mairust(["plugin", "settings", ID, "--unset", "threshold"]);
  await asked();

  // Every route that is read, and wrong requests with the secret as text where a key or a value is meant.
  const paths = [
    ...["components", "config", "hooks", "ledger", "audit", "audit/export", "plugins", "plugin-keys"],
    ...[`plugins/${ID}/review`, `plugins/${ID}/settings`, `plugins/${HTTP}/settings`, `plugins/${ID}`],
  ].map(path => `/api/v1/admin/${path}`);
  for (const path of [...paths, "/readyz", "/metrics", "/api/v1/jobs", "/api/v1/messages", "/api/v1/held"])
    look(path, (await ask("GET", path)).text);
  const settings = `/api/v1/admin/plugins/${ID}/settings`;
  const version = { "if-match": `"${JSON.parse((await ask("GET", settings)).text).version}"` };
  for (const body of [{ api_key: CANARY.repeat(2000) }, { api_key: CANARY, none: 1 }, { api_key: [CANARY] }])
    look("a refused change", (await ask("PATCH", settings, body, version)).text);
  for (const args of [
    ["config", "show", "-a"],
    ["config", "show", "--origin"],
    ["audit", "-f", "json"],
    ["plugin", "list"],
    ...["show", "review", "health", "logs", "settings"].map(verb => ["plugin", verb, ID]),
  ])
    look(args.join(" "), (await mairust(args)).out);

  for (const pid of readdirSync("/proc").filter(name => /^\d+$/u.test(name)))
    for (const file of ["cmdline", "environ"])
      look(`/proc/${pid}/${file}`, readProcess(`/proc/${pid}/${file}`));
  const { pid } = await asked();
  assert.ok(seen.includes(`/proc/${pid}/environ`), "the plugin's process was looked at");
  // What it holds is not written to a file when it crashes.
  assert.match(readProcess(`/proc/${pid}/limits`), /^Max core file size +0 +0 /mu);

  const tables = await db.query<{ name: string }>`
    select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`;
  for (const { name } of tables) {
    const rows = await db.query<{ row: string }>(statement(`select to_jsonb(t)::text as row from ${name} t`));
    // bytea as hex: `\x…`.
    look(`table ${name}`, rows.map(({ row }) => row).join("\n"));
  }
  await sidecar.stop();
  for (const file of files(scratch.dir)) {
    // The key itself, the configuration that somebody wrote a secret into, and nothing else.
    if (file !== join(sidecar.dir, "master.key") && file !== sidecar.configFile)
      look(file, readFileSync(file, "latin1"));
  }
  const logs = seen.filter(file => file.endsWith("sidecar.log") || file.endsWith(`${ID}.log`));
  assert.equal(logs.length, 2);
  await sidecar.restart();
});

function readProcess(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // Gone meanwhile, or none of ours.
    return "";
  }
}

function files(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map(name => join(dir, name))
    .filter(path => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}
