/** Messages by the API against a whole service: adding, finding, reading, explaining, and removing with their account. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import type { AuditBody } from "../../../src/wire/api/audit.ts";
import type { PageBody } from "../../../src/wire/api/common.ts";
import type { MessageBody, TimelineBody } from "../../../src/wire/api/messages.ts";
import { type RunningService, startService } from "./service.ts";

let running: RunningService;
before(async () => {
  running = await startService(["limits.message_bytes=100000"]);
  for (const name of ["taro", "hanako"]) {
    await running.ask("POST", "/api/v1/accounts", { body: { address: `${name}@example.test` } });
  }
});
after(() => running.stop());

const ask: RunningService["ask"] = (...args) => running.ask(...args);
const mailbox = (name = "INBOX", account = "taro@example.test") =>
  `/api/v1/accounts/${encodeURIComponent(account)}/mailboxes/${encodeURIComponent(name)}/messages`;

async function search(q: string): Promise<readonly MessageBody[]> {
  const { status, body } = await ask("GET", `/api/v1/messages?${new URLSearchParams({ q })}`);
  assert.equal(status, 200, JSON.stringify(body));
  return body.items as readonly MessageBody[];
}
const subjects = async (q: string) => (await search(q)).map(message => message.subject).sort();

function mail(subject: string, from = "Alice <alice@sender.test>", body = "Hello\r\n"): Buffer {
  return Buffer.from(
    `From: ${from}\r\nSubject: ${subject}\r\nMessage-ID: <${subject.replaceAll(" ", ".")}@sender.test>\r\n\r\n${body}`,
  );
}

test("a message is stored exactly as it came, whatever its bytes, with flags and date", async () => {
  const message = Buffer.concat([
    mail("odd bytes"),
    Buffer.from([0, 0x0d, 0x41, 0x0a, 0xff, 0xfe, 0x0d, 0x0a, 0x2e, 0x0a]),
  ]);
  const query = "?date=2020-01-02T03:04:05%2B09:00&flags=%5CSeen,invoice";
  const added = await ask("POST", `${mailbox("Archive")}${query}`, { message });
  assert.equal(added.status, 201);
  assert.equal(added.body.size_bytes, message.length);
  const shown = (await ask<MessageBody>("GET", `/api/v1/messages/${added.body.id}`)).body;
  const [place] = shown.places;
  assert.deepEqual(
    [place?.account, place?.mailbox, place?.uid, place?.flags, place?.tags, place?.internal_date],
    ["taro@example.test", "Archive", 1, ["\\Seen"], ["invoice"], "2020-01-01T18:04:05.000Z"],
  );
  const raw = await ask("GET", `/api/v1/messages/${added.body.id}/raw`);
  assert.ok(raw.bytes.equals(message));
  assert.deepEqual(
    [raw.headers["mairust-account"], raw.headers["mairust-other-places"]],
    ["taro%40example.test", "0"],
  );
  assert.ok((await ask("GET", `${mailbox("Archive")}/1/raw`)).bytes.equals(message));
  assert.equal((await ask("GET", `${mailbox("Archive")}/99/raw`)).status, 404);
});

test("that somebody opened a message is in the audit log: one each time, a mailbox once an hour", async () => {
  const { body } = await ask("POST", mailbox("Junk"), { message: mail("opened") });
  await ask("GET", `/api/v1/messages/${body.id}/raw`);
  await ask("GET", `/api/v1/messages/${body.id}/raw`);
  await ask("GET", `${mailbox("Junk")}/1/raw`);
  await ask("GET", `${mailbox("Junk")}/1/raw`);
  const rows = async (query: string) =>
    (await ask<PageBody<AuditBody>>("GET", `/api/v1/admin/audit?${query}`)).body.items;
  assert.deepEqual(
    (await rows(`object=${body.id}`)).map(({ actor, action, detail }) => [actor, action, detail]),
    Array(2).fill(["local", "message.read", { account: "taro@example.test", mailbox: "Junk", uid: 1 }]),
  );
  const reads = await rows("action=mailbox.read&object=taro@example.test");
  assert.deepEqual(
    reads.filter(({ detail }) => detail.mailbox === "Junk").map(({ detail }) => detail),
    [{ mailbox: "Junk" }],
  );
});

test("adding is refused for no account, no mailbox, no bytes, wrong flags and a wrong date", async () => {
  const message = mail("refused");
  const code = async (path: string, bytes = message) =>
    (await ask("POST", path, { message: bytes })).body.code;
  assert.equal(await code(mailbox("INBOX", "nobody@example.test")), "unknown_account");
  assert.equal(await code(mailbox("Nowhere")), "not_found");
  assert.equal(await code(mailbox(), Buffer.alloc(0)), "data_invalid");
  assert.equal(await code(`${mailbox()}?flags=%5CNope`), "invalid_argument");
  assert.equal(await code(`${mailbox()}?date=yesterday`), "invalid_argument");
  assert.deepEqual(await search("subject:refused"), []);
});

test("a message over limits.message_bytes is refused with its reason, and nothing is stored", async () => {
  const message = mail("too large", undefined, "x".repeat(100_000));
  const refused = await ask("POST", mailbox(), { message });
  assert.deepEqual([refused.status, refused.body.code], [413, "message_too_large"]);
  assert.match(String(refused.body.detail), /100000 octets/u);
  const huge = await ask("POST", mailbox(), {
    message: Buffer.concat([message, Buffer.alloc(8_000_000, 0x61)]),
  });
  assert.equal(huge.status, 413);
  assert.deepEqual(await search('subject:"too large"'), []);
});

test("an upload that breaks off stores nothing", async () => {
  const socket = connect({ path: running.site.apiSocket });
  const cut = new Promise(resolve => socket.once("close", resolve));
  socket.write(
    `POST ${mailbox()} HTTP/1.1\r\nHost: x\r\nContent-Type: message/rfc822\r\nContent-Length: 5000\r\n\r\nSubject: broken off\r\n\r\nhalf`,
    () => socket.destroy(),
  );
  await cut;
  assert.equal((await ask("GET", "/readyz")).status, 200);
  assert.deepEqual(await search('subject:"broken off"'), []);
});

test("a dry run checks the message and stores nothing", async () => {
  const message = mail("dry message");
  const tried = await ask("POST", `${mailbox()}?dry_run=true`, { message });
  assert.deepEqual([tried.status, tried.body.id, tried.body.size_bytes], [200, null, message.length]);
  assert.deepEqual(await search('"dry message"'), []);
});

test("every search key finds what it says and `-` the rest", async () => {
  await ask("POST", `${mailbox()}?flags=%5CSeen,red`, { message: mail("apple pie", "Bob <bob@b.test>") });
  await ask("POST", `${mailbox("Junk")}?flags=green`, {
    message: mail("Apple 100%_tax", "Carol <carol@c.test>", "y".repeat(9000)),
  });
  await ask("POST", mailbox("INBOX", "hanako@example.test"), {
    message: mail("請求書 apple", "花子 <h@d.test>"),
  });
  const all = ["Apple 100%_tax", "apple pie", "請求書 apple"];
  assert.deepEqual(await subjects("apple"), all);
  assert.deepEqual(await subjects("apple -pie"), [all[0], all[2]]);
  assert.deepEqual(await subjects('"apple pie"'), ["apple pie"]);
  assert.deepEqual(await subjects("apple 請求書"), [all[2]]);
  assert.deepEqual(await subjects("subject:100%_"), [all[0]]);
  assert.deepEqual(await subjects("subject:100__"), []);
  assert.deepEqual(await subjects("from:BOB@b.test apple"), ["apple pie"]);
  assert.deepEqual(await subjects("apple account:taro@example.test"), [all[0], all[1]]);
  assert.deepEqual(await subjects("apple -account:taro@example.test"), [all[2]]);
  assert.deepEqual(await subjects("apple folder:junk"), [all[0]]);
  assert.deepEqual(await subjects("apple -folder:junk domain:example.test"), [all[1], all[2]]);
  assert.deepEqual(await subjects("apple tag:red"), ["apple pie"]);
  assert.deepEqual(await subjects("apple -tag:red -tag:green"), [all[2]]);
  assert.deepEqual(await subjects("apple is:unread"), [all[0], all[2]]);
  assert.deepEqual(await subjects("apple -is:unread"), ["apple pie"]);
  assert.deepEqual(await subjects("apple larger:8k"), [all[0]]);
  assert.deepEqual(await subjects("apple smaller:8k -has:attachment"), [all[1], all[2]]);
  assert.deepEqual(await subjects("msgid:apple.pie@sender.test"), ["apple pie"]);
  assert.deepEqual(await subjects("apple before:2020-01-01"), []);
  assert.deepEqual(await subjects("apple after:2020-01-01"), all);
  const refused = await ask("GET", `/api/v1/messages?${new URLSearchParams({ q: "to:x" })}`);
  assert.deepEqual([refused.status, refused.body.code], [501, "not_built"]);
  assert.equal(
    (await ask("GET", `/api/v1/messages?q=account:nobody@example.test`)).body.code,
    "unknown_account",
  );
});

test("search pages newest first, and a message that comes in between moves nothing", async () => {
  for (const n of [1, 2, 3, 4, 5]) await ask("POST", mailbox("Sent"), { message: mail(`paged ${n}`) });
  const first = await ask("GET", "/api/v1/messages?q=paged&limit=2");
  await ask("POST", mailbox("Sent"), { message: mail("paged 6") });
  const second = await ask("GET", `/api/v1/messages?q=paged&limit=2&cursor=${first.body.next_cursor}`);
  const third = await ask("GET", `/api/v1/messages?q=paged&limit=2&cursor=${second.body.next_cursor}`);
  const seen = [first, second, third].flatMap(page => (page.body.items as MessageBody[]).map(m => m.subject));
  assert.deepEqual(seen, ["paged 5", "paged 4", "paged 3", "paged 2", "paged 1"]);
  assert.equal(third.body.next_cursor, null);
});

test("the timeline is found by message id and by Message-ID field, and unknown ids are not found", async () => {
  const added = await ask("POST", mailbox(), { message: mail("timeline of it") });
  for (const id of [String(added.body.id), "<timeline.of.it@sender.test>", "timeline.of.it@sender.test"]) {
    const { status, body } = await ask<TimelineBody>(
      "GET",
      `/api/v1/messages/${encodeURIComponent(id)}/timeline`,
    );
    assert.equal(status, 200, id);
    const kinds = body.events.map(event => event.kind);
    assert.deepEqual(kinds, ["added", "stored"]);
  }
  for (const id of ["nope", "00000000-0000-7000-8000-000000000000"]) {
    assert.equal((await ask("GET", `/api/v1/messages/${id}/timeline`)).status, 404, id);
    assert.equal((await ask("GET", `/api/v1/messages/${id}`)).status, 404, id);
    assert.equal((await ask("GET", `/api/v1/messages/${id}/raw`)).status, 404, id);
  }
});

test("removing an account removes its mail and leaves the mail of others", async () => {
  await ask("POST", "/api/v1/accounts", { body: { address: "gone@example.test" } });
  for (let n = 0; n < 3; n += 1) {
    await ask("POST", mailbox("INBOX", "gone@example.test"), { message: mail(`going ${n}`) });
  }
  await ask("POST", mailbox(), { message: mail("staying") });
  const path = "/api/v1/accounts/gone%40example.test";
  assert.equal((await ask("DELETE", `${path}?dry_run=true`)).body.used_messages, 3);
  assert.equal((await subjects("going")).length, 3);
  const removed = await ask("DELETE", path);
  assert.deepEqual([removed.status, removed.body.used_messages], [200, 3]);
  assert.deepEqual(await search("going"), []);
  assert.deepEqual(await subjects("subject:staying"), ["staying"]);
  assert.equal((await ask("GET", path)).status, 404);
  assert.equal(
    (await ask("POST", "/api/v1/accounts", { body: { address: "gone@example.test" } })).status,
    201,
  );
});
