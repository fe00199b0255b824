/** The metrics of a whole service: none is registered that nothing feeds. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import { MilterClient } from "../../lib/milter-client.ts";
import { type RunningService, startService } from "./service.ts";

/** Not fed by one message that goes well, each with the reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  mairust_blobs_removed_bytes_total: "a blob has to be unused for a day",
  mairust_blobs_removed_total: "a blob has to be unused for a day",
  mairust_held_messages: "nothing is held",
  mairust_scrub_findings_total: "a stored message has to be damaged and scrub to run",
  mairust_milter_protocol_errors_total: "an MTA has to break the protocol",
  mairust_imap_handshakes_total: "there is no listener with TLS",
  mairust_imap_refused_connections_total: "nobody comes too often",
  mairust_imap_unreadable_total: "counts damaged or missing blobs",
  mairust_admin_alerts_total: "something has to be wrong",
  mairust_outbox_queued: "nothing is sent",
  mairust_outbox_recipients_total: "nothing is sent",
  mairust_outbox_submit_duration_seconds: "nothing is sent",
  mairust_outbox_unknown_total: "a process has to be killed while it sends",
  mairust_hook_diffs_total: "a hook has to be in shadow",
  mairust_relay_maybe_twice_total: "the service has to be killed between the next hop and its own record",
  mairust_plugin_network_bytes: "the sample plugin has no network",
  mairust_plugin_tokens_total: "the sample plugin uses none",
  mairust_plugin_cost_usd_total: "the sample plugin costs nothing",
  mairust_plugin_errors_total: "counts calls that fail",
  mairust_plugin_denied_actions_total: "counts items beyond the grant; the sample plugin keeps to its own",
};
/** Have a sample, which may be 0, each with what that means. */
const MAY_BE_ZERO: Readonly<Record<string, string>> = {
  mairust_job_age_seconds: "no job is due and not taken yet",
  mairust_plugin_circuit_state: "closed: the plugin is called",
};
const USER = "taro@example.test";

const UNTIL_MS = 60_000;

let running: RunningService;
before(async () => {
  running = await startService(["plugins.enabled=true"]);
});
after(() => running.stop());

const listeners = (name: string) =>
  running.service
    .addresses()
    .filter(one => one.name === name)
    .map(({ address }) => Number(/:(\d+)$/u.exec(address)?.[1]))
    .filter(port => port > 0);

function imapClient(pass: string): ImapFlow {
  return new ImapFlow({
    host: "127.0.0.1",
    port: running.site.imapPort,
    secure: false,
    doSTARTTLS: false,
    logger: false,
    auth: { user: running.site.masterUser, pass, authzid: USER, loginMethod: "AUTH=PLAIN" },
  });
}

interface Samples {
  readonly count: number;
  readonly sum: number;
}

/** Metric names of ours, each with its samples. */
function samplesOf(exposition: string): ReadonlyMap<string, Samples> {
  const found = new Map<string, Samples>();
  for (const [, name = ""] of exposition.matchAll(/^# TYPE (mairust_\S+)/gmu)) {
    const sample = new RegExp(`^${name}(?:_count)?(?:\\{[^}]*\\})? (\\S+)$`, "gmu");
    const values = Array.from(exposition.matchAll(sample), ([, value]) => Number(value));
    found.set(name, { count: values.length, sum: values.reduce((total, value) => total + value, 0) });
  }
  return found;
}

test("every metric of ours has a sample after one message with a hook, one read and one wrong password", async () => {
  const transport = createTransport({
    host: "127.0.0.1",
    port: listeners("lmtp")[0] ?? 0,
    lmtp: true,
    ignoreTLS: true,
    pool: true,
  });
  await transport.sendMail({
    envelope: { from: "a@example.org", to: [USER] },
    raw: "Subject: invoice\r\nMessage-ID: <metrics@example.org>\r\n\r\nbody\r\n",
  });
  const milter = await MilterClient.open({ host: "127.0.0.1", port: listeners("milter")[0] ?? 0 });
  await milter.send({ to: [USER] });
  const client = imapClient(running.site.masterPassword);
  await client.connect();
  await client.mailboxOpen("Invoices");
  assert.ok((await client.fetchOne("1", { source: true })) !== false);
  await assert.rejects(imapClient("wrong").connect());
  await running.ask("GET", "/readyz");
  const scrape = async () => (await running.ask("GET", "/metrics")).bytes.toString();
  const end = performance.now() + UNTIL_MS;
  let text = await scrape();
  // The text for search is made after the commit.
  while (!text.includes("mairust_search_texts_total{") && performance.now() < end) text = await scrape();
  await client.logout();
  transport.close();
  milter.quit();
  const own = [...samplesOf(text)].filter(([name]) => !/^mairust_(?:process|nodejs)_/u.test(name));
  assert.ok(own.length > 12, text);
  const isSilent = (name: string, { count, sum }: Samples) =>
    Object.hasOwn(MAY_BE_ZERO, name) ? count === 0 : !(sum > 0);
  const silent = own.filter(([name, samples]) => isSilent(name, samples)).map(([name]) => name);
  assert.deepEqual(silent.sort(), Object.keys(EXCEPTIONS).sort());
});
