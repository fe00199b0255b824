/** What a dry run answers is what the change would, and nothing in the database is another one for it; changes that know none refuse it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fingerprint } from "./fingerprint.ts";
import { type AskOptions, type RunningService, startService } from "./service.ts";

const ANN = "/api/v1/accounts/ann%40dry.test";
const INBOX = `${ANN}/mailboxes/INBOX`;

let running: RunningService;
let validity = 0;
before(async () => {
  running = await startService();
  await done("/api/v1/domains", { name: "dry.test", stage: "store" });
  await done("/api/v1/domains", { name: "empty.test", stage: "store" });
  for (const local of ["ann", "bob"]) await done("/api/v1/accounts", { address: `${local}@dry.test` });
  await done(`${ANN}/aliases`, { address: "nan@dry.test" });
  const message = Buffer.from("Subject: one\r\n\r\nx\r\n");
  assert.equal((await running.ask("POST", `${INBOX}/messages`, { message })).status, 201);
  const { body } = await running.ask("GET", `${ANN}/mailboxes`);
  validity = (body.items as { name: string; uid_validity: number }[])[0]?.uid_validity ?? 0;
  assert.equal((await done("/api/v1/imports", IMPORT)).body.id, 1);
});
after(() => running.stop());

const IMPORT = { account: "ann@dry.test", kind: "maildir", source: "/mail" };

async function done(path: string, body: object) {
  const made = await running.ask("POST", path, { body });
  assert.ok(made.status < 300, `${path}: ${JSON.stringify(made.body)}`);
  return made;
}

const database = async () => fingerprint(await running.database());

type Change = readonly [method: string, path: string, options?: AskOptions];

const body = (value: object): AskOptions => ({ body: value });

/** Each would be made without the dry run. */
const CHANGES: readonly Change[] = [
  ["POST", "/api/v1/domains", body({ name: "new.test", stage: "store" })],
  ["DELETE", "/api/v1/domains/empty.test"],
  ["POST", "/api/v1/accounts", body({ address: "new@dry.test" })],
  ["PATCH", ANN, body({ quota_bytes: 1_000_000 })],
  ["PUT", `${ANN}/password`, body({ password: "a long new password" })],
  ["DELETE", `${ANN}/password`],
  ["POST", `${ANN}/aliases`, body({ address: "more@dry.test" })],
  ["DELETE", `${ANN}/aliases/nan%40dry.test`],
  ["DELETE", "/api/v1/accounts/bob%40dry.test"],
  ["POST", `${INBOX}/messages`, { message: Buffer.from("Subject: two\r\n\r\nx\r\n") }],
  ["POST", "/api/v1/imports", body({ ...IMPORT, account: "bob@dry.test" })],
  [
    "POST",
    "/api/v1/imports/1/open",
    body({ account: "ann@dry.test", name: "New", subscribe: true, source_uids: null }),
  ],
  [
    "POST",
    "/api/v1/imports/1/compare",
    body({
      account: "ann@dry.test",
      mailbox: "INBOX",
      items: [{ key: "k", flags: ["\\Seen"], keywords: [] }],
    }),
  ],
  [
    "POST",
    "/api/v1/domains/dry.test/stage",
    {
      ...body({ stage: "mirror", without_verify: true, relay_lmtp: "inet:127.0.0.1:9", force: true }),
      headers: { "if-match": '"1"' },
    },
  ],
];

test("a dry run of a change answers as the change does, and the database is as it was", async () => {
  const was = await database();
  for (const [method, path, options = {}] of CHANGES) {
    const { status, body: said } = await running.ask(method, `${path}?dry_run=true`, options);
    assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(said)}`);
    assert.equal(await database(), was, `${method} ${path}`);
  }
});

test("a change that knows no dry run refuses one, and is not made", async () => {
  const was = await database();
  const seen = { uid_validity: validity, uids: [1] };
  for (const [path, value] of [
    [`${INBOX}/seen`, seen],
    ["/api/v1/imports/1/finish", { state: "done", report: {} }],
    ["/api/v1/imports/1/close", { account: "ann@dry.test", name: "INBOX", source_uids: null }],
    ["/api/v1/routing/relays/pause", { for_ms: 1 }],
    ["/api/v1/routing/relays/resume", undefined],
  ] as const) {
    const options = value === undefined ? {} : body(value);
    const { status } = await running.ask("POST", `${path}?dry_run=true`, options);
    assert.equal(status, 400, path);
    assert.equal(await database(), was, path);
  }
  assert.deepEqual((await running.ask("POST", `${INBOX}/seen`, body(seen))).body, { changed: 1 });
});
