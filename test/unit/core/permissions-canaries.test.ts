/** S1 at the place where payloads are made: every grant that reads × every point × every message of `canary-mail.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageViews } from "../../../src/hooks/message-views.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { Haystack, leaksIn, type Secret, sha256, tokenOf } from "../../lib/canaries.ts";
import { canaryFacts } from "../../lib/canary-facts.ts";
import { canaryMail } from "../../lib/canary-mail.ts";
import { pluginOf, rigOf, rowOf } from "../hooks/rig.ts";
import { checkCanaries, HEAVY, sent } from "./canary-matrix.ts";

const MAIL = canaryMail();

for (const mail of MAIL) {
  test(`canaries: ${mail.name}`, () =>
    checkCanaries(mail, mail.name === HEAVY ? "a point for each grant" : "all"));
}

test("canaries: neither events nor log lines of the hook manager hold anything of a message but its recipient and queue id", async () => {
  for (const mail of MAIL.filter(({ source }) => source.length < 1_000_000)) {
    const all: PermissionsInput = { read_headers: true, read_body: "full", read_attachments: "full" };
    const seen: Buffer[] = [];
    const plugin = pluginOf(
      "com.example.p",
      payload => {
        seen.push(Buffer.from(JSON.stringify(payload)));
        return { tags: { add: ["x"] }, folder: "A", verdict: 1 };
      },
      all,
    );
    const { runner, log } = rigOf([plugin], [rowOf("h", { plugin: "com.example.p" })]);
    const deadline = { signal: new AbortController().signal, remainingMs: () => 1000, dispose: () => {} };
    const { each, events } = await runner.run("pre_delivery", canaryFacts(mail), deadline);
    const written = new Haystack(Buffer.from(JSON.stringify([[...each.values()], events, log])));
    const { recipient, queueId, tag } = mail.around;
    const known = new Set([recipient, queueId, tag]);
    const secrets = mail.secrets.filter(({ token }) => token === undefined || !known.has(token));
    assert.deepEqual(
      leaksIn(written, secrets, () => false),
      [],
      mail.name,
    );
    assert.equal(seen.length, 1);
  }
});

test("without a grant for attachments a message with three of them looks like one with none", async () => {
  const shape = async (name: string) => {
    const mail = MAIL.find(one => one.name === name);
    assert.ok(mail !== undefined);
    const grants: PermissionsInput = { read_body: "preview" };
    const payload = JSON.parse(
      String(await sent(mail, new MessageViews(), canaryFacts(mail), grants, "pre_delivery")),
    );
    return { ...payload, size_bytes: 0 };
  };
  const none = await shape("S/MIME, encrypted");
  assert.deepEqual(await shape("files alone"), none);
});

test("the search sees a token in every form that it knows", () => {
  const secret: Secret = {
    where: "x",
    need: { kind: "never" },
    token: tokenOf(7),
    digest: sha256("content"),
  };
  const token = tokenOf(7);
  const escaped = (prefix: string) => [...Buffer.from(token)].map(o => prefix + o.toString(16)).join("");
  for (const text of [
    token,
    ...["", "a", "ab"].map(before => Buffer.from(`${before}${token}!`).toString("base64")),
    ...["?", "a?", "ab?>"].map(before => Buffer.from(`${before}${token}!`).toString("base64url")),
    Buffer.from(`some other words ${Buffer.from(`and words ${token}`).toString("base64")}`).toString(
      "base64",
    ),
    `${token.slice(0, 5)}=\r\n${token.slice(5)}`,
    `${token.slice(0, 5)}\\r\\n${token.slice(5)}`,
    escaped(""),
    escaped("").toUpperCase(),
    escaped("="),
    escaped("%"),
    escaped("\\u00"),
    sha256("content"),
    sha256("content").toUpperCase(),
    Buffer.from(sha256("content"), "hex").toString("base64"),
  ]) {
    assert.notEqual(new Haystack(Buffer.from(`{"a":"${text}"}`)).find(secret), undefined, text);
  }
  assert.equal(new Haystack(Buffer.from(tokenOf(8))).find({ ...secret, digest: sha256("other") }), undefined);
});
