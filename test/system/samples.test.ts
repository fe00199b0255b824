/** The sample plugins as they stand in `plugins/`, in a service behind a real Postfix: what the sender's server sees, what is stored. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { findPeer } from "../lib/peers.ts";
import { type Fixture, pluginFolder, readFixtures, readManifest } from "../lib/plugin-fixtures.ts";
import { type Rspamd, startRspamd } from "../lib/rspamd-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const START_MS = 60_000;
const SENDER = "alice@sender.test";
const NAMES = ["keyword-reject", "rspamd"] as const;
type Name = (typeof NAMES)[number];

const peer = await findPeer("rspamd");
const scratch = await makeScratch();
let rspamd: Rspamd | undefined;
let site: MailSite;

before(async () => {
  if (peer !== undefined) {
    const deadline = deadlineAfter(START_MS);
    rspamd = await startRspamd(peer, scratch.dir, deadline);
    deadline.dispose();
  }
  const manifests = await Promise.all(NAMES.map(async name => [name, await readManifest(name)] as const));
  const ids = JSON.stringify(manifests.map(([, { id }]) => id));
  site = await startMailSite({
    users: [],
    milterStage: "store",
    postfixSettings: { in_flow_delay: "0" },
    toml: `[plugins]
folders = ${JSON.stringify(NAMES.map(installed))}
allow_unsigned = ${ids}
${manifests.map(([name, manifest]) => pluginToml(name, manifest)).join("")}`,
  });
});
after(async () => {
  await site?.stop();
  await rspamd?.stop();
  await scratch.remove();
});

/** Its folder; a copy, where the sandbox must let it to another port than the sample names. */
function installed(name: Name): string {
  if (name !== "rspamd" || rspamd === undefined) return pluginFolder(name);
  const copy = join(scratch.dir, "plugins/rspamd");
  cpSync(pluginFolder(name), copy, { recursive: true });
  const manifest = join(copy, "plugin.toml");
  writeFileSync(
    manifest,
    readFileSync(manifest, "utf8").replaceAll("127.0.0.1:11333", new URL(rspamd.url).host),
  );
  return copy;
}

/** All that the manifest asks for is granted; each plugin judges mail to addresses of its own. */
function pluginToml(name: Name, { id, permissions = {} }: Manifest): string {
  const grants = Object.entries(permissions).map(([right, value]) => `${right} = ${JSON.stringify(value)}`);
  return `[plugin."${id}"]\ngrants = { ${grants.join(", ")} }\n[[hooks]]
name = "${name}"
point = "pre_receive"
plugin = "${id}"
mode = "enforce"
timeout_ms = 5000
filter = { recipient = "${name}-.*" }
`;
}

async function judged(name: Name, fixture: Fixture): Promise<void> {
  const to = `${name}-${fixture.name}@example.test`;
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  const reply = await client.send(SENDER, [to], fixture.source.toString("latin1"));
  client.close();
  const { action, code, tags = [], headers = [] } = fixture.expect;
  if (action === "reject") {
    assert.match(
      reply,
      new RegExp(`^${code} 5\\.7\\.1 ${REFUSED[name]} id=[0-9a-f-]{36}$`, "u"),
      fixture.name,
    );
    return;
  }
  assert.equal(action, "deliver", fixture.name);
  assert.match(reply, /^250 /u, fixture.name);
  await site.drainQueue();
  await site.withImap(to, "direct", async imap => {
    await imap.mailboxOpen("INBOX", { readOnly: true });
    const found = await imap.fetchOne("1", { headers: true, flags: true });
    assert.ok(found, fixture.name);
    const flags = [...(found.flags ?? [])].filter(flag => flag !== "\\Recent");
    assert.deepEqual(flags, [...tags], fixture.name);
    const added = found.headers?.toString("latin1").match(/^X-Spam[A-Za-z-]*(?=:)/gmu) ?? [];
    assert.deepEqual([...new Set(added)], [...headers], fixture.name);
  });
}

const REFUSED: Readonly<Record<Name, string>> = {
  "keyword-reject": "refused for its words",
  rspamd: "Gtube pattern",
};

async function judgeAll(t: TestContext, name: Name): Promise<void> {
  // Settings are those of the service.
  const fixtures = (await readFixtures(name)).filter(({ settings }) => Object.keys(settings).length === 0);
  assert.ok(fixtures.some(({ expect }) => expect.action === "reject"));
  for (const fixture of fixtures) await t.test(fixture.name, () => judged(name, fixture));
}

test("keyword-reject refuses mail in the sender's session, and lets all other mail through as it is", t =>
  judgeAll(t, "keyword-reject"));

test(
  "rspamd refuses GTUBE in the sender's session, and tags what it would mark",
  { skip: peer === undefined ? "rspamd is not unpacked: test/setup-host peers" : false },
  t => judgeAll(t, "rspamd"),
);
