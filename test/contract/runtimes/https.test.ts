/** Transport "http" over TLS: the server's certificate is verified, and a wrong one is not tried again. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createHttp, HTTP_OPTIONS } from "../../../src/runtimes/http.ts";
import { makeCertificate } from "../../lib/certificate.ts";
import { ask } from "./conformance.ts";
import { httpSpec } from "./http-spec.ts";

const resolve = async () => [{ address: "127.0.0.1", family: 4 }];
const nothing = () => {};

/** A server whose certificate is for plugin.example and signed by itself. */
async function startServer(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "mr-https-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { key, cert } = makeCertificate(folder, "plugin.example");
  const seen = { connections: 0, requests: 0 };
  const server = createServer({ key, cert }, (incoming, response) => {
    seen.requests++;
    incoming
      .resume()
      .on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  });
  server.on("connection", () => seen.connections++);
  server.on("tlsClientError", nothing);
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, ca: cert.toString(), seen };
}

async function started(t: TestContext, endpoint: string, ca?: string) {
  const spec = httpSpec({ endpoint: new URL(endpoint) });
  const transport = createHttp(spec, { ...HTTP_OPTIONS, resolve, ...(ca === undefined ? {} : { ca }) });
  t.after(() => transport.stop(deadlineAfter(1000)));
  await transport.start(deadlineAfter(5000));
  return transport;
}

test("a certificate that is trusted and names the host is taken, any other is not, and nothing is sent", async t => {
  const { port, ca, seen } = await startServer(t);
  const good = await started(t, `https://plugin.example:${port}/hook`, ca);
  assert.equal(Buffer.from(await ask(good, "x")).toString(), "{}");
  assert.equal(good.destination, `https://plugin.example:${port}`);
  assert.equal(seen.requests, 1);

  const unknown = await started(t, `https://plugin.example:${port}/hook`);
  const before = seen.connections;
  await assert.rejects(ask(unknown, "x"), /self-signed certificate/);
  assert.equal(seen.connections - before, 1, "it was tried again");
  const other = await started(t, `https://other.example:${port}/hook`, ca);
  await assert.rejects(ask(other, "x"), /does not match certificate's altnames/);
  assert.equal(seen.requests, 1);
});
