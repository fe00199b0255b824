/** Held mail that is released through a real Postfix: it comes back by LMTP and is stored, in the bytes in which it was held. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseMailAddress } from "../../src/core/envelope.ts";
import { blobDigest, messageId } from "../../src/core/ids.ts";
import { DELIVER } from "../../src/core/merge.ts";
import { packStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import { startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { uuid7Generator } from "../../src/platform/uuid7.ts";
import { createHolds } from "../../src/store/holds.ts";
import { silentLog } from "../lib/database.ts";
import { drainQueue } from "../lib/mail-site.ts";
import { openEmbedded } from "../lib/promises-store.ts";
import { startSidecar } from "../lib/sidecar.ts";

const START_MS = 90_000;
const scratch = await makeScratch();
after(() => scratch.remove());

test("mail held at the milter goes to Postfix and comes back; a recipient that Postfix refuses stays held", async t => {
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const deadline = deadlineAfter(START_MS);
  const settings = {
    smtpd_recipient_restrictions:
      "check_recipient_access inline:{{gone@example.test = REJECT moved}}, permit_mynetworks, reject",
  };
  const postfix = await startPostfix(
    { dir: await folder("p"), domains: ["example.test"], settings },
    deadline,
  );
  t.after(() => postfix.stop());
  const sidecar = await startSidecar({
    dir: await folder("s"),
    lmtpListen: [`unix:${postfix.lmtpSocket}`],
    lmtp: `socket_group = "postfix"`,
    toml: `[outbound]\nsmtp = "inet:127.0.0.1:${postfix.smtpPort}"`,
  });
  t.after(() => sidecar.stop());
  const text =
    "From: a@example.org\r\nSubject: held\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <held@example.org>\r\n\r\n.dot\r\nbody \xe9\r\n";
  const id = await holdAtMilter(sidecar, Buffer.from(text, "latin1"));
  const released = await sidecar.mairust(["held", "release", id, "-f", "tab"]);
  assert.equal(released.code, 1, released.stderr);
  const printed = released.stdout.toString();
  assert.match(printed, /released\ttaro@example\.test\t250 .*queued as/u);
  assert.match(printed, /held\tgone@example\.test\t554 .*moved/u);
  await drainQueue(postfix);
  deadline.dispose();
  const found = await sidecar.mairust([
    "msg",
    "search",
    "account:taro@example.test",
    "folder:INBOX",
    "-f",
    "jsonl",
  ]);
  const [place] = JSON.parse(found.stdout.toString()).places;
  const raw = await sidecar.mairust([
    "msg",
    "raw",
    "--account",
    "taro@example.test",
    "--mailbox",
    "INBOX",
    "--uid",
    String(place.uid),
  ]);
  const stored = raw.stdout.toString("latin1");
  assert.ok(stored.endsWith(text), stored);
  const record = JSON.parse((await sidecar.mairust(["held", "show", id, "-f", "json"])).stdout.toString());
  assert.deepEqual([record.state, record.recipients], ["held", ["gone@example.test"]]);
});

/** The bytes come to the sidecar's own blobs by `msg add`, for an account of their own. */
async function holdAtMilter(
  sidecar: Awaited<ReturnType<typeof startSidecar>>,
  bytes: Buffer,
): Promise<string> {
  await sidecar.mairust(["account", "add", "source@example.test"]);
  const added = await sidecar.mairust(["msg", "add", "--account", "source@example.test"], bytes);
  assert.equal(added.code, 0, added.stderr);
  const db = await openEmbedded(join(sidecar.dir, "data"));
  const close = deadlineAfter(10_000);
  try {
    const digest = createHash("sha256").update(bytes).digest("hex");
    const [blob] = await db.query<{ stored_bytes: number; codec: "none" | "brotli" }>`
      select stored_bytes, codec from blobs where digest = decode(${digest}, 'hex')`;
    assert.ok(blob !== undefined);
    const scanner = new MessageScanner();
    scanner.write(bytes);
    const structure = scanner.end();
    const newId = uuid7Generator();
    const [held] = await createHolds({
      db,
      confirmBlob: () => Promise.resolve(undefined),
      expireDays: () => 30,
      redeliveryWindowS: () => 60,
      newId,
      log: silentLog,
    }).hold(
      {
        messageId: messageId(newId()),
        receivedAt: new Date(),
        blob: {
          digest: blobDigest(digest),
          sizeBytes: bytes.length,
          storedBytes: blob.stored_bytes,
          codec: blob.codec,
        },
        structure: packStructure(structure),
        header: structure.headerBytes,
        headerBytes: structure.headerSizeBytes,
        messageIdHeader: structure.messageId,
        subject: "held",
        from: "a@example.org",
        threadKey: undefined,
        attachments: 0,
        queueId: "4WsRJ55TZyz1J2k",
        mailFrom: "a@example.org",
        events: [],
      },
      [
        {
          point: "pre_receive",
          recipients: ["taro@example.test", "gone@example.test"].map(one => ({
            address: parseMailAddress(one),
          })),
          account: undefined,
          by: { priority: 100, name: "dlp", pluginId: "com.example.dlp", reason: "a card number" },
          reason: "a card number",
          decision: { ...DELIVER, action: "hold" },
          authUser: undefined,
          prefix: new Uint8Array(),
          events: [],
        },
      ],
    );
    return held?.heldId ?? "";
  } finally {
    await db.close(close);
    close.dispose();
  }
}
