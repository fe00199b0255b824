/**
 * R4 in a whole service behind a real Postfix: plugins that fail in every way, behind every transport, under every policy, at the
 * milter and at LMTP. Each cell of the table has a plugin, a hook and a recipient of its own, so one service serves all of them at once.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { type HttpPlugin, startHttpPlugin } from "../contract/runtimes/fixtures/http-plugin.ts";
import {
  addressOf,
  CELLS,
  type Cell,
  DOMAIN,
  failingPlugins,
  idOf,
  isBomb,
  WAITING,
} from "../lib/failing-plugins.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { callCounters } from "../lib/service-metrics.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const SENDER = "alice@sender.test";
const WAIT_MS = 120_000;
/** Sessions at a time. */
const SESSIONS = 8;
const PLAIN_MAIL = 20;

const scratch = await makeScratch();
let http: HttpPlugin;
let site: MailSite;

before(async () => {
  http = await startHttpPlugin();
  const nobody = `http://127.0.0.1:${await freePort()}/`;
  site = await startMailSite({
    users: [],
    milterStage: "store",
    postfixSettings: {
      in_flow_delay: "0",
      // What is deferred stays so, bounces go nowhere.
      minimal_backoff_time: "4000s",
      default_transport: "discard:",
      smtpd_client_connection_count_limit: "0",
    },
    toml: failingPlugins({ dir: scratch.dir, origin: http.origin, nobody }),
  });
});
after(async () => {
  await site?.stop();
  await http?.stop();
  await scratch.remove();
});

async function send(to: string): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    return await client.send(
      SENDER,
      [to],
      `From: ${SENDER}\r\nMessage-ID: <${to}>\r\nSubject: ${to}\r\n\r\nbody\r\n`,
    );
  } finally {
    client.close();
  }
}

/** @returns the reply by address */
async function sendAll(addresses: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const replies = new Map<string, string>();
  const waiting = [...addresses];
  const session = async () => {
    for (let to = waiting.shift(); to !== undefined; to = waiting.shift()) replies.set(to, await send(to));
  };
  await Promise.all(Array.from({ length: SESSIONS }, session));
  return replies;
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await site.sidecar.mairust([...args, "-f", "json"]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.toString()) as T;
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!(await isTrue())) {
    assert.ok(deadline.remainingMs() > 0, `in time: ${what}`);
    await sleep(100);
  }
  deadline.dispose();
}

interface Stored {
  readonly places: ReadonlyArray<{ readonly account: string }>;
}

const stored = async () =>
  (await json<readonly Stored[]>("msg", "search", "larger:0", "--limit", "1000")).flatMap(({ places }) =>
    places.map(({ account }) => account),
  );

/** Header and keywords of the only message of an account. */
async function copyOf(
  address: string,
): Promise<{ readonly header: string; readonly tags: readonly string[] }> {
  return site.withImap(address, "direct", async client => {
    const { exists } = await client.mailboxOpen("INBOX", { readOnly: true });
    assert.equal(exists, 1, address);
    const found = await client.fetchOne("1", { headers: true, flags: true });
    assert.ok(found);
    const tags = [...(found.flags ?? [])].filter(flag => flag !== "\\Recent").sort();
    return { header: found.headers?.toString("latin1") ?? "", tags };
  });
}

const PLAIN = Array.from({ length: PLAIN_MAIL }, (_, i) => `plain${i}@${DOMAIN}`);
const addressesWhere = (isWanted: (cell: Cell) => boolean) => CELLS.filter(isWanted).map(addressOf).sort();

test("every failure of every transport, at both points, ends by its policy; other hooks and other mail are not harmed", async () => {
  const [replies, plain] = await Promise.all([sendAll(CELLS.map(addressOf)), sendAll(PLAIN)]);
  for (const cell of CELLS) {
    const expected =
      cell.point === "pre_receive" && cell.policy === "reject"
        ? /^550 5\.7\.1 /u
        : cell.point === "pre_receive" && cell.policy === "tempfail"
          ? /^451 4\.7\.1 /u
          : /^250 /u;
    assert.match(replies.get(addressOf(cell)) ?? "", expected, cell.name);
  }
  for (const reply of plain.values()) assert.match(reply, /^250 /u);
  const deferred = addressesWhere(({ point, policy }) => point === "pre_delivery" && policy === "tempfail");
  const queued = async () =>
    (await site.postfix.queue()).flatMap(({ recipients }) =>
      recipients.filter(({ address }) => address.endsWith(DOMAIN)),
    );
  await until("all is delivered but what is deferred", async () => {
    const left = await queued();
    return left.length === deferred.length && left.every(({ delayReason }) => delayReason !== undefined);
  });
  assert.deepEqual((await queued()).map(({ address }) => address).sort(), deferred);
  for (const { delayReason } of await queued()) assert.match(delayReason ?? "", /451 4\.7\.1/u);
  await checkBounced(addressesWhere(({ point, policy }) => point === "pre_delivery" && policy === "reject"));
  await checkHeld();
  const allowed = CELLS.filter(({ policy }) => policy === "allow");
  assert.deepEqual((await stored()).sort(), [...allowed.map(addressOf), ...PLAIN].sort());
  for (const cell of allowed) {
    const { header, tags } = await copyOf(addressOf(cell));
    assert.deepEqual(tags, ["before", "behind", "mairust:unchecked"], cell.name);
    assert.deepEqual(header.match(/^X-MaiRust-Skipped: .*(?=\r$)/gmu), [`X-MaiRust-Skipped: ${cell.name}`]);
  }
  for (const address of PLAIN) {
    const { header, tags } = await copyOf(address);
    assert.deepEqual([tags, /X-MaiRust-Skipped/u.test(header)], [[], false], address);
  }
  const counters = await callCounters(site.sidecar.apiSocket);
  assert.deepEqual(
    counters,
    expectedCounters(cell => isBomb(cell) && isCountedAs(counters, cell, "timeout")),
  );
});

