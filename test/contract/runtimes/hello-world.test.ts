/** The sample plugin as a user runs it: found in its folder, granted by configuration, called in its own process. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTransport } from "../../../src/compose/transports.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { packageRoot, packageVersion } from "../../../src/platform/package-root.ts";
import { type LoadedPlugins, loadPlugins } from "../../../src/plugins/host.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";
import { type Rig, rigOf, rowOf } from "../../unit/hooks/rig.ts";

const ID = "com.example.mairust.hello-world";
const lines: string[] = [];
const write = (event: string, fields?: object) => lines.push(`${event} ${JSON.stringify(fields)}`);
const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };

async function load(
  grants: Readonly<Record<string, unknown>>,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<LoadedPlugins> {
  return loadPlugins({
    config: {
      plugins: pluginsSection({
        folders: [join(packageRoot(), "plugins")],
        allow_unsigned: [ID],
        allow_unsandboxed: [ID],
      }),
      plugin: { [ID]: { grants, settings } },
      hooks: [rowOf("hello", { plugin: ID, timeout_ms: 5000 })],
    },
    hostVersion: packageVersion(),
    secrets: fixedSecrets,
    createTransport,
    log,
    logs: { write() {}, dropped() {} },
  });
}

const GRANTS = { read_headers: ["Subject"], read_body: "preview", write_tags: true, move_message: true };
const running: LoadedPlugins[] = [];

async function start(
  grants: Readonly<Record<string, unknown>> = GRANTS,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<Rig> {
  const loaded = await load(grants, settings);
  assert.deepEqual(loaded.refused, []);
  running.push(loaded);
  await loaded.host.start(deadlineAfter(10_000));
  return rigOf([...["hello"].flatMap(() => loaded.host.find(ID) ?? [])], loaded.hooks);
}

const judged = async (rig: Rig, source: string) => {
  const decision = theOne(await rig.runner.run("pre_delivery", factsOf(source), deadlineAfter(10_000)));
  return [decision.action, decision.tags, decision.folder] as const;
};

let rig: Rig | undefined;
before(async () => {
  rig = await start();
});
after(() => Promise.all(running.map(({ host }) => host.stop(deadlineAfter(3000)))));

const cases = [
  ["Subject: Hello\n\nx", ["hello"], undefined],
  ["Subject: Your INVOICE 17\n\nx", ["hello", "invoice"], "Invoices"],
  ["Subject: =?iso-2022-jp?B?GyRCQEE1YT1xGyhCIDM=?=\n\nx", ["hello", "invoice"], "Invoices"],
  ["Subject: =?utf-8?q?=EF=BC=A9nvoice?=\n\nx", ["hello", "invoice"], "Invoices"],
  ["From: a@example.org\n\ninvoice", ["hello"], undefined],
] as const;
for (const [source, tags, folder] of cases) {
  test(`hello-world: ${source.split("\n")[0]}`, async () => {
    assert.ok(rig);
    assert.deepEqual(await judged(rig, source), ["deliver", tags, folder]);
  });
}

test("hello-world follows its settings", async () => {
  const own = await start(GRANTS, {
    greeting_tag: "",
    words: " Report ,, 領収書",
    tag: "papers",
    folder: "",
  });
  assert.deepEqual(await judged(own, "Subject: invoice\n\nx"), ["deliver", [], undefined]);
  assert.deepEqual(await judged(own, "Subject: the report\n\nx"), ["deliver", ["papers"], undefined]);
});

test("hello-world with less granted does less: it files nothing without move_message", async () => {
  const own = await start({ read_headers: ["Subject"], write_tags: true });
  assert.deepEqual(await judged(own, "Subject: invoice\n\nx"), ["deliver", ["hello", "invoice"], undefined]);
  assert.deepEqual(own.denied, [`${ID} folder`]);
});

test("hello-world is healthy", async () => {
  assert.deepEqual(await running[0]?.host.health(), { status: "ok" });
});
