/** What the host makes of manifests that are not script workers: targets, health, trust, secrets. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createTransport } from "../../../src/compose/transports.ts";
import { MairustError, PluginSecurityError } from "../../../src/core/errors.ts";
import type { HttpSpec, TransportSpec } from "../../../src/core/hook-plugin.ts";
import type { PluginSecrets } from "../../../src/core/ports/plugin-secrets.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { loadPlugins, type PluginHostOptions } from "../../../src/plugins/host.ts";
import { TransportPool } from "../../../src/plugins/transport-pool.ts";
import { silentLog } from "../../lib/database.ts";
import { fixedSecrets, TEST_SECRET } from "../../lib/plugin-secrets.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";

const root = mkdtempSync(join(tmpdir(), "mairust-transports-"));
after(() => rmSync(root, { recursive: true, force: true }));

const ID = "com.example.a";
const HTTP = `protocol = "http"\nendpoint = "http://127.0.0.1:8081/hook"`;
let folders = 0;

interface Setup {
  /** Of `[entry]`. */
  readonly entry: string;
  readonly endpoint?: string;
  readonly plugins?: Partial<PluginHostOptions["config"]["plugins"]>;
  readonly secrets?: Partial<PluginSecrets>;
}

async function load({ entry, endpoint, plugins = {}, secrets = {} }: Setup) {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  const manifest = `id = "${ID}"\nname = "A"\nversion = "1.0.0"\n[entry]\ntype = "hook"\n${entry}\n[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true\n`;
  writeFileSync(join(folder, "plugin.toml"), manifest);
  const specs: TransportSpec[] = [];
  const asked: string[] = [];
  const loaded = await loadPlugins({
    config: {
      plugins: pluginsSection({ folders: [folder], allow_unsigned: [ID], ...plugins }),
      plugin: {
        [ID]: {
          grants: { read_headers: true },
          settings: {},
          ...(endpoint === undefined ? {} : { endpoint }),
        },
      },
      hooks: [],
    },
    hostVersion: "0.3.0",
    createTransport(spec) {
      specs.push(spec);
      return createTransport(spec);
    },
    secrets: {
      ...fixedSecrets,
      ensure: async id => void asked.push(id),
      ...secrets,
    },
    log: silentLog,
    logs: { write() {}, dropped() {} },
  });
  return {
    ...loaded,
    folder,
    spec: specs[0],
    asked,
    refused: loaded.refused.map(({ message }) => message).join(),
  };
}

function httpSpec(spec: TransportSpec | undefined): HttpSpec {
  assert.ok(spec?.kind === "http");
  return spec;
}

test("a plugin that is called by HTTP needs no sandbox, has secrets, and says where it is", async () => {
  const { spec, refused, asked, host } = await load({ entry: HTTP });
  assert.equal(refused, "");
  const { endpoint, socketPath, approved, health, secrets } = httpSpec(spec);
  assert.deepEqual(
    [endpoint.href, socketPath, approved, health],
    ["http://127.0.0.1:8081/hook", undefined, false, undefined],
  );
  assert.deepEqual(secrets(), { signing: [TEST_SECRET], staged: undefined });
  assert.deepEqual(asked, [ID]);
  assert.equal(host.find(ID)?.transport?.destination, "http://127.0.0.1:8081");
  const socket = await load({ entry: `protocol = "unix"\nendpoint = "unix:///run/a.sock:/hook"` });
  assert.equal(httpSpec(socket.spec).socketPath, "/run/a.sock");
  assert.equal(socket.host.find(ID)?.transport?.destination, "unix:/run/a.sock");
});

test("without a signature it is refused all the same", async () => {
  const { refused, spec } = await load({ entry: HTTP, plugins: { allow_unsigned: [] } });
  assert.match(refused, /no signature/);
  assert.doesNotMatch(refused, /unsandboxed/);
  assert.equal(spec, undefined);
});

test("a health_cmd runs here, so it is held as a script is", async () => {
  const entry = `${HTTP}\nhealth_cmd = "true"`;
  const { refused, spec, folder } = await load({ entry });
  assert.equal(refused, "");
  assert.deepEqual(spec?.health, { kind: "command", command: ["/bin/sh", "-c", "true"], folder });
  assert.equal(spec?.confinement?.bare, false);
});

test("a private address is refused until the administrator names the endpoint", async () => {
  const entry = `protocol = "http"\nendpoint = "http://10.0.0.5:8081/hook"`;
  const first = await load({ entry });
  assert.match(
    first.refused,
    /10\.0\.0\.5 is a private address, and the administrator has not named the endpoint/,
  );
  assert.match(first.host.find(ID)?.failure ?? "", /private address/);
  assert.deepEqual(
    first.host.list().map(({ state }) => state),
    ["refused"],
  );
  const named = await load({ entry, endpoint: "http://10.0.0.5:8081/hook" });
  assert.equal(named.refused, "");
  assert.equal(httpSpec(named.spec).approved, true);
});

