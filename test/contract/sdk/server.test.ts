/** The SDKs as web servers: who is answered and who is not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { execa } from "execa";
import { signatureHeaders } from "../../../src/runtimes/http-signature.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";
import { SDK_FIXTURES, SDKS, type SdkServer, startSdkServer } from "../../lib/sdk-plugins.ts";

const OLD = Buffer.alloc(32, 9);
const OTHER = Buffer.alloc(32, 1);
const told = (secret: Uint8Array) => `whsec_${Buffer.from(secret).toString("base64")}`;
const body = JSON.stringify({
  ...{ api: "mairust.hook/1", call_id: "1", hook: "pre_delivery", mode: "enforce", attempt: 1 },
  ...{ deadline_ms: 5000, plugin: { id: "x", version: "1" }, received_at: "", size_bytes: 1 },
  settings: { do: "unicode", text: "会議" },
});

type Headers = Readonly<Record<string, string>>;
const now = () => Math.floor(Date.now() / 1000);
const signed = (text: string, secrets: readonly Uint8Array[], timestamp = now()): Headers =>
  signatureHeaders({ pluginId: "x", callId: "1", body: Buffer.from(text), timestamp }, secrets);

const without = (headers: Headers, start: string): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(start)));
const own = (headers: Headers) => without(headers, "webhook-");
const standard = (headers: Headers) => without(headers, "x-mairust-");

const servers = new Map<string, SdkServer>();
const folder = mkdtempSync(join(tmpdir(), "mr-sdk-"));
before(async () => {
  // In a rotation: the old secret and the new one.
  for (const sdk of SDKS)
    servers.set(sdk.name, await startSdkServer(sdk, `${told(TEST_SECRET)} ${told(OLD)}`));
});
after(async () => {
  for (const server of servers.values()) await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** By hand: `fetch` of Node would not send these headers as they are. */
function ask(port: number, headers: Headers, text: string, method = "POST", path = "/hook") {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const options = { host: "127.0.0.1", port, method, path, agent: false };
    const length = { "content-length": String(Buffer.byteLength(text)) };
    const call = httpRequest({ ...options, headers: { ...headers, ...length } }, async response => {
      let said = "";
      for await (const chunk of response.setEncoding("utf8")) said += chunk;
      resolve({ status: response.statusCode ?? 0, text: said });
    });
    call.on("error", reject).end(text);
  });
}

const good = () => signed(body, [TEST_SECRET]);
/** The two kinds disagree, or one is missing: what one of them proves is proved. */
const CASES: readonly (readonly [what: string, status: number, headers: () => Headers])[] = [
  ["both signatures", 200, good],
  ["ours alone", 200, () => own(good())],
  ["that of Standard Webhooks alone", 200, () => standard(good())],
  ["the other secret of a rotation", 200, () => signed(body, [OLD])],
  ["a list with one that fits", 200, () => standard(signed(body, [OTHER, OLD]))],
  ["ours of an unknown secret, a list with one that fits", 200, () => signed(body, [OTHER, OLD])],
  ["a clock that is 250 s behind", 200, () => signed(body, [TEST_SECRET], now() - 250)],
  ["no signature", 401, () => ({})],
  ["an unknown secret", 401, () => signed(body, [OTHER])],
  ["another body", 401, () => signed(`${body} `, [TEST_SECRET])],
  ["ours, 310 s old", 401, () => own(signed(body, [TEST_SECRET], now() - 310))],
  ["ours, 310 s early", 401, () => own(signed(body, [TEST_SECRET], now() + 310))],
  ["a list, 310 s old", 401, () => standard(signed(body, [TEST_SECRET], now() - 310))],
  ["a list, 310 s early", 401, () => standard(signed(body, [TEST_SECRET], now() + 310))],
  ["ours with another time", 401, () => ({ ...own(good()), "x-mairust-timestamp": String(now() - 5) })],
  ["a list with another time", 401, () => ({ ...standard(good()), "webhook-timestamp": String(now() - 5) })],
  ["a list with another id", 401, () => ({ ...standard(good()), "webhook-id": "2" })],
  ["a time that is no number", 401, () => ({ ...own(good()), "x-mairust-timestamp": "NaN" })],
  ["half a signature", 401, () => ({ ...own(good()), "x-mairust-signature": "sha256=" })],
  ["octets for a signature", 401, () => ({ ...own(good()), "x-mairust-signature": "sha256=é" })],
];

for (const sdk of SDKS) {
  const port = () => servers.get(sdk.name)?.port ?? 1;
  for (const [what, status, headers] of CASES) {
    test(`${sdk.name}: ${what}: ${status}`, async () => {
      const answer = await ask(port(), headers(), body);
      assert.equal(answer.status, status);
      if (status === 200) assert.deepEqual(JSON.parse(answer.text), { call_id: "1", explanation: "会議" });
      else assert.equal(answer.text, "");
    });
  }

  test(`${sdk.name}: health is for the host alone, and other paths, texts and methods are refused`, async () => {
    const health = await ask(port(), signed("", [TEST_SECRET]), "", "GET", "/health");
    assert.deepEqual([health.status, JSON.parse(health.text)], [200, { status: "ok" }]);
    assert.equal((await ask(port(), {}, "", "GET", "/health")).status, 401);
    assert.equal((await ask(port(), good(), body, "POST", "/other")).status, 404);
    assert.equal((await ask(port(), signed("no", [TEST_SECRET]), "no")).status, 400);
    assert.equal((await ask(port(), signed("[]", [TEST_SECRET]), "[]")).status, 400);
    assert.ok((await ask(port(), good(), body, "PUT")).status >= 400);
  });

  test(`${sdk.name}: a body that no host sends is not kept`, async () => {
    const huge = "x".repeat(16 * 1024 * 1024 + 1);
    const status = await ask(port(), signed(huge, [TEST_SECRET]), huge).then(
      answer => answer.status,
      () => "cut",
    );
    assert.ok(status === 413 || status === "cut", String(status));
    assert.equal((await ask(port(), good(), body)).status, 200);
  });

  test(`${sdk.name}: without a secret, or with half a one, it does not start; a file may hold it`, async () => {
    const start = (env: Headers) =>
      execa(sdk.program, [join(SDK_FIXTURES, `behaving.${sdk.ending}`), "http"], {
        env: { PATH: "/usr/bin:/bin", ...env },
        extendEnv: false,
        reject: false,
        timeout: 20_000,
      });
    const none = await start({});
    assert.notEqual(none.exitCode, 0);
    assert.match(none.stderr, /no secret in MAIRUST_PLUGIN_SECRET/u);
    const file = join(folder, "secret");
    writeFileSync(file, "whsec_YWJj\n");
    const half = await start({ MAIRUST_PLUGIN_SECRET_FILE: file });
    assert.notEqual(half.exitCode, 0);
    assert.match(half.stderr, /a secret is not whsec_/u);
    assert.doesNotMatch(half.stderr, /YWJj/u);
  });
}
