/** Held mail through the API and the command line of a whole service. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { accountId, blobDigest, messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { NewHold } from "../../../src/core/ports/holds.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import type { Db } from "../../../src/store/db.ts";
import { createHolds } from "../../../src/store/holds.ts";
import { silentLog } from "../../lib/database.ts";
import { atMilter, BY } from "../holds/held-mail.ts";
import { command } from "./command.ts";
import { fingerprint } from "./fingerprint.ts";
import { type RunningService, startService } from "./service.ts";

const ADDRESS = "taro@example.test";
const newId = uuid7Generator();
let running: RunningService;
let db: Db;
before(async () => {
  running = await startService(["outbound.smtp=inet:127.0.0.1:1"]);
  db = await running.database();
  await running.ask("POST", "/api/v1/accounts", { body: { address: ADDRESS } });
});
after(() => running.stop());

let texts = 0;
const textOf = () =>
  Buffer.from(
    `From: =?utf-8?q?S=C3=A9nder?= <a@example.org>\r\nSubject: held ${texts++}\r\nContent-Type: text/html\r\n\r\n<script>x()</script><b>bold</b> text\r\n`,
  );

/** The bytes come to the service's own blob folder by `msg add`; then the message is held, as a listener would. */
async function hold(isAtMilter = false, change: Partial<NewHold> = {}, bytes = textOf()): Promise<string> {
  const added = await running.ask("POST", `/api/v1/accounts/${ADDRESS}/mailboxes/INBOX/messages`, {
    message: bytes,
  });
  assert.equal(added.status, 201);
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const structure = scanner.end();
  const [row] = await db.query<{ id: number }>`select id from accounts where local_part = 'taro'`;
  const [blob] = await db.query<{ stored_bytes: number; codec: "none" | "brotli" }>`
    select stored_bytes, codec from blobs where digest = decode(${createHash("sha256").update(bytes).digest("hex")}, 'hex')`;
  const holds = createHolds({
    db,
    confirmBlob: () => Promise.resolve(undefined),
    expireDays: () => 30,
    redeliveryWindowS: () => 60,
    newId,
    log: silentLog,
  });
  const [held] = await holds.hold(
    {
      messageId: messageId(newId()),
      receivedAt: new Date(),
      blob: {
        digest: blobDigest(createHash("sha256").update(bytes).digest("hex")),
        sizeBytes: bytes.length,
        storedBytes: blob?.stored_bytes ?? 0,
        codec: blob?.codec ?? "none",
      },
      structure: packStructure(structure),
      header: structure.headerBytes,
      headerBytes: structure.headerSizeBytes,
      messageIdHeader: undefined,
      subject: "held",
      from: "Sénder <a@example.org>",
      threadKey: undefined,
      attachments: 0,
      queueId: newId(),
      mailFrom: "a@example.org",
      events: [],
    },
    [
      isAtMilter
        ? atMilter(["b@example.test", "c@example.test"], change)
        : {
            point: "pre_delivery",
            recipients: [{ address: parseMailAddress(ADDRESS) }],
            account: { id: accountId(row?.id ?? 0), address: ADDRESS },
            by: BY,
            reason: BY.reason,
            decision: { ...DELIVER, action: "hold", by: BY },
            authUser: undefined,
            prefix: Buffer.from(`Delivered-To: ${ADDRESS}\r\n`),
            events: [],
          },
    ],
  );
  return held?.heldId ?? "";
}

const run = (...args: readonly string[]) => command(running.site.configFile, args, { columns: 160 });

test("held mail is listed and shown, decoded and without anything that a browser would run", async () => {
  const id = await hold();
  const list = await running.ask("GET", `/api/v1/held?account=${ADDRESS}&limit=1`);
  assert.equal(list.status, 200);
  const items = list.body.items as ReadonlyArray<Record<string, unknown>>;
  assert.deepEqual([items[0]?.id, items[0]?.state, items[0]?.hook], [id, "held", "dlp"]);
  const shown = await running.ask("GET", `/api/v1/held/${id}`);
  const preview = shown.body.preview as { headers: { name: string; value: string }[]; text: string };
  assert.equal(preview.headers.find(one => one.name === "From")?.value, "Sénder <a@example.org>");
  assert.doesNotMatch(preview.text, /[<>]|x\(\)/u);
  assert.match(preview.text, /bold text/u);
  assert.equal((await running.ask("GET", "/api/v1/held?state=odd")).status, 400);
  assert.equal((await running.ask("GET", `/api/v1/held/${newId()}`)).status, 404);
  assert.equal((await running.ask("GET", "/api/v1/held/x")).status, 404);
  const explained = await running.ask("GET", `/api/v1/messages/${String(items[0]?.message_id)}/timeline`);
  assert.match(JSON.stringify(explained.body.events), /"held"/u);
  const metrics = (await running.ask("GET", "/metrics")).bytes.toString();
  assert.match(metrics, /^mairust_held_messages 1$/mu);
});

