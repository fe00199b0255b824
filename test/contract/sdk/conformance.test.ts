/** Plugins written with the SDKs pass the suite of the transports: as worker, as a process for each call, as a web server. */
import { after, before } from "node:test";
import type { HttpSpec, ScriptSpec } from "../../../src/core/hook-plugin.ts";
import { createHttp } from "../../../src/runtimes/http.ts";
import { createScriptSpawn } from "../../../src/runtimes/script-spawn.ts";
import { createScriptWorker } from "../../../src/runtimes/script-worker.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";
import { SDK_FIXTURES, SDKS, type Sdk, type SdkServer, startSdkServer } from "../../lib/sdk-plugins.ts";
import { FIXTURE_ID, transportConformance } from "../runtimes/conformance.ts";

const nothing = () => {};
const common = { pluginId: FIXTURE_ID, version: "1.0.0", onLog: nothing, onLogDropped: nothing };

function scriptOf({ program, ending }: Sdk, mode: "worker" | "spawn"): ScriptSpec {
  const command = [program, `behaving.${ending}`, mode];
  return { ...common, kind: "script", mode, folder: SDK_FIXTURES, command, workers: 2, onNotice: nothing };
}

function httpOf(port: number): HttpSpec {
  return {
    ...common,
    kind: "http",
    endpoint: new URL(`http://127.0.0.1:${port}/hook`),
    socketPath: undefined,
    approved: false,
    secrets: () => ({ signing: [TEST_SECRET], staged: undefined }),
    onNotice: nothing,
  };
}

const servers = new Map<string, SdkServer>();
before(async () => {
  for (const sdk of SDKS) {
    const secret = `whsec_${Buffer.from(TEST_SECRET).toString("base64")}`;
    servers.set(sdk.name, await startSdkServer(sdk, secret));
  }
});
after(() => Promise.all([...servers.values()].map(server => server.stop())));

for (const sdk of SDKS) {
  const options = { sdk: true };
  transportConformance(`${sdk.name} SDK, worker`, () => createScriptWorker(scriptOf(sdk, "worker")), options);
  transportConformance(`${sdk.name} SDK, spawn`, () => createScriptSpawn(scriptOf(sdk, "spawn")), options);
  const http = () => createHttp(httpOf(servers.get(sdk.name)?.port ?? 1));
  transportConformance(`${sdk.name} SDK, http`, http, options);
}
