/**
 * What Postfix makes of a milter or an LMTP server that fails, event by event: the promises of its documentation that our answers rest
 * on, shown with the real Postfix. A row that another test shows is a pointer to it, and the last test checks that it is there.
 */
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Postfix, type PostfixOptions, startPostfix } from "../../src/mailhost/postfix.ts";
import type { QueuedMessage } from "../../src/mailhost/postfix-queue.ts";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, every, sleep } from "../../src/platform/deadline.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { createMilterServer } from "../../src/protocols/milter/server.ts";
import { type MailSinkOptions, openMailSink } from "../lib/mail-sink.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";
import { Counted, MemoryDecider } from "../unit/protocols/milter/harness.ts";

const START_MS = 90_000;
const WAIT_MS = 30_000;
const MESSAGE = "From: sender@a.test\r\nSubject: event\r\n\r\nbody\r\n";

const ACTIONS = ["tempfail", "accept", "quarantine", "reject"] as const;
type Action = (typeof ACTIONS)[number];

/** The client's view of one message: the greeting, the reply to its last command, and the queue where the message then rests. */
interface Fate {
  readonly greeting?: RegExp;
  readonly reply: RegExp;
  readonly queue?: "deferred" | "hold";
}

const TAKEN: Fate = { reply: /^250 2\.0\.0 /u, queue: "deferred" };
const HELD: Fate = { reply: /^250 2\.0\.0 /u, queue: "hold" };
const LATER: Fate = { reply: /^451 4\.7\.1 / };
/** Lost for the sender. */
const REFUSED: Fate = { reply: /^550 5\.5\.0 / };

type MilterEvent = "down" | "silent" | "silent at the end" | "dead at the end";

const BEFORE_MAIL: Readonly<Record<Action, Fate>> = {
  tempfail: LATER,
  accept: TAKEN,
  quarantine: HELD,
  reject: { ...REFUSED, greeting: /^554 / },
};
const AT_THE_END: Readonly<Record<Action, Fate>> = { ...BEFORE_MAIL, reject: REFUSED };

const MILTER_ROWS: Readonly<Record<MilterEvent, Readonly<Record<Action, Fate>>>> = {
  down: BEFORE_MAIL,
  silent: BEFORE_MAIL,
  "silent at the end": AT_THE_END,
  "dead at the end": AT_THE_END,
};

/** Rows that need no test here: where they are shown, or why they cannot occur. */
const ELSEWHERE: ReadonlyArray<readonly [event: string, file: string, text: string]> = [
  [
    "the milter answers y, t, r or d to RCPT: ours never does, mail is decided about at its end",
    "src/protocols/SPECS.md",
    "| SMFIR_ answers before the end of message | partial | CONTINUE and SKIP only: mail is decided about once",
  ],
  [
    "the milter refuses, defers, discards, edits, quarantines",
    "test/system/milter.test.ts",
    "/** Every decision, all in one connection. */",
  ],
  [
    "the sidecar dies after DATA before its 250: delivered again, stored once",
    "test/system/redelivery.test.ts",
    "is delivered again by Postfix and stored once",
  ],
  [
    "the same at any time, with many messages",
    "test/system/patient/crash.test.ts",
    "every message that was accepted is there, once and byte for byte",
  ],
  [
    "the sidecar does not listen: mail waits",
    "test/system/redelivery.test.ts",
    "mail that arrives while the sidecar is down waits in Postfix's queue and is stored afterwards",
  ],
  [
    "the sidecar never answers DATA: the shipped bound, far below Postfix's 600 s",
    "postfix/stage-store.master.cf",
    "-o lmtp_data_done_timeout=60s",
  ],
];

const scratch = await makeScratch();
const running: Postfix[] = [];
after(async () => {
  await Promise.all(running.map(postfix => postfix.stop()));
  await scratch.remove();
});

async function start(name: string, options: Omit<PostfixOptions, "dir" | "domains">): Promise<Postfix> {
  const dir = join(scratch.dir, name);
  await mkdir(dir);
  const deadline = deadlineAfter(START_MS);
  const settings = { in_flow_delay: "0", ...options.settings };
  const postfix = await startPostfix({ dir, domains: ["a.test"], ...options, settings }, deadline);
  deadline.dispose();
  running.push(postfix);
  return postfix;
}

async function until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
  const deadline = deadlineAfter(WAIT_MS);
  for (;;) {
    const found = await find();
    if (found !== undefined) {
      deadline.dispose();
      return found;
    }
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(50);
  }
}

/** The message in the queue folder where it stays. */
function rests(postfix: Postfix, reply: string): Promise<QueuedMessage> {
  const id = reply.split(" ").at(-1);
  return until(`${reply} rests in the queue`, async () =>
    (await postfix.queue()).find(
      ({ queueId, queueName }) => queueId === id && /^(?:deferred|hold)$/u.test(queueName),
    ),
  );
}

function logged(postfix: Postfix, line: RegExp): Promise<string> {
  return until(`the log says ${line}`, async () => (await postfix.log()).find(one => line.test(one)));
}

