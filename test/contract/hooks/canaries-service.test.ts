/**
 * S1 in a whole service: messages of `canary-mail.ts` by milter, from outside and from our users, and by LMTP, with a plugin at every
 * point. What it is sent is looked through; so are the service's log at level debug, its events, jobs and ledger.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { HookPoint } from "../../../src/core/ports/hooks.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { HOOK_POINTS } from "../../../src/wire/config/hooks.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { ANY_TOKEN, Haystack, isGranted, leaksIn, missingIn, type Secret } from "../../lib/canaries.ts";
import { type CanaryMail, canaryMail } from "../../lib/canary-mail.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { MilterClient } from "../../lib/milter-client.ts";
import { openEmbedded } from "../../lib/promises-store.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const WAIT_MS = 60_000;
const PLUGINS: Readonly<Record<string, PermissionsInput>> = {
  all: { read_headers: true, read_body: "full", read_attachments: "full" },
  some: { read_headers: ["Subject"], read_body: "preview", read_attachments: "metadata" },
  names: { read_headers: ["From", "Bcc"] },
};
/** Writes down what it is sent, by recipient and point, and says it all back as what is no answer, every third time. */
const PROGRAM = `
import { renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
let calls = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    const { MAIRUST_PLUGIN_ID: plugin } = process.env;
    console.log(JSON.stringify({ mairust: 1, plugin, version: "1.0.0", api: ["1"] }));
    continue;
  }
  writeFileSync("new", line);
  renameSync("new", request.envelope.rcpt_to[0].split("@")[0] + "." + request.hook);
  calls += 1;
  console.log(calls % 3 === 0 ? "x" + line : '{"echo":' + line + "}");
}
`;
const MAIL = canaryMail();
const userOf = (number: number) => `user${number}`;
const queueIdOf = (number: number) => `4XyCanary${number}`;

const idOf = (name: string) => `com.example.${name}`;
const tomlOf = (values: object) =>
  Object.entries(values)
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
    .join("");

const scratch = await makeScratch();
const milterSocket = join(scratch.dir, "milter.sock");
let sidecar: Sidecar;

before(async () => {
  const ids = JSON.stringify(Object.keys(PLUGINS).map(idOf));
  for (const name of Object.keys(PLUGINS)) writePlugin(name);
  sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    logLevel: "debug",
    milterListen: `unix:${milterSocket}`,
    toml: `[plugins]
folders = [${JSON.stringify(join(scratch.dir, "plugins"))}]
allow_unsigned = ${ids}
allow_unsandboxed = ${ids}
${Object.entries(PLUGINS)
  .map(([name, grants]) => `[plugin."${idOf(name)}".grants]\n${tomlOf(grants)}`)
  .join("")}
${Object.keys(PLUGINS)
  .flatMap(name =>
    HOOK_POINTS.map(
      point => `[[hooks]]
name = "${name}.${point}"
point = "${point}"
plugin = "${idOf(name)}"
mode = "enforce"
on_timeout = "allow"
on_error = "allow"
timeout_ms = 5000
`,
    ),
  )
  .join("")}`,
  });
});
after(async () => {
  await sidecar?.stop();
  await scratch.remove();
});

