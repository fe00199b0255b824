/**
 * Modes shadow and canary in a whole service behind a real Postfix. Shadow: a plugin that would refuse, hold, change or fail is called
 * at every point, and nothing of it is seen on the mail; `explain` and the ledger have each call. Canary: the right share of the mail,
 * and of each message all or nothing: at every point, for every recipient, and when its sender tries again.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { callCounters, getJson } from "../lib/service-metrics.ts";
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

/** A process a call: one that failed costs the next call nothing. A shell: it is there at once on every machine. */
const PROGRAM = `
subject=$(sed -n 's/.*"name":"Subject","value":"\\([a-z]*\\)".*/\\1/p')
case $subject in
  crash) exit 1 ;;
  hang) exec sleep 600 ;;
${Object.entries(ANSWERS)
  .map(([subject, answer]) => `  ${subject}) printf '%s\\n' '${answer}' ;;\n`)
  .join("")}esac
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

const PART = "com.example.part";
/** Recipients of each message; one of them is an alias that Postfix resolves behind the milter. */
const PARTS = ["part.one@example.test", "part.alias@example.test"];
const PART_MESSAGES = 60;
/** Defers a subject, marks all others. */
const PART_PROGRAM = `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${PART}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const later = request.headers.some(({ value }) => value.startsWith("later"));
  const marks = { tags: { add: ["part"] }, headers: { add: [["X-Part", request.hook]] } };
  console.log(JSON.stringify(later ? { action: "tempfail" } : marks));
}
`;
const PART_GRANTS = `read_headers = ["Subject"]
write_tags = true
write_headers = true
decide = ["tempfail"]
`;

const scratch = await makeScratch();
let site: MailSite;

function writePlugin(id: string, mode: "spawn" | "worker", program: string, grants: string): string {
  const folder = join(scratch.dir, id);
  const command = mode === "spawn" ? ["sh", "main.sh"] : ["node", "main.mjs"];
  mkdirSync(folder);
  writeFileSync(join(folder, command[1] ?? ""), program);
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"
name = "${id}"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
mode = "${mode}"
command = ${JSON.stringify(command)}
[hooks]
on = ${JSON.stringify(POINTS)}
[permissions]
${grants}`,
  );
  return folder;
}

before(async () => {
  const folders = [
    writePlugin(ID, "spawn", PROGRAM, GRANTS),
    writePlugin(PART, "worker", PART_PROGRAM, PART_GRANTS),
  ];
  site = await startMailSite({
    users: [],
    milterStage: "store",
    postfixSettings: { in_flow_delay: "0", default_transport: "discard:" },
    aliases: { "part.alias@example.test": ["part.two@example.test"] },
    toml: `[plugins]
folders = ${JSON.stringify(folders)}
allow_unsigned = ["${ID}", "${PART}"]
allow_unsandboxed = ["${ID}", "${PART}"]
[plugin."${ID}".grants]
${GRANTS}
[plugin."${PART}".grants]
${PART_GRANTS}
${POINTS.map(
  point => `[[hooks]]
name = "part-${point.replace("_", "-")}"
point = "${point}"
plugin = "${PART}"
mode = "canary"
canary_percent = 50
timeout_ms = 5000
filter = { recipient = "part[.].*" }
`,
).join("")}
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

/** Through one connection. @returns what Postfix said */
async function sendParts(subjects: readonly string[]): Promise<readonly string[]> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    const replies: string[] = [];
    for (const subject of subjects) {
      const text = `From: ${SENDER}\r\nMessage-ID: <${subject}@sender.test>\r\nSubject: ${subject}\r\n\r\nbody\r\n`;
      replies.push(await client.send(SENDER, PARTS, text));
    }
    return replies;
  } finally {
    client.close();
  }
}

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

const queueIdIn = (reply: string) =>
  /^250 .*queued as (\S+)$/u.exec(reply)?.[1] ??
  assert.fail(`${reply}\n${site.sidecar.logText().slice(-3000)}`);
/** One for the message, and for each recipient one before and one after the commit. */
const PART_CALLS = 1 + 2 * PARTS.length;

/** In the order of the queue ids: the modes of all calls, when they are there. */
async function partModes(queueIds: readonly string[]): Promise<readonly (readonly string[])[]> {
  const deadline = deadlineAfter(WAIT_MS);
  try {
    return await Promise.all(
      queueIds.map(async queueId => {
        for (;;) {
          const { events } = await getJson<Timeline>(
            site.sidecar.apiSocket,
            `/api/v1/messages/${queueId}/timeline`,
          );
          const calls = (events ?? []).filter(({ kind }) => kind === "hook_call");
          if (calls.length >= PART_CALLS) return calls.map(({ data }) => String(data.mode));
          assert.ok(deadline.remainingMs() > 0, JSON.stringify(calls));
          await sleep(100);
        }
      }),
    );
  } finally {
    deadline.dispose();
  }
}

test("a canary has its share of the mail, and of a message all: at every point, for every recipient, on the mail itself", async () => {
  const subjects = Array.from({ length: PART_MESSAGES }, (_, i) => `part-${i}`);
  const queueIds = (await sendParts(subjects)).map(queueIdIn);
  await site.drainQueue();
  const modes = await partModes(queueIds);
  for (const [i, of] of modes.entries()) assert.equal(new Set(of).size, 1, `${subjects[i]}: ${of}`);
  const applied = subjects.filter((_, i) => modes[i]?.[0] === "enforce");
  // Four standard deviations of a binomial, rounded up.
  assert.ok(Math.abs(applied.length - PART_MESSAGES / 2) <= 16, `${applied.length} of ${PART_MESSAGES}`);
  for (const user of ["part.one@example.test", "part.two@example.test"]) {
    const marked = await site.withImap(user, "direct", async client => {
      await client.mailboxOpen("INBOX", { readOnly: true });
      const found: string[] = [];
      for await (const one of client.fetch("1:*", { source: true, envelope: true, flags: true })) {
        const text = one.source?.toString("latin1") ?? "";
        const fields = POINTS.slice(0, 2).map(point => text.includes(`X-Part: ${point}\r\n`));
        const marks = [...fields, one.flags?.has("part") === true];
        assert.equal(new Set(marks).size, 1, `${one.envelope?.subject}: ${marks}`);
        if (marks[0]) found.push(String(one.envelope?.subject));
      }
      return found;
    });
    assert.deepEqual(marked.sort(), [...applied].sort(), user);
  }
});

test("what a canary defers it defers again: a sender who tries again does not come by until it looks away", async () => {
  const subjects = Array.from({ length: 24 }, (_, i) => `later-${i}`);
  const codes = async () => (await sendParts(subjects)).map(reply => reply.slice(0, 3));
  const first = await codes();
  assert.deepEqual([...new Set(first)].sort(), ["250", "451"]);
  for (let i = 0; i < 3; i++) assert.deepEqual(await codes(), first);
  await site.drainQueue();
});

test("hook diffs has what the shadow part of a canary would have made otherwise", async () => {
  const diffs = await json<
    ReadonlyArray<{ recipient: string; differences: ReadonlyArray<{ field: string }> }>
  >("hook", "diffs", "part-pre-delivery", "--limit", "100");
  assert.ok(diffs.length > 0);
  for (const { recipient, differences } of diffs) {
    assert.match(recipient, /^part\.(?:one|two)@/u);
    assert.ok(differences.every(({ field }) => ["tags", "headers", "action"].includes(field)));
  }
});
