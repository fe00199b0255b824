/** What one node has over a database and a blob folder, as far as storing and collecting blobs goes; in tests and in processes of theirs. */
import { messageId } from "../../src/core/ids.ts";
import type { BlobRecord, StagedBlob } from "../../src/core/ports/blobs.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { DeliveryTarget, MessageStore, TargetResult } from "../../src/core/ports/store.ts";
import { createMessageAdder } from "../../src/delivery/add-message.ts";
import { uuid7Generator } from "../../src/platform/uuid7.ts";
import { type Collected, type CollectorOptions, collectBlobs } from "../../src/store/blob-gc.ts";
import { revivingStore } from "../../src/store/blob-revive.ts";
import { type FsBlobStore, openFsBlobs } from "../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../src/store/changes.ts";
import type { Db } from "../../src/store/db.ts";
import { createMessageStore } from "../../src/store/deliver.ts";
import { silentLog } from "./database.ts";

const newId = uuid7Generator();

export interface BlobNode {
  readonly db: Db;
  readonly blobs: FsBlobStore;
  readonly store: MessageStore;
  /** Stage and finish; nothing is durable yet. */
  stage(bytes: Buffer): Promise<StagedBlob>;
  /** The commit of a delivery whose blob was put before. */
  commit(blob: BlobRecord, target: BlobTarget): Promise<TargetResult>;
  /** A whole delivery. @returns its message id */
  deliver(bytes: Buffer, target: BlobTarget): Promise<string>;
  /** Without a look for files that have no row, unless `partsPerRun` says so. */
  collect(options?: Partial<CollectorOptions>, signal?: AbortSignal): Promise<Collected>;
  close(): Promise<void>;
}

export type BlobTarget = Pick<DeliveryTarget, "accountId" | "recipient">;

/** @param path  the blob folder, shared by nodes */
export async function openBlobNode(db: Db, path: string, log: Log = silentLog): Promise<BlobNode> {
  const blobs = await openFsBlobs({ path, compression: "brotli", minFreeBytes: () => 0, log });
  const parts = { db, changes: new MailboxChanges(db, log), log, redeliveryWindowS: () => 3600 };
  const plain = createMessageStore({ ...parts, onCommit: () => undefined });
  const store = revivingStore(plain, { db, upkeep: () => blobs.upkeep, log });
  const adder = createMessageAdder({
    blobs,
    store,
    newMessageId: () => messageId(newId()),
    now: () => new Date(),
    maxMessageBytes: () => 50_000_000,
    mimeLimits: () => ({ depth: 300, parts: 3000 }),
    log,
  });
  const stage = async (bytes: Buffer) => {
    const open = blobs.stage();
    await open.write(bytes);
    return open.finish();
  };
  return {
    db,
    blobs,
    store,
    stage,
    async commit(blob, target) {
      const [result] = await store.deliver({
        messageId: messageId(newId()),
        receivedAt: new Date(),
        blob,
        structure: Buffer.from([1]),
        header: undefined,
        headerBytes: 0,
        messageIdHeader: undefined,
        subject: "",
        from: "",
        threadKey: undefined,
        attachments: 0,
        queueId: "",
        mailFrom: "",
        events: [],
        targets: [
          {
            ...target,
            mailbox: "INBOX",
            ifMissing: "fail",
            flags: { system: 0, keywords: [] },
            internalDate: new Date(),
            prefix: Buffer.from("Return-Path: <>\r\n"),
            metadata: {},
            exactlyOnce: false,
            events: [],
          },
        ],
      });
      if (result === undefined) throw new Error("no result");
      return result;
    },
    async deliver(bytes, target) {
      const none = { quotaBytes: 0, usedBytes: 0, usedMessages: 0 };
      const account = { id: target.accountId, address: target.recipient, domain: "example.test", ...none };
      const request = {
        account,
        mailbox: "INBOX",
        flags: { system: 0, keywords: [] },
        internalDate: new Date(),
      };
      async function* content() {
        yield bytes;
      }
      return (await adder.add({ ...request, content: content() })).messageId;
    },
    collect: (options = {}, signal = new AbortController().signal) =>
      collectBlobs({ db, upkeep: blobs.upkeep, log, partsPerRun: 0, ...options }, signal),
    close: () => blobs.close(),
  };
}
