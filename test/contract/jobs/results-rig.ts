/** Stored mail of several accounts with its follow-up jobs, and workers over it: for tests of what hooks want after the commit. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { type AccountId, type MessageId, messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type {
  HookDecision,
  HookDecisions,
  HookRunner,
  MessageChanges,
} from "../../../src/core/ports/hooks.ts";
import type { JobRecord } from "../../../src/core/ports/jobs.ts";
import type { Delivery } from "../../../src/core/ports/store.ts";
import type { TimelineEvent } from "../../../src/core/ports/timeline.ts";
import { type JobHandler, JobWorker } from "../../../src/jobs/worker.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { createJobAdmin } from "../../../src/store/admin-jobs.ts";
import { timeline } from "../../../src/store/admin-messages.ts";
import { openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createJobQueue } from "../../../src/store/jobs.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import { silentLog, startTestDatabase } from "../../lib/database.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";

const UNTIL_MS = 60_000;
const newId = uuid7Generator();

export type Results = Awaited<ReturnType<typeof openResults>>;
export type TestAccount = { readonly id: AccountId; readonly address: string };

export const NO_CHANGES: MessageChanges = {
  tagsAdd: [],
  tagsRemove: [],
  systemFlags: 0,
  keywords: [],
  folder: undefined,
  metadata: {},
};

/** A chain that does what the test says: what plugins do is not these tests' matter. */
export function chainOf(run: HookRunner["run"]): HookRunner {
  return {
    has: point => point === "post_receive",
    needs: () => ({ headers: true, body: false, hold: false }),
    run,
  };
}

/** The same decision for every recipient of a run. */
export function decided(
  recipients: readonly string[],
  decision: Partial<HookDecision>,
  failed: HookDecisions["failed"] = [],
): HookDecisions {
  return { each: new Map(recipients.map(one => [one, { ...DELIVER, ...decision }])), events: [], failed };
}

export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < end, "did not come true in time");
    await sleep(10);
  }
}

export async function openResults() {
  const database = await startTestDatabase();
  const { db } = database;
  const dir = mkdtempSync(join(tmpdir(), "mr-results-"));
  const blobs = await openFsBlobs({
    path: dir,
    compression: "none",
    minFreeBytes: () => 0,
    log: silentLog,
  });
  const changes = new MailboxChanges(db, silentLog);
  const store = createMessageStore({
    db,
    changes,
    log: silentLog,
    redeliveryWindowS: () => 3600,
    confirmBlob: digest => blobs.confirm(digest),
    onCommit: () => undefined,
  });
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  const queue = createJobQueue({ db });
  const admin = createJobAdmin({ db, onChange: () => undefined });
  let accounts = 0;
  const blobOf = async (bytes: Buffer) => {
    const stage = blobs.stage();
    await stage.write(bytes);
    const staged = await stage.finish();
    const record = await staged.persist();
    await staged.discard();
    return record;
  };
  return {
    database,
    db,
    blobs,
    changes,
    store,
    queue,
    admin,
    directory: new StoreDirectory(db),
    messages: createStoredMessages({ db, changes }),
    async account(): Promise<TestAccount> {
      const address = `user${++accounts}@example.test`;
      const { id } = await db.begin(tx => createAccount(tx, parseMailAddress(address)));
      return { id, address };
    },
    /** One message for all of them, in INBOX; its id is not stored yet. */
    async delivery(to: readonly TestAccount[], change: Partial<Delivery> = {}): Promise<Delivery> {
      const bytes = Buffer.from(`Subject: ${newId()}\r\nFrom: a@example.org\r\n\r\ntext\r\n`);
      const [first] = to;
      assert.ok(first);
      const plain = plainDelivery({
        id: messageId(newId()),
        account: first.id,
        recipient: first.address,
        blob: await blobOf(bytes),
        bytes,
      });
      const [target] = plain.targets;
      assert.ok(target);
      const targets = to.map(({ id, address }) => ({
        ...target,
        accountId: id,
        recipient: address,
        exactlyOnce: true,
      }));
      return { ...plain, queueId: newId(), targets, followUp: "post_receive", ...change };
    },
    async deliver(to: readonly TestAccount[], change: Partial<Delivery> = {}): Promise<MessageId> {
      const delivery = await this.delivery(to, change);
      const results = await store.deliver(delivery);
      assert.ok(
        results.every(result => result.kind === "stored"),
        JSON.stringify(results),
      );
      return delivery.messageId;
    },
    /** The copies of a message. */
    copies: (id: MessageId): Promise<readonly CopyRow[]> => db.query<CopyRow>`
      select b.account_id as account, b.name as mailbox, e.uid, e.modseq, e.flags, e.keywords, e.metadata
      from entries e join mailboxes b on b.id = e.mailbox_id where e.message_id = ${id}::uuid order by b.account_id, b.id, e.uid`,
    async jobsOf(id: MessageId): Promise<readonly JobRecord[]> {
      const { items } = await admin.list({ kind: undefined, state: undefined }, { limit: 500 });
      return items.filter(job => job.messageId === id);
    },
    async untilState(id: number, state: JobRecord["state"]): Promise<JobRecord> {
      await until(async () => (await admin.get(id)).state === state);
      return admin.get(id);
    },
    async events(id: MessageId, kind: TimelineEvent["kind"]): Promise<readonly Record<string, unknown>[]> {
      // The events of a message that is stored nowhere come into the table in a batch, after its job has ended.
      const found = await timeline(db, id).catch((error: unknown) => {
        if (error instanceof MairustError && error.code === "not_found") {
          return { events: [] };
        }
        throw error;
      });
      return found.events
        .filter(event => event.kind === kind)
        .map(({ recipient, data }) => ({ recipient, ...data }));
    },
    recordEvents: store.recordEvents,
    worker(handler: JobHandler, firstMs = 20) {
      const worker = new JobWorker({
        queue,
        handlers: [handler],
        owner: randomUUID(),
        log: silentLog,
        random: () => 0,
        limits: { pollMs: 20, concurrency: handler.concurrency },
        backOff: { firstMs, maxMs: firstMs },
      });
      worker.start();
      return {
        worker,
        async stop() {
          const deadline = deadlineAfter(30_000);
          await worker.stop(deadline);
          deadline.dispose();
        },
      };
    },
    async close() {
      await changes.stop();
      await database.stop();
      await blobs.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface CopyRow {
  readonly account: number;
  readonly mailbox: string;
  readonly uid: number;
  readonly modseq: number;
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}
