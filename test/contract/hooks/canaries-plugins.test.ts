/**
 * S1 around plugins in their sandbox: mail with a token in each field, and plugins that put all of it wherever they can, in a whole
 * service with hooks in shadow, canary and enforce, a cap, a budget, a demotion, a bypass, the crash rule and an undo. A plugin's own
 * words are kept where they belong and nowhere else; a token of the mail is in no log, table, answer, metric, process or file.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import type { Db } from "../../../src/store/db.ts";
import { Haystack, tokenOf } from "../../lib/canaries.ts";
import { CANARY_PLUGINS, canaryHook, canaryPluginId, canaryPlugins } from "../../lib/canary-plugins.ts";
import { statement } from "../../lib/database.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { MilterClient } from "../../lib/milter-client.ts";
import { openEmbedded } from "../../lib/promises-store.ts";
import { getText } from "../../lib/service-metrics.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const WAIT_MS = 60_000;
const ADMIN = "/api/v1/admin";
/** In every address; lower case, as addresses are compared. */
const ADDRESS = "wv9adrk4x";
/** Where a mail's tokens may be, beside the mail itself; whatever is not named here holds none. */
type Place = "timeline" | "plugin log" | "health" | "egress record" | "own folder";
const WORDS: Readonly<Record<string, readonly Place[]>> = {
  explains: ["timeline"],
  says: ["plugin log"],
  crashes: ["plugin log"],
  ails: ["health", "own folder"],
  calls: ["egress record"],
};
/** Mail by whose recipient decides which plugins see it, in this order. */
const MAIL: ReadonlyArray<readonly [to: string, does: string]> = [
  ...["plain", "explains", "says", "echoes", "breaks", "plain", "names", "exceeds", "plain", "rejects"].map(
    does => ["do", does] as const,
  ),
  ...["rejects", "moves", "moves", "calls", "waits", "ails"].map(does => ["do", does] as const),
  ...["dear", "dear"].map(to => [to, "plain"] as const),
  ...["crash", "crash", "crash"].map(to => [to, "crashes"] as const),
  ...["demote", "demote", "demote", "demote"].map(to => [to, "breaks"] as const),
];

interface Sent {
  readonly to: string;
  readonly does: string;
  readonly tokens: readonly string[];
}

const scratch = await makeScratch();
const milterSocket = join(scratch.dir, "milter.sock");
const dir = join(scratch.dir, "s");
const sent: Sent[] = [];
/** What was found in processes while a call was under way. */
const processes: string[] = [];
let sidecar: Sidecar;
let db: Db;

before(async () => {
  mkdirSync(join(dir, "conf.d"), { recursive: true });
  writeFileSync(join(dir, "conf.d", "log.toml"), "[log]\nhash_addresses = true\n");
  sidecar = await startSidecar({
    dir,
    logLevel: "debug",
    milterListen: `unix:${milterSocket}`,
    toml: canaryPlugins(join(scratch.dir, "plugins")),
  });
  db = await openEmbedded(join(dir, "data"));
});
after(async () => {
  const deadline = deadlineAfter(10_000);
  await db?.close(deadline);
  deadline.dispose();
  await sidecar?.stop();
  await scratch.remove();
});

/** A message with a token in each field. */
function mailOf(does: string): {
  readonly headers: ReadonlyArray<readonly [string, string]>;
  readonly body: string;
  readonly tokens: readonly string[];
} {
  const tokens: string[] = [];
  const token = () => {
    tokens.push(tokenOf(sent.length * 10 + tokens.length));
    return tokens.at(-1) ?? "";
  };
  const attached = Buffer.from(`${token()} in the file`).toString("base64");
  const headers = [
    ["Subject", ` ${does} ${token()}`],
    ["From", ` "${token()}" <${ADDRESS}f@example.org>`],
    ["X-Custom", ` ${token()}`],
    ["Message-ID", ` <${token()}@example.org>`],
    ["Content-Type", " multipart/mixed; boundary=b"],
  ] as const;
  const body = `--b\r\nContent-Type: text/plain\r\n\r\n${token()}\r\n--b\r\nContent-Type: application/pdf
Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="${token()}.pdf"\r\n\r\n${attached}\r\n--b--\r\n`;
  return { headers, body: body.replace(/\r?\n/g, "\r\n"), tokens };
}

const addressOf = (to: string, number: number) => `${to}.${ADDRESS}${number}@example.test`;

async function byLmtp(to: string, does: string): Promise<string> {
  const { headers, body, tokens } = mailOf(does);
  const number = sent.push({ to, does, tokens });
  const source = `${headers.map(([name, value]) => `${name}:${value}\r\n`).join("")}\r\n${body}`;
  const client = await LmtpTestClient.open(sidecar.lmtpPort);
  const [reply = ""] = await client.deliver([addressOf(to, number)], Buffer.from(source), `4XyCap${number}`);
  client.close();
  return reply;
}

