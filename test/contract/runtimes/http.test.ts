/** Transports "http" and "unix" against real servers: over TCP, over a UNIX socket, over TLS. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { HttpSpec } from "../../../src/core/hook-plugin.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { createHttp, HTTP_OPTIONS, type HttpOptions } from "../../../src/runtimes/http.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";
import {
  ask,
  CALL,
  cutOff,
  explanation,
  FIXTURE_ID,
  hasCode,
  payload,
  transportConformance,
} from "./conformance.ts";
import { type HttpPlugin, startHttpPlugin } from "./fixtures/http-plugin.ts";
import { httpSpec } from "./http-spec.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-http-"));
const OTHER_SECRET = Buffer.alloc(32, 9);
let tcp: HttpPlugin;
let unix: HttpPlugin;
before(async () => {
  tcp = await startHttpPlugin();
  unix = await startHttpPlugin({ socketPath: join(folder, "plugin.sock") });
});
after(async () => {
  await Promise.all([tcp.stop(), unix.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const nothing = () => {};

const specOf = (change: Partial<HttpSpec> = {}): HttpSpec =>
  httpSpec({ endpoint: new URL("/hook?x=1", tcp?.origin ?? "http://127.0.0.1"), ...change });

async function started(t: TestContext, change: Partial<HttpSpec> = {}, options: Partial<HttpOptions> = {}) {
  const transport = createHttp(specOf(change), { ...HTTP_OPTIONS, ...options });
  t.after(() => transport.stop(deadlineAfter(1000)));
  await transport.start(deadlineAfter(20_000));
  return transport;
}

transportConformance("http over TCP", () => createHttp(specOf()));
transportConformance("http over a UNIX socket", () =>
  createHttp(specOf({ endpoint: new URL("http://localhost/hook"), socketPath: join(folder, "plugin.sock") })),
);

test("a request carries its signatures, its ids, and nothing that nobody asked for", async t => {
  const at = 1_700_000_000_123;
  const secrets = () => ({ signing: [TEST_SECRET, OTHER_SECRET], staged: undefined });
  const transport = await started(t, { secrets }, { now: () => at });
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await transport.call(payload("empty"), { callId: CALL, traceparent }, deadlineAfter(5000));
  const { method, url, headers, body } = tcp.seen.at(-1) ?? assert.fail();
  assert.deepEqual([method, url, body], ["POST", "/hook?x=1", Buffer.from(payload("empty"))]);
  const own = createHmac("sha256", TEST_SECRET).update(`1700000000.${body}`).digest("hex");
  const standard = [TEST_SECRET, OTHER_SECRET].map(
    secret => `v1,${createHmac("sha256", secret).update(`${CALL}.1700000000.${body}`).digest("base64")}`,
  );
  assert.deepEqual(headers, {
    host: new URL(tcp.origin).host,
    connection: "keep-alive",
    "content-type": "application/json",
    "content-length": String(body.length),
    accept: "application/json",
    "accept-encoding": "identity",
    "user-agent": "MaiRust",
    "x-mairust-timestamp": "1700000000",
    "x-mairust-plugin-id": FIXTURE_ID,
    "x-mairust-signature": `sha256=${own}`,
    "webhook-id": CALL,
    "webhook-timestamp": "1700000000",
    "webhook-signature": standard.join(" "),
    traceparent,
  });
  await ask(transport, "empty");
  assert.ok(!("traceparent" in (tcp.seen.at(-1)?.headers ?? {})), "an empty traceparent is no header");
});

test("without a secret nothing leaves", async t => {
  const before = tcp.seen.length;
  const transport = await started(t, { secrets: () => ({ signing: [], staged: undefined }) });
  await assert.rejects(ask(transport, "empty"), /no secret to sign with/);
  assert.equal(tcp.seen.length, before);
});

test("connections are kept: calls one after the other share one", async t => {
  const transport = await started(t);
  const made = tcp.connections();
  for (let i = 0; i < 10; i++) await ask(transport, "empty");
  assert.equal(tcp.connections() - made, 1);
});

test("no more connections than allowed, a bounded number of calls waits, the next one fails", async t => {
  const transport = await started(t, {}, { sockets: 2, waiting: 1 });
  const made = tcp.connections();
  const calls = [0, 1, 2].map(() => ask(transport, "slow", { ms: 200 }));
  await assert.rejects(ask(transport, "empty"), /too many calls wait/);
  await Promise.all(calls);
  assert.equal(tcp.connections() - made, 2);
});

test("at the deadline the connection is gone", async t => {
  const own = await startHttpPlugin();
  t.after(() => own.stop());
  const transport = await started(t, { endpoint: new URL(own.origin) });
  await assert.rejects(
    cutOff(transport, "hang", () => own.seen.length > 0),
    hasCode("deadline"),
  );
  assert.equal(own.seen.length, 1);
  for (let i = 0; i < 500 && own.sockets.size > 0; i++) await sleep(10);
  assert.equal(own.sockets.size, 0, "the connection stayed");
});

test("a time-out is never retried", async t => {
  const transport = await started(t);
  const before = tcp.seen.length;
  await assert.rejects(
    cutOff(transport, "hang", () => tcp.seen.length > before),
    hasCode("deadline"),
  );
  await sleep(100);
  assert.equal(tcp.seen.length - before, 1);
});

for (const status of [301, 302, 303, 307, 308, 304]) {
  test(`${status} is a failure: the other place is not asked`, async t => {
    const transport = await started(t);
    const other = await startHttpPlugin();
    t.after(() => other.stop());
    await assert.rejects(
      ask(transport, "redirect", { status, to: `${other.origin}/hook` }),
      /redirects are not followed/,
    );
    assert.equal(other.connections(), 0);
  });
}

for (const [behaviour, settings, why] of [
  ["status", { status: 400 }, /it answered 400/],
  ["status", { status: 401 }, /it answered 401/],
  ["status", { status: 410 }, /it answered 410/],
  ["text", {}, /content-type/],
  ["gzip", {}, /content-encoding/],
  ["huge_length", {}, /more than 1048576 bytes/],
  ["switch", {}, /another protocol/],
  ["raw", { bytes: "SSH-2.0-x\r\n" }, /Parse Error/],
  ["raw", { bytes: `HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}\r\n\r\n` }, /Parse Error/],
  [
    "raw",
    { bytes: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{}" },
    /broke off/,
  ],
] as const) {
  test(`${behaviour} ${JSON.stringify(settings).slice(0, 40)} is a failure of the plugin, and is not retried`, async t => {
    const transport = await started(t);
    const before = tcp.seen.length;
    await assert.rejects(
      ask(transport, behaviour, settings),
      error => hasCode("plugin_failed")(error) && why.test(String(error)),
    );
    assert.equal(tcp.seen.length - before, 1);
    await ask(transport, "empty");
  });
}

test("204 is an empty answer, which the check of answers calls malformed", async t => {
  assert.equal((await ask(await started(t), "no_content")).byteLength, 0);
});

for (const status of [429, 500, 503]) {
  test(`${status} is tried again with the same call id, and then given up`, async t => {
    const own = await startHttpPlugin();
    t.after(() => own.stop());
    const transport = await started(t, { endpoint: new URL(own.origin) });
    assert.equal(await explanation(transport, "status_first", { status, times: 2 }), "3");
    assert.deepEqual(
      own.seen.map(({ headers }) => headers["webhook-id"]),
      [CALL, CALL, CALL],
    );
    await assert.rejects(ask(transport, "status", { status }), new RegExp(`answered ${status}`));
    assert.equal(own.seen.length, 3 + HTTP_OPTIONS.retry.tries);
  });
}

test("Retry-After is waited for when it fits into the time, else the call fails at once", async t => {
  const own = await startHttpPlugin();
  t.after(() => own.stop());
  const transport = await started(t, { endpoint: new URL(own.origin) });
  const began = performance.now();
  await explanation(transport, "status_first", { status: 503, times: 1, retry_after: 1 });
  assert.ok(performance.now() - began >= 990, "it did not wait");
  const again = performance.now();
  await assert.rejects(
    ask(transport, "status_first", { status: 503, times: 9, retry_after: 30 }, 20_000),
    /answered 503/,
  );
  assert.ok(performance.now() - again < 15_000, "it waited for what cannot come in time");
});

test("a refused connection is tried again: a server that comes up meanwhile answers", async t => {
  const gone = await startHttpPlugin();
  const port = Number(new URL(gone.origin).port);
  await gone.stop();
  const notices: string[] = [];
  const transport = await started(t, {
    endpoint: new URL(gone.origin),
    onNotice: text => notices.push(text),
  });
  assert.match(notices.join(), /does not answer yet: connect ECONNREFUSED/);
  assert.equal((await transport.health()).status, "error");
  await assert.rejects(ask(transport, "empty"), /ECONNREFUSED/);
  const retry = { tries: 100, backOffMs: () => 50 };
  const patient = await started(t, { endpoint: new URL(gone.origin) }, { retry });
  const call = ask(patient, "empty");
  await sleep(200);
  const back = await startHttpPlugin({ port });
  t.after(() => back.stop());
  await call;
  assert.equal((await transport.health()).status, "ok");
});

test("a UNIX socket that is not there is a failure, and health says so", async t => {
  const transport = await started(t, {
    endpoint: new URL("http://localhost/"),
    socketPath: join(folder, "none.sock"),
  });
  await assert.rejects(ask(transport, "empty"), /ENOENT/);
  assert.equal((await transport.health()).status, "error");
  assert.equal(transport.destination, `unix:${join(folder, "none.sock")}`);
});

test("a kept connection that the server closes while a request is under way costs nothing", async t => {
  const transport = await started(t);
  const made = tcp.connections();
  for (let i = 0; i < 5; i++) {
    assert.equal(await explanation(transport, "close_next"), "kept");
    assert.equal(await explanation(transport, "unicode", { text: "answered" }), "answered");
  }
  assert.ok(tcp.connections() - made >= 5, "none was closed");
});

test("a second answer ends a kept connection, and is not the answer to the next call", async t => {
  const own = await startHttpPlugin();
  t.after(() => own.stop());
  const transport = await started(t, { endpoint: new URL(own.origin) });
  const made = own.connections();
  for (let i = 0; i < 3; i++) {
    assert.equal(await explanation(transport, "again"), "first");
    for (let j = 0; j < 2000 && own.sockets.size > 0; j++) await sleep(10);
    assert.equal(own.sockets.size, 0, "the connection stayed");
    assert.equal(await explanation(transport, "unicode", { text: "mine" }), "mine");
  }
  assert.equal(own.connections() - made, 4);
});

test("health asks the health endpoint, signed, and passes on what it says", async t => {
  const said: string[] = ['{"status":"ok"}', "", '{"status":"degraded","details":"no model"}', "fine"];
  const own = await startHttpPlugin({
    health: (_, response) => {
      const text = said.shift();
      if (text === undefined) response.writeHead(500).end();
      else response.writeHead(200).end(text);
    },
  });
  t.after(() => own.stop());
  const health = {
    kind: "endpoint",
    endpoint: new URL("/health", own.origin),
    socketPath: undefined,
    approved: false,
  } as const;
  const transport = createHttp(specOf({ endpoint: new URL(own.origin), health }));
  t.after(() => transport.stop(deadlineAfter(1000)));
  assert.equal((await transport.health()).status, "error");
  await transport.start(deadlineAfter(20_000));
  assert.deepEqual(await transport.health(), { status: "ok" });
  assert.deepEqual(await transport.health(), { status: "ok" });
  assert.deepEqual(await transport.health(), { status: "degraded", detail: "no model" });
  assert.equal((await transport.health()).status, "degraded");
  assert.match((await transport.health()).detail ?? "", /answered 500/);
  const { method, url, headers, body } = own.seen[0] ?? assert.fail();
  assert.deepEqual([method, url, body.length], ["GET", "/health", 0]);
  const mac = createHmac("sha256", TEST_SECRET).update(`${headers["x-mairust-timestamp"]}.`).digest("hex");
  assert.equal(headers["x-mairust-signature"], `sha256=${mac}`);
});

test("a staged secret is proved by a probe that it alone signed", async t => {
  let proofs = 0;
  let knows = TEST_SECRET;
  const own = await startHttpPlugin({
    health: ({ headers }, response) => {
      const mac = createHmac("sha256", knows).update(`${headers["x-mairust-timestamp"]}.`).digest("hex");
      response.writeHead(headers["x-mairust-signature"] === `sha256=${mac}` ? 204 : 401).end();
    },
  });
  t.after(() => own.stop());
  const transport = await started(t, {
    endpoint: new URL(own.origin),
    health: { kind: "endpoint", endpoint: new URL(own.origin), socketPath: undefined, approved: false },
    secrets: () => ({ signing: [TEST_SECRET, OTHER_SECRET], staged: OTHER_SECRET }),
    onStagedProved: async () => void proofs++,
  });
  assert.equal((await transport.health()).status, "ok");
  assert.equal(proofs, 0);
  knows = OTHER_SECRET;
  await transport.health();
  assert.equal(proofs, 1);
});

test("a server that takes connections and says nothing ends with the deadline", async t => {
  const silent = createTcpServer(socket => socket.on("error", nothing).resume());
  await new Promise<void>(resolve => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const transport = await started(t, { endpoint: new URL(`http://127.0.0.1:${port}/`) });
  await assert.rejects(ask(transport, "empty", {}, 200), hasCode("deadline"));
  const health = {
    kind: "endpoint",
    endpoint: new URL(`http://127.0.0.1:${port}/`),
    socketPath: undefined,
    approved: false,
  };
  const asking = await started(t, { health: health as HttpSpec["health"] });
  assert.equal((await asking.health()).status, "error");
});

test("calls that go on for long leave places for others: two hundred at a time reach the plugin", async t => {
  const plugin = await startHttpPlugin();
  t.after(() => plugin.stop());
  const transport = await started(t, { endpoint: new URL(plugin.origin) });
  const long = Array.from({ length: 200 }, () =>
    transport
      .call(payload("hang"), { callId: CALL, traceparent: "" }, deadlineAfter(20_000))
      .catch(() => undefined),
  );
  const deadline = deadlineAfter(15_000);
  while (plugin.seen.filter(({ method }) => method === "POST").length < long.length) {
    assert.ok(deadline.remainingMs() > 0, `${plugin.seen.length} requests came`);
    await sleep(10);
  }
  deadline.dispose();
  assert.equal(await explanation(transport, "echo"), await explanation(transport, "echo"));
  await transport.stop(deadlineAfter(0));
  await Promise.all(long);
});
