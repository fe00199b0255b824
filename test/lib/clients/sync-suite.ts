/**
 * The tests that every client passes: copy 2000 messages (`npm run clients`: 10 000) and the corpus, directly and through Dovecot; then 50 messages and one
 * mailbox more, and only those are fetched. The account is filled once for all clients of a file.
 */
import assert from "node:assert/strict";
import { after, before, describe, type TestContext, test } from "node:test";
import { messageOf } from "../../../src/core/errors.ts";
import { deadlineAfter, type TimedDeadline } from "../../../src/platform/deadline.ts";
import { type MailClient, missingProgram, type SyncJob } from "./client.ts";
import { compareKept } from "./compare.ts";
import { credentials, setPassword } from "./credentials.ts";
import { type ClientSite, startClientSite, WAYS, type Way } from "./site.ts";
import { countOf, fill, fillMore, MORE_COUNT, type Stored, seenBy } from "./stored.ts";

/** Longest run of one client: the slowest, OfflineIMAP, takes half a minute on two idle cores and four on two that are busy. */
const SYNC_MS = 600_000;
/** In the error of a client that failed. */
const QUOTED_RESPONSES = 8;

export interface Suite {
  readonly client: MailClient;
  /** Messages of the corpus that the client passes over by its own rules; the names are in the test's diagnostics. */
  readonly passesOver: number;
}

export function testSync(suites: readonly Suite[]): void {
  let site: ClientSite;
  let stored: Stored;
  const ran: { readonly client: MailClient; readonly job: SyncJob }[] = [];

  before(async () => {
    site = await startClientSite();
    stored = await fill(site);
    await setPassword(site);
  });
  after(async () => {
    for (const { client, job } of ran) await client.close?.(job);
    await site?.stop();
  });

  const jobOf = async (
    client: MailClient,
    way: Way,
  ): Promise<SyncJob & { readonly deadline: TimedDeadline }> => ({
    access: credentials(site, way, client.login),
    dir: await site.folder(`c/${client.name.replaceAll(/\W/gu, "-")}-${way}`),
    mailboxes: [...stored].filter(([, messages]) => messages.length > 0).map(([name]) => name),
    deadline: deadlineAfter(SYNC_MS),
  });

  const run = async (t: TestContext, { client, passesOver }: Suite, way: Way, fresh: number) => {
    const missing = await missingProgram(client.programs);
    if (missing !== undefined) return t.skip(`${missing} is not installed: test/setup-host clients`);
    const job = await jobOf(client, way);
    ran.push({ client, job });
    const wire = site.proxies[way];
    wire.reset();
    const started = performance.now();
    await client.sync(job).catch(async (cause: unknown) => {
      const responses = wire.responses().slice(-QUOTED_RESPONSES).join("\n");
      const log = (await site.dovecot.log()).slice(-QUOTED_RESPONSES).join("\n");
      throw new Error(`${messageOf(cause)}\nLast responses:\n${responses}\nDovecot's log:\n${log}`, {
        cause,
      });
    });
    const ms = performance.now() - started;
    const counts = wire.counts();
    const { kept, passedOver } = await compareKept(client, job, seenBy(stored, way));
    t.diagnostic(`${Math.round(ms)} ms, ${kept} messages, ${JSON.stringify(counts)}`);
    if (passedOver.length > 0) t.diagnostic(`passed over: ${passedOver.join(", ")}`);
    assert.equal(passedOver.length, passesOver);
    assert.equal(counts.bodies, fresh, "messages that were fetched");
    job.deadline.dispose();
  };

  // All ways of one client at a time: most clients wait for answers more than they work.
  const everyWay = (suite: Suite, name: string, fresh: () => number) =>
    describe(suite.client.name, { concurrency: WAYS.length }, () => {
      for (const way of WAYS) {
        test(`${suite.client.name} ${name} ${WAY_TEXT[way]}`, t => run(t, suite, way, fresh()));
      }
    });

  for (const suite of suites) everyWay(suite, "copies everything, byte for byte,", () => countOf(stored));
  describe("after 50 messages and one mailbox more", () => {
    before(async () => {
      stored = await fillMore(site, stored);
    });
    for (const suite of suites) everyWay(suite, "fetches only what is new", () => MORE_COUNT);
  });
}

const WAY_TEXT: Readonly<Record<Way, string>> = {
  direct: "directly",
  client: "at the listener for clients",
  dovecot: "through Dovecot",
};
