/** Jobs and search texts in the whole service: what arrives is found by its text, and jobs are seen by API, command line and metrics. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sleep } from "../../../src/platform/deadline.ts";
import type { JobBody } from "../../../src/wire/api/jobs.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

const UNTIL_MS = 60_000;

let running: RunningService;
before(async () => {
  running = await startService();
  await running.ask("POST", "/api/v1/accounts", { body: { address: "taro@example.test" } });
});
after(() => running.stop());

const run = (...args: readonly string[]) => command(running.site.configFile, args, { columns: 160 });

async function foundBy(query: string): Promise<string> {
  const end = performance.now() + UNTIL_MS;
  for (;;) {
    const { out } = await run("msg", "search", "-f", "tab", "--", query);
    if (out !== "") return out;
    assert.ok(performance.now() < end, `"${query}" finds nothing`);
    await sleep(20);
  }
}

const add = (message: string) =>
  running.ask("POST", "/api/v1/accounts/taro%40example.test/mailboxes/INBOX/messages", {
    message: Buffer.from(message, "latin1"),
  });

test("mail that arrives is found by its Japanese body and its attachment names", async () => {
  await add(
    "Subject: first\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n\x1b$B2q5D$O;0;~$+$i\x1b(B\r\n",
  );
  assert.match(await foundBy("会議"), /first/u);
  await add(
    "Subject: second\r\nContent-Type: application/pdf; name*=utf-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf\r\n\r\n%PDF\r\n",
  );
  assert.match(await foundBy("請求書.pdf"), /second/u);
});

test("the standing job is listed and shown, and cannot be canceled", async () => {
  const { body } = await running.ask("GET", "/api/v1/jobs?kind=search_text");
  const [job] = body.items as readonly JobBody[];
  assert.equal(job?.standing, true);
  const path = `/api/v1/jobs/${job?.id}`;
  assert.equal((await running.ask("GET", path)).body.kind, "search_text");
  const refused = await running.ask("POST", `${path}/cancel`);
  assert.deepEqual([refused.status, refused.body.code], [403, "not_permitted"]);
  assert.equal((await running.ask("POST", `${path}/retry`)).status, 409);
  assert.equal((await running.ask("GET", "/api/v1/jobs/999999")).status, 404);
  assert.equal((await running.ask("GET", "/api/v1/jobs?state=odd")).status, 400);
  assert.match((await run("job", "list", "-f", "table")).out, /search_text/u);
  assert.match((await run("job", "list", "--kind", "search_text", "-f", "jsonl")).out, /"standing":true/u);
  assert.equal((await run("job", "list", "--state", "failed")).out, "");
  assert.equal((await run("job", "show", String(job?.id))).code, 0);
  assert.equal((await run("job", "cancel", String(job?.id))).code, 77);
  assert.equal((await run("job", "show", "999999")).code, 66);
});

test("who puts a message in, and who ends or repeats a job, is recorded", async () => {
  const { body } = await running.ask("GET", "/api/v1/admin/audit?limit=50");
  const items = body.items as readonly {
    readonly action: string;
    readonly object: string;
    readonly detail: object;
  }[];
  const of = (action: string) => items.filter(one => one.action === action);
  assert.deepEqual(
    of("message.add").map(({ object, detail }) => [object, detail]),
    [1, 2].map(() => ["taro@example.test", { mailbox: "INBOX" }]),
  );
  // Newest first, by API and by command line; each was refused, and that is recorded as well.
  const [denied, done] = [{ failed: "not_permitted" }, { failed: "invalid_state" }];
  assert.deepEqual(
    of("job.cancel").map(({ detail }) => detail),
    [denied, {}, denied, {}],
  );
  assert.deepEqual(
    of("job.retry").map(({ detail }) => detail),
    [done, {}],
  );
});

test("metrics tell of the queue and of the texts made", async () => {
  const text = (await running.ask("GET", "/metrics")).bytes.toString();
  assert.match(text, /^mairust_jobs\{queue="search_text",state="(?:queued|running)"\} 1$/mu);
  assert.match(text, /^# TYPE mairust_job_age_seconds gauge$/mu);
  assert.match(text, /^mairust_search_texts_total\{outcome="complete"\} [1-9]/mu);
});