/** Recipients of a sender's mail that are in the queue. */
async function waiting(postfix: Postfix, sender: string): Promise<readonly string[]> {
  const entries = (await postfix.queue()).filter(entry => entry.sender === sender);
  return entries.flatMap(({ recipients }) => recipients.map(({ address }) => address));
}

async function queueOf(postfix: Postfix, { queueId }: QueuedMessage): Promise<string | undefined> {
  return (await postfix.queue()).find(entry => entry.queueId === queueId)?.queueName;
}

/** A message that is just being put back is in no queue, so one flush may pass it over. */
function flushed<T>(postfix: Postfix, find: () => Promise<T>): Promise<T> {
  const again = every(1_000, () => postfix.flush());
  return postfix.flush().then(find).finally(again);
}

/** One Postfix for each action, all with the same milter: nobody, until an event comes. */
const sites = new Map<Action, Postfix>();
const ports = new Map<Action, number>();
before(async () => {
  const one = async (action: Action) => {
    const port = await freePort();
    const settings = {
      smtpd_milters: `inet:127.0.0.1:${port}`,
      milter_default_action: action,
      // Longer than a busy machine stands still: a milter that answers late would be one that is silent.
      milter_connect_timeout: "6s",
      milter_command_timeout: "6s",
      milter_content_timeout: "6s",
      // What is accepted stays, and can be looked at.
      defer_transports: "mairust",
    };
    ports.set(action, port);
    // Under "reject" the greeting that the start waits for is a refusal while the milter is down.
    sites.set(action, await during("well", port, () => start(action, { settings })));
  };
  await Promise.all(ACTIONS.map(one));
});

/** Brings the event about on the port while `work` runs. */
async function during<T>(event: MilterEvent | "well", port: number, work: () => Promise<T>): Promise<T> {
  if (event === "down") return work();
  const sockets = new Set<Socket>();
  const decider = new MemoryDecider();
  decider.id = "0190a000";
  const counted = new Counted();
  const milter = createMilterServer({
    config: {
      connections: 20,
      packetBytes: 1_048_576,
      chainTimeoutMs: WAIT_MS,
      outboundDaemons: [],
      outboundNetworks: [],
      // No sign of life.
      limits: { progressMs: 600_000 },
    },
    decider,
    log: counted.log,
    metrics: counted.metrics,
  });
  let over = () => {};
  const gate = new Promise<void>(resolve => {
    over = resolve;
  });
  if (event !== "well") decider.gate = gate;
  const server = createServer({ noDelay: true }, socket => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    if (event === "silent") socket.resume();
    else milter.handleConnection(socket);
  });
  await new Promise<void>(resolve => server.listen(port, "127.0.0.1", resolve));
  try {
    const result = work();
    if (event === "dead at the end") {
      await until("the message has ended", async () => decider.deadlines[0]);
      await milter.close();
    }
    return await result;
  } finally {
    over();
    await milter.close();
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  }
}

const openSink = (options: Omit<MailSinkOptions, "protocol">, port: number) =>
  openMailSink({ protocol: "lmtp", ...options }, port);

async function oneMessage(postfix: Postfix, to = ["ann"]): Promise<{ greeting: string; reply: string }> {
  const client = await SmtpTestClient.open(postfix.smtpPort);
  const reply = await client.send(
    "sender@a.test",
    to.map(one => `${one}@a.test`),
    MESSAGE,
  );
  client.close();
  return { greeting: client.greeting, reply };
}

async function checkRow(event: MilterEvent, action: Action): Promise<void> {
  const fate = MILTER_ROWS[event][action];
  const postfix = sites.get(action);
  assert.ok(postfix);
  const { greeting, reply } = await during(event, ports.get(action) ?? 0, () => oneMessage(postfix));
  assert.match(greeting, fate.greeting ?? /^220 /u);
  assert.match(reply, fate.reply);
  if (fate.queue === undefined) return assert.deepEqual(await waiting(postfix, "sender@a.test"), []);
  const entry = await rests(postfix, reply);
  assert.equal(entry.queueName, fate.queue);
  await logged(postfix, /warning: (?:connect to )?milter service/iu);
  if (fate.queue === "hold") {
    await postfix.run("postsuper", ["-H", entry.queueId]);
    await until("it is released", async () =>
      (await queueOf(postfix, entry)) === "hold" ? undefined : true,
    );
  }
  await postfix.run("postsuper", ["-d", entry.queueId]);
}

// Each action has a Postfix of its own: the time-outs of an event are waited for together.
for (const event of ["down", "silent", "silent at the end", "dead at the end"] as const) {
  describe(`milter ${event}`, { concurrency: ACTIONS.length }, () => {
    for (const action of ACTIONS) {
      const fate = MILTER_ROWS[event][action];
      test(`milter ${event}, milter_default_action = ${action}: ${fate.queue ?? fate.reply.source}`, () =>
        checkRow(event, action));
    }
  });
}

