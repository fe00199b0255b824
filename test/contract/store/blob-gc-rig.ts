/** What the tests of the blob collector share: a database, a blob folder, one account, and time that has passed. */
import { randomBytes } from "node:crypto";
import { existsSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { type BlobNode, type BlobTarget, openBlobNode } from "../../lib/blob-node.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { makeFolder } from "./folder.ts";

export const DAY_MS = 86_400_000;

export interface Rig {
  readonly database: TestDatabase;
  readonly folder: string;
  readonly node: BlobNode;
  readonly target: BlobTarget;
  path(digest: string): string;
  exists(digest: string): boolean;
  /** Let everything that lies there be two days old. */
  makeOld(): Promise<void>;
  makeFileOld(digest: string): void;
  deleteMessages(...ids: readonly string[]): Promise<void>;
  /** live, marked, removed, or gone: no row. */
  stateOf(digest: string): Promise<string>;
  stop(): Promise<void>;
}

export const someBytes = (size = 300) =>
  Buffer.from(`Subject: x\r\n\r\n${randomBytes(size).toString("hex")}`);

export async function makeRig(): Promise<Rig> {
  const database = await startTestDatabase();
  const folder = makeFolder();
  const { db } = database;
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  const { id } = await db.begin(tx => createAccount(tx, parseMailAddress("taro@example.test")));
  const node = await openBlobNode(db, folder.path);
  const path = (digest: string) => join(folder.path, digest.slice(0, 2), digest.slice(2));
  const makeFileOld = (digest: string) => {
    const old = new Date(Date.now() - 2 * DAY_MS);
    utimesSync(path(digest), old, old);
  };
  return {
    database,
    folder: folder.path,
    node,
    target: { accountId: id, recipient: "taro@example.test" },
    path,
    exists: digest => existsSync(path(digest)),
    async makeOld() {
      await db.query`
        update blobs set touched_at = touched_at - interval '2 days', loose_since = loose_since - interval '2 days'
        where collecting_since is null`;
    },
    makeFileOld,
    async deleteMessages(...ids) {
      await db.query`delete from entries where message_id = any(${ids}::uuid[])`;
      await db.query`delete from messages where message_id = any(${ids}::uuid[])`;
    },
    async stateOf(digest) {
      const [row] = await db.query<{ state: string }>`
        select case when removed_at is not null then 'removed' when collecting_since is not null then 'marked' else 'live' end
               as state from blobs where digest = decode(${digest}, 'hex')`;
      return row?.state ?? "gone";
    },
    async stop() {
      await node.close();
      await database.stop();
      folder.remove();
    },
  };
}
