/**
 * Mode shadow in a whole service behind a real Postfix: a plugin that would refuse, hold, change or fail is called at every point, and
 * nothing of it is seen on the mail; `explain` and the ledger have each call.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { callCounters } from "../lib/service-metrics.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const ID = "com.example.eager";
const SENDER = "alice@sender.test";
const WATCHED = "watched@example.test";
const PLAIN = "plain@example.test";
const WAIT_MS = 60_000;
const POINTS = ["pre_receive", "pre_delivery", "post_receive"] as const;

/** What the plugin answers at each point, by the message's subject. */
const ANSWERS: Readonly<Record<string, string>> = {
  reject: '{"action":"reject","reason":"not wanted"}',
  tempfail: '{"action":"tempfail"}',
  hold: '{"action":"hold"}',
  change:
    '{"tags":{"add":["eager"]},"flags":{"add":["\\\\Flagged"]},"folder":"Eager","metadata":{"a":1},"headers":{"add":[["X-Eager","1"]]}}',
  garbage: "no answer",
};
const FAILING = ["garbage", "crash", "hang"];
/** In this order: a plugin that fails too often in a row is not called any more. */
const SUBJECTS = ["garbage", "reject", "crash", "tempfail", "hang", "hold", "change"];

/** A process a call: one that failed costs the next call nothing. */
const PROGRAM = `
import { readFileSync } from "node:fs";
const answers = ${JSON.stringify(ANSWERS)};
const subject = JSON.parse(readFileSync(0, "utf8")).headers[0].value;
if (subject === "crash") process.exit(1);
if (subject === "hang") await new Promise(resolve => setInterval(resolve, 600_000));
console.log(answers[subject]);
`;
const GRANTS = `read_headers = ["Subject"]
read_body = "preview"
write_tags = true
write_flags = true
write_metadata = true
write_headers = true
move_message = true
decide = ["reject", "tempfail", "hold"]
`;

const scratch = await makeScratch();
let site: MailSite;

before(async () => {
  const folder = join(scratch.dir, ID);
  mkdirSync(folder);
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${ID}"
name = "Eager"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
mode = "spawn"
command = ["node", "main.mjs"]
[hooks]
on = ${JSON.stringify(POINTS)}
[permissions]
${GRANTS}`,
  );
  site = await startMailSite({
    users: [],
    milterStage: "store",
    postfixSettings: { in_flow_delay: "0", default_transport: "discard:" },
    toml: `[plugins]
folders = [${JSON.stringify(folder)}]
allow_unsigned = ["${ID}"]
allow_unsandboxed = ["${ID}"]
[plugin."${ID}".grants]
${GRANTS}
${POINTS.map(
  point => `[[hooks]]
name = "eager-${point.replace("_", "-")}"
point = "${point}"
plugin = "${ID}"
mode = "shadow"
timeout_ms = 5000
on_timeout = "reject"
on_error = "reject"
filter = { recipient = "${WATCHED}" }
`,
).join("")}`,
  });
});
after(async () => {
  await site?.stop();
  await scratch.remove();
});

async function send(to: string, subject: string): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    const text = `From: ${SENDER}\r\nMessage-ID: <${subject}@sender.test>\r\nSubject: ${subject}\r\n\r\nbody\r\n`;
    const reply = await client.send(SENDER, [to], text);
    const [, queueId] = /^250 .*queued as (\S+)$/u.exec(reply) ?? [];
    assert.ok(queueId !== undefined, `${subject}: ${reply}`);
    return queueId;
  } finally {
    client.close();
  }
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await site.sidecar.mairust([...args, "-f", "json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.toString()) as T;
}

interface Timeline {
  readonly events: ReadonlyArray<{ readonly kind: string; readonly data: Readonly<Record<string, unknown>> }>;
}

async function shadowCalls(queueId: string): Promise<readonly Timeline["events"][number][]> {
  const { events } = await json<Timeline>("explain", queueId);
  return events.filter(({ kind }) => kind === "hook_call");
}

/** What a client sees of a message: header without what differs from message to message, body, flags, folders. */
async function seen(user: string, subject: string) {
  return site.withImap(user, "direct", async client => {
    const folders = (await client.list()).map(({ path }) => path);
    await client.mailboxOpen("INBOX", { readOnly: true });
    for await (const one of client.fetch("1:*", { source: true, flags: true, envelope: true })) {
      if (one.envelope?.subject !== subject) continue;
      const names = one.source
        ?.toString("latin1")
        .split("\r\n\r\n")[0]
        ?.match(/^[A-Za-z-]+(?=:)/gmu);
      return { folders, names, flags: [...(one.flags ?? [])].filter(flag => flag !== "\\Recent") };
    }
    return assert.fail(`${subject} is not there`);
  });
}

for (const subject of SUBJECTS) {
  test(`a hook in shadow that answers "${subject}" changes nothing, and is told of`, async () => {
    const queueId = await send(WATCHED, subject);
    await send(PLAIN, subject);
    await site.drainQueue();
    const deadline = deadlineAfter(WAIT_MS);
    while ((await shadowCalls(queueId)).length < POINTS.length) {
      assert.ok(deadline.remainingMs() > 0, JSON.stringify(await shadowCalls(queueId)));
      await sleep(100);
    }
    deadline.dispose();
    assert.deepEqual(await seen(WATCHED, subject), await seen(PLAIN, subject));
    const calls = await shadowCalls(queueId);
    for (const { data } of calls) {
      assert.equal(data.mode, "shadow");
      assert.equal(data.outcome === "ok", !FAILING.includes(subject), JSON.stringify(data));
    }
    assert.deepEqual(
      calls.map(({ data }) => data.hook).sort(),
      POINTS.map(point => `eager-${point.replace("_", "-")}`).sort(),
    );
    const ledger = await json<ReadonlyArray<{ point: string; mode: string }>>(
      "ledger",
      "--queue-id",
      queueId,
    );
    assert.deepEqual(
      ledger.map(({ point, mode }) => `${point} ${mode}`).sort(),
      POINTS.map(point => `${point} shadow`).sort(),
    );
  });
}

test("nothing is held, deferred or missing, and every call is counted", async () => {
  assert.deepEqual(await json("held", "list"), []);
  assert.deepEqual(await site.postfix.queue(), []);
  const counters = await callCounters(site.sidecar.apiSocket);
  assert.equal(counters[`plugin_calls_total{plugin="${ID}"}`], SUBJECTS.length * POINTS.length);
});
