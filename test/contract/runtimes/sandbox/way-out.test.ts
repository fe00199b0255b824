/** A plugin in the sandbox, in the strongest tier with namespaces, and its way out: what is listed is reached, and nothing else. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer as createWeb } from "node:http";
import { createServer as createTlsWeb } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import type { EgressPolicy } from "../../../../src/core/ports/egress.ts";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";
import { dialAddresses } from "../../../../src/runtimes/egress/dial.ts";
import { egressDoors } from "../../../../src/runtimes/egress/door.ts";
import { createEgressProxies } from "../../../../src/runtimes/egress/proxies.ts";
import { silentLog } from "../../../lib/database.ts";
import { answerOf, FOLDER, rigOf, started } from "./rig.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-sandbox-way-out-"));
const gates = join(folder, "gates");
const request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.example.com".split(" ");
const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
execFileSync("openssl", [...request, "-keyout", key, "-out", cert], { stdio: "ignore" });
const web = createWeb((_, response) => response.end("a local model"));
const tls = createTlsWeb({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
  response.end("a model elsewhere"),
);
const listen = (server: Server) =>
  new Promise<number>(done =>
    server.listen(0, "127.0.0.1", () => done((server.address() as AddressInfo).port)),
  );
const webPort = await listen(web);
const tlsPort = await listen(tls);
const proxies = createEgressProxies({
  folder: gates,
  reservedPorts: () => new Set(),
  log: silentLog,
  resolve: async () => ["93.184.216.34"],
  dial: (addresses, port, signal) =>
    addresses.includes("93.184.216.34")
      ? dialAddresses(["127.0.0.1"], tlsPort, signal)
      : dialAddresses(addresses, port, signal),
});
const rig = await rigOf(process.getuid?.() === 0 ? 3 : 2, egressDoors(proxies));
if (rig.missing !== undefined) throw new Error(`no tier with namespaces: ${rig.missing}`);
after(() => {
  rig.close();
  web.close();
  tls.close();
  rmSync(folder, { recursive: true, force: true });
});

async function reaching(t: TestContext, network: Pick<EgressPolicy, "mode" | "allow">) {
  const command = ["/usr/bin/python3", "-ISE", "caller.py"];
  const change = { folder: FOLDER, command };
  const limits = { network, memoryMb: 256, cpuMs: 20_000 };
  const transport = rig.transport(`com.example.${network.mode}`, change, limits);
  t.after(() => transport.stop(deadlineAfter(5000)));
  await started(transport);
  return { transport, ask: (url: string) => answerOf(transport, "url", { url }) };
}

test("outbound-limited: a stock client reaches the listed name and no other", async t => {
  const { transport, ask } = await reaching(t, { mode: "outbound-limited", allow: ["api.example.com:443"] });
  assert.equal(await ask("https://api.example.com/"), "a model elsewhere");
  assert.match(await ask("https://other.example.com/"), /403/);
  assert.match(await ask(`https://127.0.0.1:${tlsPort}/`), /403/);
  assert.match(await ask("http://api.example.com/"), /405/);
  assert.equal(readdirSync(gates).length, 1);
  await transport.stop(deadlineAfter(5000));
  assert.deepEqual(readdirSync(gates), [], "its gate is closed with it");
  const row = proxies.traffic().find(one => one.destination === "api.example.com:443");
  assert.deepEqual([row?.plugin, row?.connections], ["com.example.outbound-limited", 1]);
});

test("local-only: a client that knows of no proxy reaches the listed port and no other", async t => {
  const { ask } = await reaching(t, { mode: "local-only", allow: [`127.0.0.1:${webPort}`] });
  assert.equal(await ask(`http://127.0.0.1:${webPort}/`), "a local model");
  assert.match(await ask(`https://127.0.0.1:${tlsPort}/`), /refused/);
});

test("a list that can never be used keeps the plugin from starting", async () => {
  const network = { mode: "local-only", allow: ["127.0.0.1:25"] } as const;
  const transport = rig.transport("com.example.postfix", {}, { network });
  await assert.rejects(started(transport), /belongs to the mail system/);
});