function writePlugin(name: string): void {
  const folder = join(scratch.dir, "plugins", idOf(name));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${idOf(name)}"
name = "${name}"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ${JSON.stringify(HOOK_POINTS)}
[permissions]
${tomlOf(PLUGINS[name] ?? {})}`,
  );
}

/** As an MTA does: header fields one by one, line breaks within them as LF. */
async function byMilter({ source }: CanaryMail, to: string, queueId: string, auth?: string): Promise<void> {
  const text = source.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  const block = (end === -1 ? text : text.slice(0, end)).replace(/\r\n/g, "\n").trimEnd();
  const headers = block.split(/\n(?![ \t])/).map(field => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon), field.slice(colon + 1)] as const;
  });
  const client = await MilterClient.open({ path: milterSocket });
  const body = end === -1 ? "" : text.slice(end + 4);
  const answers = await client.send({
    to: [to],
    headers,
    body,
    queueId,
    // Of a domain of ours: else nobody here sends it.
    ...(auth === undefined ? {} : { auth, from: `${auth}@example.test` }),
  });
  client.quit();
  assert.match(answers.at(-1) ?? "", /^[ac]/u, `${to}: ${answers.at(-1)}`);
}

async function byLmtp({ source }: CanaryMail, to: string, queueId: string): Promise<void> {
  const client = await LmtpTestClient.open(sidecar.lmtpPort);
  const [reply] = await client.deliver([to], source, queueId);
  client.close();
  assert.match(reply ?? "", /^250 /u, to);
}

test("what each plugin is sent at each point is what was granted to it", async () => {
  for (const [number, mail] of MAIL.entries()) {
    const to = `${userOf(number)}@example.test`;
    await byMilter(mail, to, queueIdOf(number));
    await byMilter(mail, to, `${queueIdOf(number)}S`, "ann");
    // Not what the milter saw: another queue id.
    await byLmtp(mail, to, `${queueIdOf(number)}L`);
  }
  for (const [name, grants] of Object.entries(PLUGINS))
    for (const [number, mail] of MAIL.entries())
      for (const point of HOOK_POINTS) await checkSent(name, grants, number, mail, point);
});

async function checkSent(
  name: string,
  grants: PermissionsInput,
  number: number,
  mail: CanaryMail,
  point: HookPoint,
): Promise<void> {
  const where = `${mail.name}, ${name}, ${point}`;
  const file = join(scratch.dir, "plugins", idOf(name), `${userOf(number)}.${point}`);
  const deadline = deadlineAfter(WAIT_MS);
  while (!existsSync(file)) {
    assert.ok(deadline.remainingMs() > 0, `called in time: ${where}`);
    await sleep(50);
  }
  deadline.dispose();
  const allowed = (need: Secret["need"]) => isGranted(need, grants, point);
  const haystack = new Haystack(readFileSync(file));
  assert.deepEqual(leaksIn(haystack, mail.secrets, allowed), [], where);
  // This envelope is a plain one.
  const around = new Set(Object.values(mail.around));
  const inMessage = mail.secrets.filter(({ token }) => token === undefined || !around.has(token));
  assert.deepEqual(missingIn(haystack, inMessage, allowed), [], where);
}

test("the log at level debug, the ledger, jobs and events hold nothing of the messages", async () => {
  const log = sidecar.logText();
  assert.ok(log.split("\n").length > MAIL.length * HOOK_POINTS.length, "the log tells of the calls");
  const digests = MAIL.flatMap(({ secrets }) =>
    secrets.filter(({ digest, where }) => digest !== undefined && where !== "digest of the message"),
  );
  const never = () => false;
  const secrets = [ANY_TOKEN, ...digests];
  assert.deepEqual(leaksIn(new Haystack(Buffer.from(log)), secrets, never), [], "log");
  const db = await openEmbedded(join(sidecar.dir, "data"));
  const close = deadlineAfter(5000);
  try {
    await sidecar.mairust(["ledger", "--limit", "1"]);
    const tables = await db.query<{ name: string; rows: number; text: string }>`
      select 'ledger' as name, count(*)::int as rows, coalesce(jsonb_agg(to_jsonb(ledger))::text, '') as text from ledger
      union all select 'events', count(*)::int, coalesce(jsonb_agg(to_jsonb(events))::text, '') from events
      union all select 'jobs', count(*)::int, coalesce(jsonb_agg(to_jsonb(jobs))::text, '') from jobs`;
    for (const { name, rows, text } of tables) {
      assert.ok(rows >= MAIL.length, `${name} has ${rows} rows`);
      assert.deepEqual(leaksIn(new Haystack(Buffer.from(text)), secrets, never), [], name);
    }
  } finally {
    await db.close(close);
    close.dispose();
  }
});
