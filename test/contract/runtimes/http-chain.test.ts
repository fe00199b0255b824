/** A plugin that is a web server, as a user runs it: found in its folder, granted by configuration, called by the hook chain. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { createTransport } from "../../../src/compose/transports.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { loadPlugins } from "../../../src/plugins/host.ts";
import { silentLog } from "../../lib/database.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";
import { rigOf, rowOf } from "../../unit/hooks/rig.ts";
import { type HttpPlugin, startHttpPlugin } from "./fixtures/http-plugin.ts";

const ID = "com.example.called";
const folder = mkdtempSync(join(tmpdir(), "mr-chain-"));
let plugin: HttpPlugin;
before(async () => {
  plugin = await startHttpPlugin({ socketPath: join(folder, "plugin.sock") });
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${ID}"
name = "Called"
version = "1.0.0"
[entry]
type = "hook"
protocol = "unix"
endpoint = "unix://${folder}/plugin.sock:/hook"
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
decide = ["reject"]
[settings.do]
type = "string"
`,
  );
});
after(async () => {
  await plugin.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function judge(t: TestContext, behaviour: string, row: Parameters<typeof rowOf>[1] = {}) {
  const grants = { read_headers: ["Subject"], write_tags: true, decide: ["reject" as const] };
  const { host, hooks, refused } = await loadPlugins({
    config: {
      plugins: pluginsSection({ folders: [folder], allow_unsigned: [ID] }),
      plugin: { [ID]: { grants, settings: { do: behaviour } } },
      hooks: [rowOf("called", { plugin: ID, timeout_ms: 5000, ...row })],
    },
    hostVersion: "0.3.0",
    createTransport,
    secrets: fixedSecrets,
    log: silentLog,
    logs: { write() {}, dropped() {} },
  });
  assert.deepEqual(refused, []);
  t.after(() => host.stop(deadlineAfter(2000)));
  await host.start(deadlineAfter(5000));
  const plugins = ["called"].flatMap(() => host.find(ID) ?? []);
  const rig = rigOf(plugins, hooks);
  const facts = factsOf("Subject: CANARY-granted\nX-Other: CANARY-kept\n\nCANARY-body");
  return theOne(await rig.runner.run("pre_delivery", facts, deadlineAfter(20_000)));
}

test("its answers decide, and it is sent what was granted and nothing else", async t => {
  plugin.seen.length = 0;
  assert.deepEqual((await judge(t, "tag")).tags, ["by-http"]);
  const { url, body } = plugin.seen.at(-1) ?? assert.fail();
  assert.equal(url, "/hook");
  assert.match(body.toString(), /CANARY-granted/);
  assert.doesNotMatch(body.toString(), /CANARY-kept|CANARY-body/);
  const refusal = await judge(t, "reject");
  assert.equal(refusal.action, "reject");
});

for (const behaviour of ["crash", "half", "garbage", "text", "flood", "nothing"]) {
  test(`when its answer is "${behaviour}", on_error decides`, async t => {
    assert.equal(
      (await judge(t, behaviour, { on_error: "tempfail", on_timeout: "allow" })).action,
      "tempfail",
    );
    assert.equal(
      (await judge(t, behaviour, { on_error: "allow", on_timeout: "tempfail" })).action,
      "deliver",
    );
  });
}

test("when it does not answer in time, on_timeout decides", async t => {
  const row = { timeout_ms: 300, on_error: "allow", on_timeout: "tempfail" } as const;
  assert.equal((await judge(t, "hang", row)).action, "tempfail");
});
