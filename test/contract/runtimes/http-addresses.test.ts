/** Transport "http" and where it may connect: addresses that nobody approved are refused, also behind a name, at every connection. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import type { HttpSpec } from "../../../src/core/hook-plugin.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createHttp, HTTP_OPTIONS, type HttpOptions } from "../../../src/runtimes/http.ts";
import { ask, hasCode } from "./conformance.ts";
import { type HttpPlugin, startHttpPlugin } from "./fixtures/http-plugin.ts";
import { httpSpec } from "./http-spec.ts";

let tcp: HttpPlugin;
before(async () => {
  tcp = await startHttpPlugin();
});
after(() => tcp.stop());

const specOf = ({ endpoint = new URL("/hook", tcp.origin), ...change }: Partial<HttpSpec>) =>
  httpSpec({ endpoint, ...change });

async function started(t: TestContext, change: Partial<HttpSpec>, options: Partial<HttpOptions>) {
  const transport = createHttp(specOf(change), { ...HTTP_OPTIONS, ...options });
  t.after(() => transport.stop(deadlineAfter(1000)));
  await transport.start(deadlineAfter(20_000));
  return transport;
}

test("private, link-local and other addresses are refused before anything is sent, unless the endpoint is approved", async t => {
  for (const host of [
    "10.0.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[::ffff:192.168.0.1]",
    "0.0.0.0",
    "224.0.0.1",
  ]) {
    assert.throws(
      () => createHttp(specOf({ endpoint: new URL(`http://${host}/`) })),
      /administrator has not named/,
      host,
    );
    assert.throws(
      () => createHttp(specOf({ endpoint: new URL(`https://${host}/`) })),
      /administrator has not named/,
      host,
    );
    createHttp(specOf({ endpoint: new URL(`http://${host}/`), approved: true }));
  }
  assert.throws(() => createHttp(specOf({ endpoint: new URL("http://93.184.216.34/") })), /plain to read/);
  createHttp(specOf({ endpoint: new URL("https://93.184.216.34/") }));
  const resolve = async () => [{ address: "10.1.2.3", family: 4 }];
  const transport = await started(t, { endpoint: new URL("https://plugin.example/") }, { resolve });
  await assert.rejects(ask(transport, "empty"), /plugin\.example is 10\.1\.2\.3, which is a private address/);
  assert.match((await transport.health()).detail ?? "", /private address/);
});

test("a name that points elsewhere at the next connection is checked again, and the checked address is the one connected to", async t => {
  const port = new URL(tcp.origin).port;
  const asked: string[] = [];
  const answers = ["127.0.0.1", "127.0.0.1", "192.168.7.7"];
  const resolve = async (host: string) => {
    asked.push(host);
    return [{ address: answers.shift() ?? "192.168.7.7", family: 4 }];
  };
  const endpoint = new URL(`http://rebinding.example:${port}/hook`);
  const transport = await started(t, { endpoint }, { resolve });
  await ask(transport, "empty");
  assert.deepEqual(asked, ["rebinding.example", "rebinding.example"]);
  await assert.rejects(ask(transport, "crash"), hasCode("plugin_failed"));
  await assert.rejects(ask(transport, "empty"), /192\.168\.7\.7, which is a private address/);
});

test("one bad address among several refuses the name", async t => {
  const resolve = async () => [
    { address: "127.0.0.1", family: 4 },
    { address: "10.0.0.1", family: 4 },
  ];
  const endpoint = new URL(`http://two.example:${new URL(tcp.origin).port}/hook`);
  const transport = await started(t, { endpoint }, { resolve });
  await assert.rejects(ask(transport, "empty"), /10\.0\.0\.1, which is a private address/);
});