async function byMilter(does: string, auth?: string): Promise<void> {
  const { headers, body, tokens } = mailOf(does);
  const number = sent.push({ to: "do", does, tokens });
  const client = await MilterClient.open({ path: milterSocket });
  const from = auth === undefined ? `${ADDRESS}out@example.org` : addressOf("do", 0);
  await client.send({
    to: [auth === undefined ? addressOf("do", number) : `${ADDRESS}to@example.org`],
    from,
    headers,
    body,
    queueId: `4XyMil${number}`,
    ...(auth === undefined ? {} : { auth }),
  });
  client.quit();
}

async function mairust(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await sidecar.mairust(args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout.toString();
}

async function until(what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isTrue())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
  deadline.dispose();
}

/** Arguments and environment of every process that can be read. */
function allProcesses(): string {
  const read = (path: string) => {
    try {
      return readFileSync(path, "latin1");
    } catch {
      // Gone meanwhile, or none of ours.
      return "";
    }
  };
  return readdirSync("/proc")
    .filter(name => /^\d+$/u.test(name) && Number(name) !== process.pid)
    .flatMap(pid => [read(`/proc/${pid}/cmdline`), read(`/proc/${pid}/environ`)])
    .join("\n");
}

test("plugins in the sandbox go too far in every way there is", async () => {
  const replies: string[] = [];
  for (const [to, does] of MAIL) {
    const reply = byLmtp(to, does);
    if (does === "waits") {
      const mark = `MAIRUST_PLUGIN_ID=${canaryPluginId("once")}`;
      await until("a process of the call", () => {
        processes[0] = allProcesses();
        return processes[0].includes(mark);
      });
    }
    replies.push(await reply);
  }
  await byMilter("plain");
  await byMilter("exceeds", "ann");
  // The doer's refusal at pre_receive is a hold by now, and its cap took the next one away; the one of a process a call stands.
  assert.equal(replies.filter(reply => reply.startsWith("550")).length, 1, replies.join("\n"));
  assert.equal(replies.filter(reply => reply.startsWith("250")).length, MAIL.length - 1);
  await mairust("bypass", "on", "--plugin", canaryPluginId("doer"), "--for", "1h");
  assert.match(await byLmtp("do", "plain"), /^250 /u);
  await mairust("bypass", "off", "--plugin", canaryPluginId("doer"));
  const state = async (name: string) =>
    JSON.parse(await mairust("plugin", "show", canaryPluginId(name), "-f", "json")).state as string;
  await until("the crash rule", async () => (await state("crasher")) === "failed");
  const log = sidecar.logText();
  for (const kind of ["crash_rule", "demotion", "cap", "budget"])
    assert.match(log, new RegExp(`admin_alert.*kind=${kind}`, "u"));
  // What failed is tried again much later.
  await until("post_receive was tried", async () => {
    const [row] = await db.query<{ left: number }>`
      select count(*)::int as left from jobs where kind = 'post_receive' and (state = 'running' or attempts = 0)`;
    return row?.left === 0;
  });
  const undone = JSON.parse(await mairust("undo", "--plugin", canaryPluginId("doer"), "--yes", "-f", "json"));
  assert.ok(undone.changes > 0 && undone.state === "done", JSON.stringify(undone));
  const route = `${ADMIN}/hooks/${canaryHook("shady", "pre_delivery")}/diffs`;
  const diffs = JSON.parse(await getText(sidecar.apiSocket, route));
  assert.ok(diffs.items.length > 0 && diffs.counts.differing > 0);
});

/** @returns where tokens of mail are that may not be there, and what may be there and is */
function tokensIn(
  where: string,
  bytes: Uint8Array | string,
  places: readonly Place[] = [],
): ReadonlySet<string> {
  const haystack = new Haystack(Buffer.from(bytes as string));
  const found = new Set<string>();
  for (const { does, tokens } of sent) {
    const isAllowed = WORDS[does]?.some(place => places.includes(place)) ?? false;
    for (const [field, token] of tokens.entries()) {
      const form = haystack.find({ where, need: { kind: "never" }, token });
      // A host name is written in lower case.
      const lower = haystack.hasText(token.toLowerCase()) ? "lower case" : undefined;
      if (form === undefined && lower === undefined) continue;
      assert.ok(isAllowed, `${where} holds field ${field} of mail that ${does} (${form ?? lower})`);
      found.add(does);
    }
  }
  return found;
}

const isAddressIn = (bytes: Uint8Array | string) =>
  new Haystack(Buffer.from(bytes as string)).find({ where: "", need: { kind: "never" }, token: ADDRESS }) !==
  undefined;

function assertNoAddress(where: string, bytes: Uint8Array | string): void {
  assert.equal(isAddressIn(bytes), false, `${where} holds an address`);
}

