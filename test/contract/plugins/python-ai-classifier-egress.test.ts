/**
 * S8 with the service's own way out: the classifier in a namespace without a network, behind the egress proxy, with a model that obeys
 * the mail. What the proxy writes down is all that went anywhere.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { execa } from "execa";
import type { EgressPolicy } from "../../../src/core/ports/egress.ts";
import { resolveSettings } from "../../../src/plugins/settings.ts";
import { dialAddresses } from "../../../src/runtimes/egress/dial.ts";
import { egressDoors } from "../../../src/runtimes/egress/door.ts";
import { createEgressProxies } from "../../../src/runtimes/egress/proxies.ts";
import { type Certificate, makeCertificate } from "../../lib/certificate.ts";
import { silentLog } from "../../lib/database.ts";
import { injections } from "../../lib/injections.ts";
import { type ModelServer, startModelServer } from "../../lib/model-server.ts";
import { skipUnless } from "../../lib/not-here.ts";
import { type Fixture, payloadOf, pluginFolder, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "python-ai-classifier";
const manifest = await readManifest(NAME);
const { values: DEFAULTS } = resolveSettings(manifest.settings, {});
const TAGS = new Set(
  String(DEFAULTS.categories)
    .split(", ")
    .map(one => `ai:${one}`),
);
const folder = mkdtempSync(join(tmpdir(), "mr-ai-out-"));
const missing = ["bwrap", "/usr/bin/python3", "/usr/bin/perl"].filter(
  program => spawnSync(program, ["--version"]).error !== undefined,
);

let certificate: Certificate;
let remote: ModelServer;
let local: ModelServer;
before(async () => {
  certificate = makeCertificate(folder, new URL(String(DEFAULTS.base_url)).host);
  remote = await startModelServer(certificate);
  local = await startModelServer();
});
after(async () => {
  await Promise.all([remote.stop(), local.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

/** The manifest's command, where nothing leads out but the door. @returns its answers, and what the proxy saw */
async function behindProxy(t: TestContext, policy: EgressPolicy, payloads: readonly object[]) {
  const proxies = createEgressProxies({
    folder: mkdtempSync(join(folder, "gates-")),
    reservedPorts: () => new Set(),
    log: silentLog,
    resolve: async () => ["93.184.216.34"],
    ...(policy.mode === "local-only"
      ? {}
      : {
          dial: (_: unknown, __: number, signal: AbortSignal) =>
            dialAddresses(["127.0.0.1"], remote.port, signal),
        }),
  });
  const door = await egressDoors(proxies)(manifest.id, policy, undefined);
  t.after(() => door.close());
  const line = [
    ..."--unshare-all --die-with-parent --as-pid-1 --new-session --ro-bind /usr /usr --symlink usr/bin /bin".split(
      " ",
    ),
    ..."--symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp".split(" "),
    ...["--ro-bind", pluginFolder(NAME), "/plugin", "--ro-bind", certificate.path, "/cert.pem"],
    ...door.binds.flatMap(({ from, to }) => ["--ro-bind", from, to]),
    ..."--chdir /plugin --clearenv --setenv PATH /usr/bin --setenv SSL_CERT_FILE /cert.pem".split(" "),
    ...Object.entries(door.env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--", ...door.prefix, ...(manifest.entry.command ?? [])],
  ];
  const { stdout, stderr } = await execa("bwrap", line, {
    env: {},
    input: payloads.map(one => `${JSON.stringify(one)}\n`).join(""),
  });
  const answers: { action?: string; tags?: { add: readonly string[] } }[] = stdout
    .split("\n")
    .map(one => JSON.parse(one));
  assert.equal(answers.length, payloads.length, stderr);
  return { answers, traffic: proxies.traffic() };
}

async function payloads(settings: object): Promise<readonly object[]> {
  return Promise.all(
    injections.map(async ({ from, subject, text }, i) => {
      const source = Buffer.from(
        `From: ${from}\r\nSubject: ${subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${text}`,
      );
      const fixture: Omit<Fixture, "expect"> = { name: String(i), source, envelope: {}, settings: {} };
      const made = await payloadOf(fixture, manifest);
      const own = { model: "obeys", untagged: "", threshold: 0, ...settings };
      return { ...made, deadline_ms: 20_000, settings: { ...(made.settings as object), ...own } };
    }),
  );
}

function assertHarmless(answers: Awaited<ReturnType<typeof behindProxy>>["answers"]): void {
  for (const answer of answers) {
    if (answer.action === "error") continue;
    assert.equal(answer.action, undefined);
    for (const tag of answer.tags?.add ?? []) assert.ok(TAGS.has(tag), tag);
  }
  const tagged = answers.filter(answer => answer.action === undefined);
  assert.ok(tagged.length >= 5 && tagged.length < answers.length, `${tagged.length} tagged`);
}

describe("behind the egress proxy", {
  skip: skipUnless(missing.length === 0, `missing: ${missing.join(", ")}`),
}, () => {
  test("S8: with the manifest's network it reaches its endpoint and asks for nothing else", async t => {
    const allow = manifest.limits?.network_allow ?? [];
    const { answers, traffic } = await behindProxy(
      t,
      { mode: "outbound-limited", allow },
      await payloads({}),
    );
    assertHarmless(answers);
    assert.equal(remote.seen.length, injections.length);
    const seen = traffic.map(({ destination, connections, refused }) => ({
      destination,
      connections,
      refused,
    }));
    assert.deepEqual(seen, [{ destination: allow[0], connections: injections.length, refused: {} }]);
  });

  test("S8: local-only, it reaches the model on this host and asks for nothing else", async t => {
    const allow = [`127.0.0.1:${local.port}`];
    const own = { base_url: `http://127.0.0.1:${local.port}/v1` };
    const { answers, traffic } = await behindProxy(t, { mode: "local-only", allow }, await payloads(own));
    assertHarmless(answers);
    assert.equal(local.seen.length, injections.length);
    const seen = traffic.map(({ destination, connections, refused }) => ({
      destination,
      connections,
      refused,
    }));
    assert.deepEqual(seen, [{ destination: allow[0], connections: injections.length, refused: {} }]);
  });

  test("an endpoint that the manifest does not name is refused, and that is written down", async t => {
    const allow = manifest.limits?.network_allow ?? [];
    const [first = {}] = await payloads({ base_url: "https://evil.example/v1" });
    const { answers, traffic } = await behindProxy(t, { mode: "outbound-limited", allow }, [first]);
    assert.equal(answers[0]?.action, "error");
    assert.deepEqual(
      traffic.map(({ destination, connections }) => [destination, connections]),
      [["evil.example:443", 0]],
    );
    assert.ok(Object.values(traffic[0]?.refused ?? {}).some(count => count > 0));
  });
});
