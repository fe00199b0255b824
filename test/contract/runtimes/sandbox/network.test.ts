/** A plugin with a network reaches what its list names, through its proxy, and nothing beside it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { transportsIn } from "../../../../src/compose/transports.ts";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";
import { egressDoors } from "../../../../src/runtimes/egress/door.ts";
import { createEgressProxies } from "../../../../src/runtimes/egress/proxies.ts";
import { Sandbox } from "../../../../src/runtimes/sandbox/sandbox.ts";
import { silentLog } from "../../../lib/database.ts";
import { answerOf, CONFINED, FOLDER } from "./rig.ts";

test("local-only: the listed port answers, another does not, and there is no other way", async t => {
  const dir = mkdtempSync(join(tmpdir(), "mr-net-"));
  const listen = async (text: string) => {
    const server = createServer((_, response) => response.end(text)).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await new Promise(resolve => server.once("listening", resolve));
    return (server.address() as AddressInfo).port;
  };
  const [listed, other] = [await listen("listed"), await listen("other")];
  const proxies = createEgressProxies({
    folder: join(dir, "egress"),
    reservedPorts: () => new Set(),
    log: silentLog,
  });
  const sandbox = new Sandbox({ uidRange: [61_000, 61_999], openDoor: egressDoors(proxies) });
  const network = { mode: "local-only", allow: [`127.0.0.1:${listed}`] } as const;
  const transport = transportsIn(sandbox)({
    kind: "script",
    mode: "worker",
    pluginId: "com.example.net",
    version: "1.0.0",
    folder: FOLDER,
    command: ["/usr/bin/python3", "-ISE", "attacker.py"],
    workers: 1,
    onLog: line => t.diagnostic(line),
    onLogDropped: () => {},
    onNotice: () => {},
    confinement: { ...CONFINED, cpuMs: 5000, network },
  });
  t.after(async () => {
    await transport.stop(deadlineAfter(2000));
    sandbox.close();
    rmSync(dir, { recursive: true });
  });
  await transport.start(deadlineAfter(10_000));
  // The listed port answers inside as it does outside: the shim listens there.
  assert.equal(await answerOf(transport, "fetch", { port: listed }), "listed");
  assert.equal(await answerOf(transport, "fetch", { port: other }), "ECONNREFUSED");
  assert.equal(transport.limits?.().find(({ limit }) => limit === "network")?.enforcement, "enforced");
});