test("answers of the API hold nothing of the mail, and a plugin's words only where they are its own", async () => {
  const doer = `${ADMIN}/plugins/${canaryPluginId("doer")}`;
  const health = tokensIn("health", await getText(sidecar.apiSocket, `${doer}/health`), [
    "health",
    "egress record",
  ]);
  assert.deepEqual([...health].sort(), ["ails", "calls"]);
  tokensIn("/readyz", await getText(sidecar.apiSocket, "/readyz"), ["health"]);
  tokensIn("plugin logs", await mairust("plugin", "logs", canaryPluginId("doer")), ["plugin log"]);
  const quiet = [
    ...["/metrics", "/api/v1/jobs"],
    ...[
      "components",
      "config",
      "hooks",
      "ledger?limit=1000",
      "audit",
      "audit/export",
      "plugins",
      "plugin-keys",
    ].map(path => `${ADMIN}/${path}`),
    ...["bypass", "plugin-usage", "plugin-revocations", "scrub"].map(path => `${ADMIN}/${path}`),
    ...Object.keys(CANARY_PLUGINS).flatMap(name =>
      ["", "/review", "/settings"].map(path => `${ADMIN}/plugins/${canaryPluginId(name)}${path}`),
    ),
  ];
  for (const path of quiet) {
    const text = await getText(sidecar.apiSocket, path);
    tokensIn(path, text);
    assertNoAddress(path, text);
  }
  for (const [name, { points }] of Object.entries(CANARY_PLUGINS))
    for (const point of points)
      for (const path of ["", "/diffs"]) {
        const route = `${ADMIN}/hooks/${canaryHook(name, point)}${path}`;
        tokensIn(route, await getText(sidecar.apiSocket, route));
      }
  const rows = await db.query<{ id: string }>`select message_id as id from messages`;
  const told = new Set<string>();
  for (const { id } of rows) {
    const path = `/api/v1/messages/${id}/timeline`;
    for (const does of tokensIn(path, await getText(sidecar.apiSocket, path), ["timeline"])) told.add(does);
  }
  assert.deepEqual([...told], ["explains"]);
});

/** Where the mail itself is. */
const CONTENT = new Set(["blobs", "messages", "search_texts", "imap_texts", "message_keys", "entries"]);
/** What is about one message or account says whose. */
const OF_ACCOUNTS = new Set([
  "accounts",
  "aliases",
  "deliveries",
  "events",
  "holds",
  "hook_diffs",
  "submissions",
  "verdicts",
]);

test("no table beside those of the mail itself holds anything of it", async () => {
  const tables = await db.query<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`;
  const filled = new Set<string>();
  for (const { name } of tables.filter(table => !CONTENT.has(table.name))) {
    const rows = await db.query<{ row: string }>(statement(`select to_jsonb(t)::text as row from ${name} t`));
    const text = rows.map(({ row }) => row).join("\n");
    if (rows.length > 0) filled.add(name);
    tokensIn(`table ${name}`, text, name === "events" ? ["timeline"] : []);
    if (!OF_ACCOUNTS.has(name)) assertNoAddress(`table ${name}`, text);
  }
  for (const name of [
    "audit",
    "hook_diffs",
    "ledger",
    "plugin_changes",
    "plugins",
    "tallies",
    "events",
    "jobs",
  ])
    assert.ok(filled.has(name), `table ${name} has rows`);
});

test("no log, process, socket or file holds anything of the mail", async () => {
  for (const text of [...processes, allProcesses()]) {
    tokensIn("processes", text);
    assertNoAddress("processes", text);
  }
  // Its own: other services may be at work on this machine.
  const isOwnFolder = (name: string) => new RegExp(`^mairust-sandbox-\\d+-${sidecar.pid}-`, "u").test(name);
  const temporary = readdirSync(tmpdir()).filter(isOwnFolder);
  const names = [...temporary.flatMap(name => walk(join(tmpdir(), name))), ...walk(scratch.dir)];
  tokensIn("names of files and sockets", names.join("\n"));
  assertNoAddress("names of files and sockets", names.join("\n"));
  await db.close(deadlineAfter(5000));
  await sidecar.stop();
  const seen = new Map<string, ReadonlySet<string>>();
  for (const path of [...walk(dir), ...temporary.flatMap(name => walk(join(tmpdir(), name)))]) {
    if (isMailStore(path) || statSync(path, { throwIfNoEntry: false })?.isFile() !== true) continue;
    const bytes = readFileSync(path);
    const isPluginLog = path.startsWith(join(dir, "log", "plugins"));
    const isOwn = path.startsWith(join(dir, "data", "plugin-data", canaryPluginId("doer")));
    seen.set(path, tokensIn(path, bytes, isPluginLog ? ["plugin log"] : isOwn ? ["own folder"] : []));
    if (!isPluginLog) assertNoAddress(path, bytes);
  }
  assert.ok(seen.has(join(dir, "sidecar.log")));
  const logs = ["doer", "crasher"].map(name =>
    [...(seen.get(join(dir, "log", "plugins", `${canaryPluginId(name)}.log`)) ?? [])].join(),
  );
  assert.deepEqual(logs, ["says", "crashes"]);
  await sidecar.restart();
  db = await openEmbedded(join(dir, "data"));
});

const isMailStore = (path: string) =>
  ["blobs", "pgdata", "postgres"].some(name => path.startsWith(`${join(dir, "data", name)}/`));

function walk(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).map(name => join(folder, name));
  } catch {
    // Of somebody else, or gone.
    return [];
  }
}