test("a preview names attachments and shows nothing of them", async () => {
  const parts = [
    "",
    "text/plain\r\n\r\nsee there",
    `application/pdf; name="../a\u202efdp.exe"\r\n\r\nSECRET`,
  ].join("\r\n--b\r\nContent-Type: ");
  const text = `From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nX-N: ${texts++}\r\n${parts}\r\n--b--\r\n`;
  const id = await hold(false, {}, Buffer.from(text));
  const { preview } = (await running.ask("GET", `/api/v1/held/${id}`)).body;
  const { attachments } = preview as { attachments: readonly Record<string, unknown>[] };
  assert.deepEqual(attachments, [{ filename: "afdp.exe", content_type: "application/pdf", size_bytes: 6 }]);
  assert.doesNotMatch(JSON.stringify(preview), /SECRET/u);
  assert.match(
    (await run("held", "show", id, "-f", "table")).out,
    /^\[attachment afdp\.exe, application\/pdf, /mu,
  );
});

test("who sent it cannot release or reject it by the API, and somebody else can", async () => {
  const id = await hold(true, { point: "pre_send", authUser: "taro" });
  const as = (user: string) => ({ headers: { "x-mairust-actor": user }, body: { to: ADDRESS } });
  for (const what of ["release", "reject"])
    assert.equal((await running.ask("POST", `/api/v1/held/${id}/${what}`, as("taro"))).status, 403, what);
  assert.equal((await running.ask("POST", `/api/v1/held/${id}/release`, as("hanako"))).status, 200);
});

test("release by the API: tried, done, done again; to another account", async () => {
  const id = await hold();
  const tried = await running.ask("POST", `/api/v1/held/${id}/release?dry_run=true`);
  assert.deepEqual([tried.status, (tried.body.hold as { state: string }).state], [200, "held"]);
  const done = await running.ask("POST", `/api/v1/held/${id}/release`);
  assert.equal(done.status, 200);
  assert.deepEqual((done.body.released as { recipient: string }[])[0]?.recipient, ADDRESS);
  assert.equal((await running.ask("POST", `/api/v1/held/${id}/release`)).status, 409);
  const other = await hold(true);
  const wrong = await running.ask("POST", `/api/v1/held/${other}/release`, {
    body: { to: "no@elsewhere.example" },
  });
  assert.equal(wrong.status, 404);
  const redirected = await running.ask("POST", `/api/v1/held/${other}/release`, { body: { to: ADDRESS } });
  assert.equal((redirected.body.hold as { state: string }).state, "released");
});

test("held list, show, release, reject, delete: what they print, their exit codes and the state agree", async () => {
  const [a, b, c, d] = [await hold(), await hold(), await hold(true), await hold()];
  assert.match((await run("held", "list", "-f", "table")).out, /card number/u);
  const shown = await run("held", "show", a, "-f", "table");
  assert.match(shown.out, /Subject: held[\s\S]*bold text/u);
  assert.doesNotMatch(shown.out, /<b>/u);
  const both = await run("held", "release", a, b, "-f", "tab");
  assert.equal(both.code, 0, both.err);
  assert.equal(both.out.match(/released/gu)?.length, 2);
  assert.equal((await run("held", "release", a)).code, 2);
  // Nobody listens on port 1: it stays held.
  const away = await run("held", "release", c);
  assert.equal(away.code, 69);
  assert.match((await run("held", "show", c, "-f", "json")).out, /"state": ?"held"/u);
  assert.equal((await run("held", "delete", c)).code, 64);
  assert.equal((await run("held", "delete", c, "--dry-run")).code, 0);
  assert.equal((await run("held", "delete", c, "--yes")).code, 0);
  assert.equal((await run("held", "reject", d)).code, 0);
  assert.match((await run("held", "list", "--state", "rejected")).out, new RegExp(d, "u"));
  assert.equal((await run("held", "release")).code, 64);
  assert.equal((await run("held", "show", newId())).code, 66);
});

test("a dry run of what becomes of held mail answers as it does, and the mail is held on", async () => {
  const id = await hold();
  const was = await fingerprint(db);
  for (const what of ["release", "reject", "delete"]) {
    const { status, body } = await running.ask("POST", `/api/v1/held/${id}/${what}?dry_run=true`);
    assert.equal(status, 200, `${what}: ${JSON.stringify(body)}`);
    assert.equal(await fingerprint(db), was, what);
  }
  assert.equal((await running.ask("POST", `/api/v1/held/${id}/delete`)).status, 200);
  assert.notEqual(await fingerprint(db), was);
});