const callSeries = (cell: Cell, outcome: string) =>
  `hook_calls_total{hook="${cell.name}",plugin="${idOf(cell)}",outcome="${outcome}"}`;

const isCountedAs = (counters: Readonly<Record<string, number>>, cell: Cell, outcome: string) =>
  callSeries(cell, outcome) in counters;

async function checkBounced(expected: readonly string[]): Promise<void> {
  const log = await site.postfix.log();
  const bounced = log.flatMap(line => /to=<([^>]*)>.*status=bounced .*550 5\.7\.1/u.exec(line)?.[1] ?? []);
  assert.deepEqual(bounced.sort(), expected);
}

interface Held {
  readonly hook: string;
  readonly point: string;
  readonly recipients: readonly string[];
}

async function checkHeld(): Promise<void> {
  const held = await json<readonly Held[]>("held", "list", "--limit", "1000");
  assert.deepEqual(
    held.map(({ hook, point, recipients }) => [hook, point, ...recipients].join(" ")).sort(),
    CELLS.filter(({ policy }) => policy === "hold")
      .map(cell => `${cell.name} ${cell.point} ${addressOf(cell)}`)
      .sort(),
  );
}

/**
 * Each plugin that fails was called once; the others for every message that came as far as they are.
 * @param isLate  its time was over before it failed
 */
function expectedCounters(isLate: (cell: Cell) => boolean): Readonly<Record<string, number>> {
  const counters: Record<string, number> = {};
  const add = (series: string, times = 1) => {
    counters[series] = (counters[series] ?? 0) + times;
  };
  for (const cell of CELLS) {
    const plugin = idOf(cell);
    const outcome = isLate(cell) ? "timeout" : cell.outcome;
    add(callSeries(cell, outcome));
    add(`plugin_calls_total{plugin="${plugin}"}`);
    add(`plugin_errors_total{plugin="${plugin}",kind="${outcome}"}`);
    const isFinal = cell.policy === "reject" || cell.policy === "tempfail";
    const isHere = cell.point === "pre_receive";
    const calls = [
      ["before", "pre_receive", true],
      ["behind", "pre_receive", !isHere || !isFinal],
      ["before", "pre_delivery", !isHere || cell.policy === "allow"],
      ["behind", "pre_delivery", isHere ? cell.policy === "allow" : !isFinal],
    ] as const;
    for (const [name, point, isCalled] of calls) {
      if (!isCalled) continue;
      add(`hook_calls_total{hook="${name}.${point}",plugin="${idOf({ name })}",outcome="ok"}`);
      add(`plugin_calls_total{plugin="${idOf({ name })}"}`);
    }
  }
  return counters;
}

/** To whom Postfix has delivered, in this order. */
async function delivered(): Promise<readonly string[]> {
  const log = await site.postfix.log();
  return log.flatMap(line => /to=<([^>]*)>.*relay=.*status=sent/u.exec(line)?.[1] ?? []);
}

for (const { name, point } of WAITING) {
  test(`while a plugin at ${point} lets one message wait, other mail is stored`, async () => {
    const calls = http.seen.length;
    const slow = `${name}@${DOMAIN}`;
    const sent = send(slow);
    await until("the plugin is called", async () => http.seen.length > calls);
    const other = `beside-${name}@${DOMAIN}`;
    assert.match(await send(other), /^250 /u);
    assert.match(await sent, /^250 /u);
    await until("both are stored in the end", async () => {
      const all = await delivered();
      return all.includes(slow) && all.includes(other);
    });
    const order = (await delivered()).filter(address => address === slow || address === other);
    assert.deepEqual(order, [other, slow], "the other message did not wait for it");
    assert.deepEqual((await copyOf(slow)).tags, ["mairust:unchecked"]);
  });
}