test("a refusal's text and the trace id stand in Postfix's log", async () => {
  const postfix = sites.get("tempfail");
  assert.ok(postfix);
  const { reply } = await during("well", ports.get("tempfail") ?? 0, () => oneMessage(postfix, ["refuse"]));
  assert.equal(reply, "550 5.7.1 not 100% wanted id=0190a000");
  await logged(postfix, /milter-reject: END-OF-MESSAGE from .*: 5\.7\.1 not 100% wanted id=0190a000; from=/u);
});

let lmtp: Postfix;
const lmtpPorts = { usual: 0, slow: 0 };
before(async () => {
  lmtpPorts.usual = await freePort();
  lmtpPorts.slow = await freePort();
  lmtp = await start("lmtp", {
    routes: {
      "a.test": `mairust:inet:127.0.0.1:${lmtpPorts.usual}`,
      // Postfix's own service, whose time-outs main.cf sets.
      "slow@a.test": `lmtp:inet:127.0.0.1:${lmtpPorts.slow}`,
    },
    settings: { lmtp_data_done_timeout: "5s" },
  });
});

/** What became of a recipient, as the log has it. */
const status = (to: string, result: string) =>
  logged(lmtp, new RegExp(`to=<${to}@a\\.test>.* status=${result} `, "u"));

/** @param taken  the first reply settles it: RCPT's, or the one behind the final dot */
async function eachForItself(step: "rcpt" | "data"): Promise<void> {
  const names = { ok: `ok-${step}`, later: `later-${step}`, never: `never-${step}` };
  const replies: Readonly<Record<string, string>> = {
    [`${names.later}@a.test`]: "452 4.2.2 not now",
    [`${names.never}@a.test`]: "550 5.1.1 nobody here",
  };
  const reply = (address: string) => replies[address] ?? "250 2.0.0 ok";
  const sink = await openSink(step === "rcpt" ? { rcpt: reply } : { data: reply }, lmtpPorts.usual);
  try {
    await oneMessage(lmtp, Object.values(names));
    await status(names.ok, "sent");
    await status(names.later, "deferred");
    await status(names.never, "bounced");
    await until("the bounce arrives", async () =>
      sink.messages.find(
        ({ from, content }) => from.startsWith("<>") && content.includes(`${names.never}@a.test`),
      ),
    );
    await until("one recipient is left", async () =>
      (await waiting(lmtp, "sender@a.test")).join() === `${names.later}@a.test` ? true : undefined,
    );
  } finally {
    await sink.close();
  }
  const next = await openSink({}, lmtpPorts.usual);
  try {
    await flushed(lmtp, () => status(names.later, "sent"));
    assert.deepEqual(
      next.messages.map(({ to }) => to),
      [[`${names.later}@a.test`]],
    );
  } finally {
    await next.close();
  }
}

test("LMTP answers RCPT with 450 or 550: deferred, bounced, for that recipient only", () =>
  eachForItself("rcpt"));

test("LMTP answers each recipient after DATA: sent, deferred, bounced, and the retry is for the deferred one only", () =>
  eachForItself("data"));

test("LMTP refuses the connection: deferred at once, delivered when the queue is flushed", async () => {
  await oneMessage(lmtp, ["refused"]);
  assert.match(await status("refused", "deferred"), /Connection refused/u);
  for (const [name, value] of [
    ["minimal_backoff_time", "300s"],
    ["maximal_backoff_time", "4000s"],
    ["transport_retry_time", "60s"],
    ["queue_run_delay", "300s"],
  ] as const) {
    assert.equal((await lmtp.run("postconf", ["-h", name])).trim(), value, name);
  }
  const sink = await openSink({}, lmtpPorts.usual);
  try {
    await flushed(lmtp, () => status("refused", "sent"));
  } finally {
    await sink.close();
  }
});

test("LMTP never answers DATA: one delivery waits for its time-out, other mail goes on, and it is tried again", async () => {
  const silent = await openSink({ data: () => undefined }, lmtpPorts.slow);
  const usual = await openSink({}, lmtpPorts.usual);
  try {
    await oneMessage(lmtp, ["slow"]);
    await until("its content has come", async () => silent.messages[0]);
    await oneMessage(lmtp, ["quick"]);
    await status("quick", "sent");
    assert.match(
      await status("slow", "deferred"),
      /timed out while sending end of data -- message may be sent more than once/u,
    );
    assert.match(await lmtp.run("postconf", ["-d", "lmtp_data_done_timeout"]), /= 600s$/mu);
  } finally {
    await silent.close();
    await usual.close();
  }
  const next = await openSink({}, lmtpPorts.slow);
  try {
    await flushed(lmtp, () => status("slow", "sent"));
    assert.equal(next.messages.length, 1, "the same message a second time: duplicates must be recognised");
  } finally {
    await next.close();
  }
});

for (const [event, file, text] of ELSEWHERE) {
  test(`${event}: see ${file}`, async () => {
    assert.ok((await readFile(join(packageRoot(), file), "utf8")).includes(text), text);
  });
}
