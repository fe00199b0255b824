/** A dry run of what an administrator changes besides mail changes nothing; the same request without it is made, and changes something. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import type { Db } from "../../../src/store/db.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { fingerprint } from "./fingerprint.ts";
import { type AskOptions, type RunningService, startService } from "./service.ts";

const ADMIN = "/api/v1/admin";
const ID = "com.example.dry";
const PLUGIN = `${ADMIN}/plugins/${ID}`;
const ROW = `${ADMIN}/hooks/row`;
const TAGGER = "com.example.mairust.hello-world";
const DKIM = "/api/v1/domains/example.test/dkim";
const REVOKED = `${ADMIN}/plugin-revocations/plugin/com.example.bad`;

const folder = mkdtempSync(join(tmpdir(), "mr-api-dry-"));
let running: RunningService;
let db: Db;
before(async () => {
  mkdirSync(join(folder, ID));
  writeFileSync(
    join(folder, ID, "plugin.toml"),
    `id = "${ID}"\nname = "A"\nversion = "1.2.3"\n[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["cat"]
mode = "spawn"\n[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true
[settings.word]\ntype = "string"\ndescription = "A word"\n`,
  );
  running = await startService([
    "plugins.enabled=true",
    `plugins.folders=${JSON.stringify([join(process.cwd(), "plugins"), folder])}`,
    `plugins.allow_unsigned=${JSON.stringify([ID, TAGGER])}`,
    `plugins.allow_unsandboxed=${JSON.stringify([ID, TAGGER])}`,
    "outbound.smtp=inet:127.0.0.1:1",
  ]);
  db = await running.database();
  await deliver("taro@example.test");
});
after(async () => {
  await running?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function deliver(to: string): Promise<void> {
  const address = running.service.addresses().find(({ name }) => name === "lmtp")?.address ?? "";
  const client = await LmtpTestClient.open(Number(address.split(":").at(-1)));
  const message = Buffer.from("Subject: hello there\r\n\r\nbody\r\n");
  assert.match(String(await client.deliver([to], message, "4QDRY1")), /^250 /u);
  client.close();
}

/** @returns the version that a change of it names */
async function matching(path: string): Promise<Readonly<Record<string, string>>> {
  return { "if-match": String((await running.ask("GET", path)).headers.etag) };
}

interface Step {
  readonly method: string;
  readonly path: string;
  readonly query?: string;
  readonly body?: object | (() => Promise<object>);
  /** What has the version that is named. */
  readonly of?: string;
}

const step = (method: string, path: string, more: Omit<Step, "method" | "path"> = {}): Step => ({
  ...{ method, path, ...more },
});
const pem = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" });
const versionOfRow = async () => Number((await matching(ROW))["if-match"]?.replaceAll('"', ""));
const keyOfPlugins = async () => {
  const { body } = await running.ask("GET", `${ADMIN}/plugin-keys`);
  return (body.items as { id: string }[])[0]?.id ?? "";
};

