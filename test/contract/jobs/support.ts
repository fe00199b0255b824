/** Stored messages and a running search-text job over a real database and a real blob folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { accountId, type MessageId, messageId } from "../../../src/core/ids.ts";
import { DEFAULT_MIME_LIMITS } from "../../../src/core/mime/limits.ts";
import type { MessageQuery } from "../../../src/core/search-grammar.ts";
import { parseSearch } from "../../../src/core/search-grammar.ts";
import { createMessageAdder } from "../../../src/delivery/add-message.ts";
import {
  createSearchTextHandler,
  SEARCH_TEXT_JOB,
  type SearchTextOptions,
} from "../../../src/jobs/handlers/search-text.ts";
import { JobWorker } from "../../../src/jobs/worker.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { searchMessages } from "../../../src/store/admin-search.ts";
import { openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { createJobQueue } from "../../../src/store/jobs.ts";
import { createSearchTextStore } from "../../../src/store/search-texts.ts";
import { silentLog, startTestDatabase } from "../../lib/database.ts";

export type Mailroom = Awaited<ReturnType<typeof openMailroom>>;

/** The process that does odd things when a message asks for them. */
export const ODD_PROCESS = new URL(
  `./fixtures/odd-process${extname(fileURLToPath(import.meta.url))}`,
  import.meta.url,
);

export async function openMailroom() {
  const database = await startTestDatabase();
  const { db } = database;
  const dir = mkdtempSync(join(tmpdir(), "mr-texts-"));
  const blobs = await openFsBlobs({
    path: dir,
    compression: "brotli",
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
  const newId = uuid7Generator();
  const adder = createMessageAdder({
    blobs,
    store,
    newMessageId: () => messageId(newId()),
    now: () => new Date(),
    maxMessageBytes: () => 200_000_000,
    mimeLimits: () => DEFAULT_MIME_LIMITS,
    log: silentLog,
  });
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  const address = parseMailAddress("taro@example.test");
  const { id } = await db.begin(tx => createAccount(tx, address));
  const account = {
    id: accountId(id),
    address: "taro@example.test",
    domain: "example.test",
    quotaBytes: 0,
    usedBytes: 0,
    usedMessages: 0,
  };
  const queue = createJobQueue({ db });
  return {
    database,
    db,
    blobs,
    changes,
    queue,
    texts: createSearchTextStore(db),
    async add(bytes: Buffer): Promise<MessageId> {
      const added = await adder.add({
        account,
        mailbox: "INBOX",
        flags: { system: 0, keywords: [] },
        internalDate: new Date(),
        content: chunks(bytes),
      });
      return added.messageId;
    },
    /** Ids of what a search finds, newest first. */
    async search(text: string, limit = 50): Promise<readonly string[]> {
      const query: MessageQuery = parseSearch(text);
      return (await searchMessages(db, query, { limit })).items.map(item => item.id);
    },
    /** What is kept of a message. */
    async textOf(id: string): Promise<TextRow | undefined> {
      const [row] = await db.query<TextRow>`
        select outcome, reason, folded, version from search_texts where message_id = ${id}::uuid`;
      return row;
    },
    async close() {
      await database.stop();
      await blobs.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface TextRow {
  readonly outcome: string;
  readonly reason: string | null;
  readonly folded: string;
  readonly version: number;
}

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

/** One run of the job by a worker of its own, until there is nothing left to do. */
export async function makeTexts(room: Mailroom, options: Partial<SearchTextOptions> = {}): Promise<void> {
  const job = startTexts(room, options);
  await job.ended;
  await job.stop();
}

/** As {@link makeTexts}, for tests that do something meanwhile. */
export function startTexts(room: Mailroom, options: Partial<SearchTextOptions> = {}) {
  const handler = createSearchTextHandler({
    store: room.texts,
    blobs: room.blobs,
    log: silentLog,
    now: Date.now,
    onMade: () => undefined,
    ...options,
    limits: { lingerMs: 1, ...options.limits },
  });
  let release: () => void = () => undefined;
  const ended = new Promise<void>(resolve => {
    release = resolve;
  });
  const worker = new JobWorker({
    queue: room.queue,
    handlers: [
      {
        kind: handler.kind,
        concurrency: 1,
        async run(run) {
          await handler.run(run);
          release();
        },
      },
    ],
    owner: `test-${Math.random()}`,
    log: silentLog,
    random: () => 0,
    limits: { pollMs: 50 },
    backOff: { firstMs: 20, maxMs: 20 },
  });
  worker.start();
  void room.queue.makeDue(SEARCH_TEXT_JOB).then(() => worker.wake());
  return {
    handler,
    worker,
    ended,
    async stop() {
      const deadline = deadlineAfter(30_000);
      await worker.stop(deadline);
      deadline.dispose();
    },
  };
}
