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
  mairust_imap_unreadable_total: "counts damaged or missing blobs",
  mairust_plugin_errors_total: "counts calls that fail",
  mairust_plugin_denied_actions_total: "counts items beyond the grant; the sample plugin keeps to its own",
};
/** 0 or more, as it happens: the age of a job that is due and not taken yet. */
const EITHER = "mairust_job_age_seconds";
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

/** Metric names of ours, each with the sum of what its samples say. */
function sums(exposition: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [, name = ""] of exposition.matchAll(/^# TYPE (mairust_\S+)/gmu)) {
    const sample = new RegExp(`^${name}(?:_count)?(?:\\{[^}]*\\})? (\\S+)$`, "gmu");
    let sum = 0;
    for (const [, value] of exposition.matchAll(sample)) sum += Number(value);
    found.set(name, sum);
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
  const own = [...sums(text)].filter(([name]) => !/^mairust_(?:process|nodejs)_/u.test(name));
  assert.ok(own.length > 12, text);
  const silent = own.filter(([name, sum]) => !(sum > 0) && name !== EITHER).map(([name]) => name);
  assert.deepEqual(silent.sort(), Object.keys(EXCEPTIONS).sort());
});
