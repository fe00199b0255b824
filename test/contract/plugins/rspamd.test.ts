/**
 * The rspamd sample: the message it makes again, as another parser reads it; its verdicts with Debian's rspamd; its answers when
 * there is none, or something else.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { simpleParser } from "mailparser";
import { freePort, makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { findPeer } from "../../lib/peers.ts";
import { askWorker, assertVerdict } from "../../lib/plugin-answers.ts";
import { payloadOf, pluginFolder, readFixtures, readManifest } from "../../lib/plugin-fixtures.ts";
import { type Rspamd, startRspamd } from "../../lib/rspamd-site.ts";

const NAME = "rspamd";
const START_MS = 60_000;
const manifest = await readManifest(NAME);
const fixtures = await readFixtures(NAME);
const peer = await findPeer("rspamd");
const skip = peer === undefined ? "rspamd is not unpacked: test/setup-host peers" : false;

async function withRspamd(work: (rspamd: Rspamd) => Promise<void>): Promise<void> {
  assert.ok(peer);
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const rspamd = await startRspamd(peer, scratch.dir, deadline);
  deadline.dispose();
  try {
    await work(rspamd);
  } finally {
    await rspamd.stop();
    await scratch.remove();
  }
}

const withUrl = (payload: Record<string, unknown>, url: string, more: object = {}) => ({
  ...payload,
  settings: { ...(payload.settings as object), url, ...more },
});

test("rspamd judges the fixtures as expected", { skip }, async () => {
  await withRspamd(async ({ url }) => {
    const payloads = await Promise.all(
      fixtures.map(async fixture => withUrl(await payloadOf(fixture, manifest), url)),
    );
    const { answers, health, log } = await askWorker(NAME, manifest, payloads);
    for (const [i, { name, expect }] of fixtures.entries()) {
      const answer = answers[i];
      assert.ok(answer);
      assert.equal(answer.call_id, `fixture ${name}`);
      assert.doesNotThrow(() => assertVerdict(answer, expect), `${name}: ${JSON.stringify(answer)}`);
      assert.equal(typeof answer.metadata?.score, "number");
    }
    assert.deepEqual(health, { status: "ok", details: `rspamd at ${url} answers` });
    assert.equal(log, "");
  });
});

const [fixture] = fixtures;
assert.ok(fixture);
const echo = { ...fixture, source: Buffer.from("From: a@b.test\r\nSubject: echo\r\n\r\nx\r\n") };

test("rspamd is told the envelope, and nothing that it would take for broken", { skip }, async () => {
  const known = {
    ...{
      mail_from: "sender@example.org",
      rcpt_to: ["ann@example.com", "山田@example.com", '"b"@example.com', "bob_x@a.test"],
    },
    ...{ client_ip: "2001:db8::7", client_name: "mx.example.org", helo: "helo.example.org" },
    ...{ auth_user: "ann", queue_id: "4cYz1234567890A" },
  };
  const bounce = { mail_from: "", rcpt_to: ["ann@example.com"], helo: "evil\r\nUser: root" };
  await withRspamd(async ({ url }) => {
    const payloads = await Promise.all(
      [known, bounce].map(async envelope => withUrl(await payloadOf({ ...echo, envelope }, manifest), url)),
    );
    const { answers } = await askWorker(NAME, manifest, payloads);
    const replies = answers.map(({ action, code, reason }) => [action, code, reason]);
    assert.deepEqual(replies[0], [
      ...["tempfail", 451],
      "sender@example.org ann@example.com,bob_x@a.test 2001:db8::7 helo.example.org mx.example.org ann 4cYz1234567890A",
    ]);
    assert.match(String(replies[1]?.[2]), /^-? ?ann@example\.com \S+ evil {2}User: root \S+ - -$/u);
  });
});

const AS_IT_IS = { skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true };

interface Parts {
  buildMessage(payload: object): Buffer;
}

test("the message that rspamd gets says what the payload says", async () => {
  const { buildMessage } = (await import(
    pathToFileURL(join(pluginFolder(NAME), "message.mjs")).href
  )) as Parts;
  for (const one of fixtures) {
    const [before, after] = await Promise.all([
      simpleParser(one.source, AS_IT_IS),
      simpleParser(buildMessage(await payloadOf(one, manifest)), AS_IT_IS),
    ]);
    assert.deepEqual(
      [after.subject, after.from?.text, after.to, after.messageId, after.date],
      [before.subject, before.from?.text, before.to, before.messageId, before.date],
      one.name,
    );
    assert.deepEqual([after.text, after.html], [before.text, before.html], one.name);
    assert.deepEqual(
      after.attachments.map(({ filename, content }) => [filename, content.toString()]),
      before.attachments.map(({ filename, content }) => [filename, content.toString()]),
    );
    assert.equal(after.headers.has("dkim-signature"), false);
  }
});

test("a message made from nothing, or from what was not sent, is whole all the same", async () => {
  const { buildMessage } = (await import(
    pathToFileURL(join(pluginFolder(NAME), "message.mjs")).href
  )) as Parts;
  assert.match(buildMessage({}).toString(), /^MIME-Version: 1\.0\r\nContent-Type: text\/plain/u);
  const preview = buildMessage({ body_preview: { text: "a\nb" }, headers: [{ name: "X: y", value: "x" }] });
  assert.match(preview.toString(), /8bit\r\n\r\na\r\nb\r\n$/u);
  const hostile = buildMessage({
    headers: [{ name: "Subject", value: "a\r\nX-Injected: b \ud800" }],
    attachments: [
      { content_type: "text/html\r\nX-Bad: 1", filename: 'a"\r\nX-Bad: 2\\\ud800', content_base64: null },
      { content_type: "message/rfc822", filename: null, content_base64: "U3ViamVjdDogeAoKeQo=" },
    ],
  });
  const parsed = await simpleParser(hostile);
  assert.deepEqual([parsed.headers.has("x-injected"), parsed.headers.has("x-bad")], [false, false]);
  assert.equal(parsed.attachments.length, 2);
  assert.doesNotMatch(hostile.toString(), /^X-/mu);
});

test("no rspamd, another server, a slow one, an action nobody knows: the answer is void, never a verdict", async () => {
  const replies: Readonly<Record<string, readonly [status: number, body: string]>> = {
    "/404": [404, "{}"],
    "/text": [200, "it works"],
    "/list": [200, "[]"],
    "/unknown": [200, '{"score":1,"action":"explode"}'],
    "/long": [200, `{"score":1,"action":"no action","x":"${"x".repeat(1024 * 1024)}"}`],
  };
  let path = "/404";
  const server = createServer((_, response) => {
    const [status, body] = replies[path] ?? [500, ""];
    if (path !== "/slow") response.writeHead(status).end(body);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  const payload = await payloadOf(fixture, manifest);
  try {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    for (const [target, where] of [
      [nobody, "/nobody"],
      ["https://127.0.0.1", "/https"],
      ...[...Object.keys(replies), "/slow"].map(one => [url, one] as const),
    ] as const) {
      path = where;
      const { answers, log } = await askWorker(NAME, manifest, [
        withUrl(payload, target, { timeout_ms: 300 }),
      ]);
      assert.equal(answers[0]?.action, "error", where);
      assert.match(log, /^cannot ask rspamd: /u, where);
    }
  } finally {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  }
});
