/** How the SDKs ask a server: directly, through the sandbox's proxy, in time, and no more than they can hold. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "../../../src/mailhost/scratch.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { makeCertificate } from "../../lib/certificate.ts";
import { startConnectProxy } from "../../lib/connect-proxy.ts";
import { drive, driveOne, SDKS } from "../../lib/sdk-plugins.ts";

const answers: RequestListener = async (request, response) => {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  const { method, url, headers } = request;
  switch (url) {
    case "/moved":
      return response.writeHead(302, { location: "/elsewhere" }).end("moved");
    case "/error":
      return response.writeHead(500).end("broken");
    case "/large":
      return response.end("x".repeat(3000));
    case "/endless":
      response.on("drain", () => response.write("x".repeat(65_536)));
      return response.write("x".repeat(65_536));
    case "/silent":
      return undefined;
    case "/drip":
      response.writeHead(200, { "content-length": "1000" });
      while (!response.destroyed) {
        response.write("x");
        await sleep(20);
      }
      return undefined;
    case "/half":
      response.writeHead(200, { "content-length": "1000" }).write("half");
      return setTimeout(() => response.destroy(), 20);
    default:
      return response.end(
        JSON.stringify({ method, url, host: headers.host, type: headers["content-type"], body }),
      );
  }
};

const folder = mkdtempSync(join(tmpdir(), "mr-fetch-"));
const certificate = makeCertificate(folder, "model.example");
const plain = createServer(answers);
const tls = createTlsServer(certificate, answers);
/** Sends a header, letter by letter, and never ends it. */
const sockets = new Set<Socket>();
const dripping = createTcpServer(async socket => {
  sockets.add(socket.on("error", () => {}));
  socket.write("HTTP/1.1 200 OK\r\nx-long: ");
  while (!socket.destroyed) {
    socket.write("x");
    await sleep(20);
  }
});
const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

before(async () => {
  for (const server of [plain, tls, dripping])
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", () => resolve()));
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of [plain, tls] as readonly Server[]) server.closeAllConnections();
  for (const server of [plain, tls, dripping]) await new Promise(resolve => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

for (const sdk of SDKS) {
  test(`${sdk.name}: a request arrives as it was made, and any status is an answer`, async () => {
    const origin = `http://127.0.0.1:${portOf(plain)}`;
    const headers = { "Content-Type": "application/json" };
    const { outcomes } = await drive(sdk, [
      { do: "fetch", url: `${origin}/a?b=c`, headers, body: '{"é":"会議"}' },
      { do: "fetch", url: origin },
      { do: "fetch", url: `${origin}/moved` },
      { do: "fetch", url: `${origin}/error` },
    ]);
    const [posted, got, moved, error] = outcomes.map(
      ({ said }) => said as { status: number; ok: boolean; text: string } | undefined,
    );
    const host = `127.0.0.1:${portOf(plain)}`;
    const type = { type: "application/json" };
    const request = { method: "POST", url: "/a?b=c", host, ...type, body: '{"é":"会議"}' };
    assert.deepEqual(JSON.parse(posted?.text ?? ""), request);
    assert.deepEqual(JSON.parse(got?.text ?? ""), { method: "GET", url: "/", host, body: "" });
    assert.deepEqual(moved, { status: 302, ok: false, text: "moved" });
    assert.deepEqual(error, { status: 500, ok: false, text: "broken" });
  });

  test(`${sdk.name}: no answer, half an answer, too much of it, one that never ends: an error of its kind, in time`, async () => {
    const origin = `http://127.0.0.1:${portOf(plain)}`;
    const timeout = { timeout_ms: 400 };
    const cases: readonly (readonly [kind: string, command: object])[] = [
      ["too_large", { url: `${origin}/large`, max_bytes: 2999 }],
      ["too_large", { url: `${origin}/endless` }],
      ["timeout", { url: `${origin}/silent`, ...timeout }],
      ["timeout", { url: `${origin}/drip`, ...timeout }],
      ["timeout", { url: `http://127.0.0.1:${portOf(dripping)}/`, ...timeout }],
      ["timeout", { url: origin, timeout_ms: 0 }],
      ["unreached", { url: `${origin}/half` }],
      ["unreached", { url: `http://127.0.0.1:${await freePort()}/` }],
      ["unreached", { url: `https://127.0.0.1:${portOf(plain)}/` }],
    ];
    const began = performance.now();
    const { outcomes } = await drive(
      sdk,
      cases.map(([, command]) => ({ do: "fetch", ...command })),
    );
    assert.ok(performance.now() - began < 20_000);
    for (const [i, [kind, command]] of cases.entries())
      assert.equal(outcomes[i]?.threw, kind, JSON.stringify([command, outcomes[i]]));
    const whole = { do: "fetch", url: `${origin}/large`, max_bytes: 3000 };
    assert.equal(((await driveOne(sdk, whole)) as { text: string }).text.length, 3000);
  });

  test(`${sdk.name}: with HTTPS_PROXY everything goes by CONNECT, http too, and certificates are verified`, async () => {
    const [http, https] = [`model.example:${portOf(plain)}`, `model.example:${portOf(tls)}`];
    const proxy = await startConnectProxy([http, https, `other.example:${portOf(tls)}`]);
    const trust = { NODE_EXTRA_CA_CERTS: certificate.path, SSL_CERT_FILE: certificate.path };
    try {
      const { outcomes } = await drive(
        sdk,
        [
          { do: "fetch", url: `http://${http}/a`, body: "x" },
          { do: "fetch", url: `https://${https}/b`, body: "y" },
          { do: "fetch", url: `https://other.example:${portOf(tls)}/` },
          { do: "fetch", url: "https://elsewhere.example/" },
          { do: "fetch", url: `http://127.0.0.1:${portOf(plain)}/direct` },
        ],
        { HTTPS_PROXY: proxy.url, NO_PROXY: "localhost, 127.0.0.1", ...trust },
      );
      const bodies = outcomes.map(({ said }) =>
        said === undefined ? undefined : JSON.parse((said as { text: string }).text),
      );
      assert.deepEqual(
        [bodies[0]?.url, bodies[0]?.host, bodies[0]?.body],
        ["/a", http, "x"],
        JSON.stringify(outcomes),
      );
      assert.deepEqual(
        [bodies[1]?.url, bodies[1]?.host, bodies[1]?.body],
        ["/b", https, "y"],
        JSON.stringify(outcomes),
      );
      assert.equal(outcomes[2]?.threw, "unreached");
      assert.equal(outcomes[3]?.threw, "unreached");
      assert.equal(bodies[4]?.url, "/direct");
      assert.deepEqual(proxy.asked, [http, https, `other.example:${portOf(tls)}`, "elsewhere.example:443"]);
    } finally {
      await proxy.stop();
    }
  });
}
