/** A request with an Idempotency-Key whose work fails: when another one may begin anew. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { messageId } from "../../../src/core/ids.ts";
import { createMailSender, type SenderOptions } from "../../../src/delivery/send-mail.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { silentLog } from "../../lib/database.ts";
import { NO_EDIT_RULES } from "../../lib/relay-parts.ts";

const never = () => Promise.reject(new Error("not asked here"));
const ACCOUNT = { id: 1, address: "taro@example.test", domain: "example.test" };

test("a key is given back only when it is sure that nothing was queued", async t => {
  const dir = mkdtempSync(join(tmpdir(), "send-once-"));
  const blobs = await openFsBlobs({
    ...{ path: join(dir, "blobs"), compression: "brotli", minFreeBytes: () => 0, log: silentLog },
  });
  t.after(async () => {
    await blobs.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const newId = uuid7Generator();
  let released = 0;
  const sender = (queue: Error, lookUp: Error | undefined) => {
    // What sending one mail asks; anything else would be undefined, and fail.
    const options = {
      ...{ log: silentLog, blobs, edits: NO_EDIT_RULES },
      directory: {
        findAccount: async () => ({ account: ACCOUNT, domain: { name: "example.test" }, stage: "store" }),
      },
      hooks: { has: () => false },
      holds: { hold: never },
      outbox: {
        queue: () => Promise.reject(queue),
        findByMessage: () => (lookUp === undefined ? Promise.resolve(undefined) : Promise.reject(lookUp)),
      },
      signer: { sign: async () => "" },
      keys: {
        begin: async (_s: string, _k: string, _d: string, id: string) => ({
          kind: "new",
          messageId: messageId(id),
        }),
        finish: never,
        release: async () => {
          released += 1;
        },
      },
      heldAs: async () => undefined,
      newMessageId: () => messageId(newId()),
      chainTimeoutMs: () => 10_000,
      limits: () => ({ messageBytes: 1_000_000, mime: { depth: 100, parts: 100 } }),
      now: () => new Date(),
      recordEvents: () => undefined,
      canonical: (raw: string) => raw,
      // All that a send which comes again gets to.
    } as unknown as SenderOptions;
    return createMailSender(options);
  };
  const send = (queue: Error, lookUp?: Error) =>
    sender(queue, lookUp).send({
      mail: {
        ...{ kind: "composed", from: ACCOUNT.address, to: ["a@far.test"], cc: [], bcc: [], replyTo: [] },
        ...{
          subject: "x",
          text: "x",
          html: undefined,
          attachments: [],
          inReplyTo: undefined,
          references: [],
        },
      },
      idempotency: { key: "k", digest: "ab".repeat(32) },
      dryRun: false,
    });
  const away = new MairustError("store_unavailable", "Cannot run a statement: cut off in the commit");
  const full = new MairustError("too_many", "Cannot queue mail: full");
  await assert.rejects(send(away), { code: "store_unavailable" });
  assert.equal(released, 0);
  await assert.rejects(send(full, away), { code: "too_many" });
  assert.equal(released, 0);
  await assert.rejects(send(full), { code: "too_many" });
  assert.equal(released, 1);
});