const STEPS: readonly Step[] = [
  step("POST", `${ADMIN}/plugins`, { body: { folder: ID } }),
  step("POST", `${PLUGIN}/approve`, { body: {} }),
  step("PATCH", `${PLUGIN}/settings`, { body: { word: "one" }, of: `${PLUGIN}/settings` }),
  step("POST", `${PLUGIN}/enable`, { body: {} }),
  step("POST", `${ADMIN}/hooks`, { body: { name: "row", plugin: ID, point: "pre_delivery" } }),
  step("PATCH", ROW, { body: { priority: 7 }, of: ROW }),
  step("POST", `${ROW}/mode`, { body: { mode: "canary", canary_percent: 5 }, of: ROW }),
  step("POST", `${ADMIN}/hooks/reorder`, {
    body: async () => ({ hooks: [{ name: "row", priority: 9, version: await versionOfRow() }] }),
  }),
  step("POST", `${ROW}/promote`, { query: "&force=true", of: ROW }),
  step("POST", `${ADMIN}/bypass`, { body: { plugin: ID, for_s: 3_600 } }),
  step("DELETE", `${ADMIN}/bypass`, { query: `&plugin=${ID}` }),
  step("DELETE", ROW, { of: ROW }),
  step("POST", `${PLUGIN}/disable`),
  step("POST", `${PLUGIN}/uninstall`, { query: "&purge=true" }),
  step("POST", `${ADMIN}/plugin-keys`, { body: { public_key: pem, role: "private", label: "one" } }),
  step("DELETE", `${ADMIN}/plugin-keys/:key`),
  step("PUT", REVOKED, { body: { severity: "malicious", reason: "it is" } }),
  step("DELETE", REVOKED),
  step("POST", DKIM, { body: { selector: "one", algorithm: "ed25519-sha256" } }),
  step("POST", `${ADMIN}/key/rotate`),
  step("DELETE", `${DKIM}/one`),
  step("POST", "/api/v1/send", { body: { from: "taro@example.test", to: ["a@example.org"], text: "x" } }),
];

test("a dry run of an undo counts what would be undone, and starts nothing", async t => {
  const end = deadlineAfter(60_000);
  t.after(() => end.dispose());
  const undo = (query: string) => running.ask("POST", `${ADMIN}/undo${query}`, { body: { plugin: TAGGER } });
  const was = await fingerprint(db);
  const tried = await undo("?dry_run=true");
  assert.deepEqual([tried.status, tried.body.job], [200, null]);
  assert.ok(Number(tried.body.changes) > 0);
  assert.equal(await fingerprint(db), was);
  const made = await undo("");
  assert.equal(made.status, 202);
  assert.deepEqual([made.body.changes, typeof made.body.job], [tried.body.changes, "number"]);
  const state = async () => (await running.ask("GET", `/api/v1/jobs/${made.body.job}`)).body.state;
  while ((await state()) !== "done") await sleep(20, end.signal);
});

test("a dry run of a reload tells which keys would count, and none does", async () => {
  appendFileSync(running.site.configFile, "\n[retention]\nevents_days = 17\n");
  const days = async () => {
    const { body } = await running.ask("GET", `${ADMIN}/config`);
    return (body.items as { key: string; value: unknown }[]).find(
      ({ key }) => key === "retention.events_days",
    )?.value;
  };
  const was = await days();
  const reload = async (query: string) => (await running.ask("POST", `${ADMIN}/reload${query}`)).body;
  const tried = await reload("?dry_run=true");
  assert.notDeepEqual([tried.applied, tried.need_restart], [[], []]);
  assert.equal(await days(), was);
  assert.deepEqual(await reload(""), tried);
});

test("a dry run answers as the change does, and changes nothing; then the change is made", async () => {
  for (const { method, path, query = "", body, of } of STEPS) {
    const at = path.endsWith("/:key") ? path.replace(":key", await keyOfPlugins()) : path;
    const options: AskOptions = {
      ...(body === undefined ? {} : { body: typeof body === "function" ? await body() : body }),
      ...(of === undefined ? {} : { headers: await matching(of) }),
    };
    const was = await fingerprint(db);
    const tried = await running.ask(method, `${at}?dry_run=true${query}`, options);
    assert.ok(tried.status < 300, `${method} ${at}: ${tried.status} ${JSON.stringify(tried.body)}`);
    assert.equal(await fingerprint(db), was, `dry run of ${method} ${at}`);
    const made = await running.ask(method, `${at}?${query.slice(1)}`, options);
    assert.ok(made.status < 300, `${method} ${at}: ${made.status} ${JSON.stringify(made.body)}`);
    assert.deepEqual(Object.keys(tried.body).sort(), Object.keys(made.body).sort(), `${method} ${at}`);
    assert.notEqual(await fingerprint(db), was, `${method} ${at} changed nothing`);
  }
});