test("mode spawn and health of scripts reach the runtime", async () => {
  const entry = `protocol = "script"\ncommand = ["cat"]\nmode = "spawn"\nworkers = 3\nhealth_endpoint = "http://127.0.0.1:1/h"`;
  const { refused, spec, asked } = await load({ entry });
  assert.equal(refused, "");
  assert.ok(spec?.kind === "script");
  assert.deepEqual(
    [spec.mode, spec.workers, spec.command, spec.health?.kind],
    ["spawn", 3, ["cat"], "endpoint"],
  );
  assert.deepEqual(asked, [], "nothing is signed");
});

test("a script is held to what its manifest asks for, else to the defaults, and has no network; a named one runs bare", async () => {
  const entry = `protocol = "script"\ncommand = ["cat"]`;
  const { spec } = await load({ entry, plugins: { require_limits: ["memory"], dir: "/srv/x/plugins" } });
  const standard = {
    cpuMs: 5000,
    memoryMb: 256,
    network: { mode: "none", allow: [] },
    persistentDir: undefined,
  };
  assert.deepEqual(spec?.confinement, { ...standard, bare: false, requireLimits: ["memory"] });
  const limits = `[limits]
cpu_ms = 7
memory_mb = 8
network = "outbound-limited"
network_allow = ["api.example.com:443"]
persistent_dir = true`;
  const asked = await load({
    entry: `${entry}\n${limits}`,
    plugins: { allow_unsandboxed: [ID], dir: "/srv/x/plugins" },
  });
  assert.deepEqual(asked.spec?.confinement, {
    bare: true,
    cpuMs: 7,
    memoryMb: 8,
    network: { mode: "outbound-limited", allow: ["api.example.com:443"] },
    persistentDir: `/srv/x/plugin-data/${ID}`,
    requireLimits: [],
  });
});

test("an endpoint for a script is refused, not ignored", async () => {
  const entry = `protocol = "script"\ncommand = ["cat"]`;
  const { refused } = await load({
    entry,
    endpoint: "http://127.0.0.1/",
    plugins: { allow_unsandboxed: [ID] },
  });
  assert.match(refused, /endpoint: it is not called by HTTP/);
});

test("a secret that cannot be read refuses its plugin; a database that is away is the service's trouble", async () => {
  const unreadable = async () => {
    throw new PluginSecurityError("plugin_security", "x", {
      context: { why: "another key file encrypted it" },
    });
  };
  const { refused } = await load({ entry: HTTP, secrets: { ensure: unreadable } });
  assert.match(refused, /another key file encrypted it/);
  const away = async () => {
    throw new MairustError("store_unavailable", "Cannot ask: away");
  };
  await assert.rejects(load({ entry: HTTP, secrets: { ensure: away } }), /away/);
});

test("when the database goes away while plugins are loaded, transports that were taken before are given back", async () => {
  const other = "com.example.b";
  const folder = join(root, String(folders++));
  const manifest = (id: string, entry: string) =>
    `id = "${id}"\nname = "A"\nversion = "1.0.0"\n[entry]\ntype = "hook"\n${entry}\n[hooks]\non = ["pre_delivery"]\n[permissions]\nread_headers = true\n`;
  const script = `protocol = "script"\ncommand = ["true"]`;
  for (const [id, entry] of [
    [ID, script],
    [other, HTTP],
  ] as const) {
    mkdirSync(join(folder, id), { recursive: true });
    writeFileSync(join(folder, id, "plugin.toml"), manifest(id, entry));
  }
  const grants = { grants: { read_headers: true }, settings: {} };
  const calls: string[] = [];
  const options: PluginHostOptions = {
    config: {
      plugins: pluginsSection({
        folders: [folder],
        allow_unsigned: [ID, other],
        allow_unsandboxed: [ID, other],
      }),
      plugin: { [ID]: grants, [other]: grants },
      hooks: [],
    },
    hostVersion: "0.3.0",
    createTransport: ({ pluginId }) => ({
      destination: "test",
      start: async () => {},
      call: async () => Buffer.from("{}"),
      health: async () => ({ status: "ok" }),
      stop: async () => void calls.push(`stop ${pluginId}`),
    }),
    secrets: fixedSecrets,
    pool: new TransportPool(),
    log: silentLog,
    logs: { write() {}, dropped() {} },
  };
  const { host } = await loadPlugins(options);
  const away = async () => {
    throw new MairustError("store_unavailable", "Cannot reach the database");
  };
  const secrets = { ...fixedSecrets, ensure: away };
  await assert.rejects(loadPlugins({ ...options, secrets }), { code: "store_unavailable" });
  assert.deepEqual(calls, []);
  await host.stop(deadlineAfter(1000));
  assert.deepEqual(calls.toSorted(), [`stop ${ID}`, `stop ${other}`]);
});

test("a transport that cannot say how it is has an error as its health", async () => {
  const lease = new TransportPool().lease("one", () => ({
    destination: "test",
    start: async () => {},
    call: async () => Buffer.from("{}"),
    health: async () => {
      throw new MairustError("store_unavailable", "Cannot read its secret");
    },
    stop: async () => {},
  }));
  const error = { status: "error", detail: "Cannot read its secret" };
  assert.deepEqual([await lease.health(0), await lease.health(60_000)], [error, error]);
});
