/**
 * A plugin that is added, upgraded, rolled back and removed while real mail goes through Postfix: no message is lost, and each is
 * judged wholly by one version, or by none.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { packFolder } from "../../src/plugins/package/write.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";

const WAIT_MS = 60_000;
const ID = "com.example.stamp";
const ACCOUNT = "taro@example.test";
const root = mkdtempSync(join(tmpdir(), "mr-stamp-"));
let site: MailSite;

before(async () => {
  const toml = `[plugins]\nallow_unsigned = ["${ID}"]\nallow_unsandboxed = ["${ID}"]\n`;
  site = await startMailSite({ users: [ACCOUNT], toml, logLevel: "warn" });
});
after(async () => {
  await site?.stop();
  rmSync(root, { recursive: true, force: true });
});

/** Says its version twice over: a message with two different ones, or with one of them, was judged by something in between. */
async function pack(version: string): Promise<string> {
  const folder = join(root, version);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${ID}"\nname = "Stamp"\nversion = "${version}"\n[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["node", "main.mjs"]\nworkers = 2\n` +
      `[hooks]\non = ["pre_delivery"]\ntimeout_ms = 5000\n[permissions]\nread_headers = true\nwrite_tags = true\n`,
  );
  writeFileSync(
    join(folder, "main.mjs"),
    `import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) console.log(JSON.stringify({ mairust: 1, plugin: "${ID}", version: "${version}", api: ["1"] }));
  else if (request.health) console.log(JSON.stringify({ status: "ok" }));
  else console.log(JSON.stringify({ call_id: request.call_id, tags: { add: ["first-${version}", "last-" + request.plugin.version] } }));
}
`,
  );
  const { bytes } = await packFolder(folder);
  const file = join(root, `${version}.mairust-plugin`);
  writeFileSync(file, bytes);
  return file;
}

async function plugin(...args: string[]): Promise<void> {
  const { code, stderr } = await site.sidecar.mairust(["plugin", ...args]);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
}

async function search(
  query: string,
  limit: string,
): Promise<ReadonlyArray<{ readonly places: ReadonlyArray<{ readonly tags: readonly string[] }> }>> {
  const { code, stdout, stderr } = await site.sidecar.mairust([
    ...["msg", "search", query, "--limit", limit, "-f", "json"],
  ]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.toString());
}

test("a plugin that comes, changes and goes under load loses no mail, and no message is judged by half of it", async () => {
  const [one, two] = [await pack("1.0.0"), await pack("2.0.0")];
  let isLoading = true;
  let sent = 0;
  const load = async () => {
    while (isLoading) {
      const id = `<load.${sent++}@sender.test>`;
      await site.send("a@sender.test", [ACCOUNT], `Message-ID: ${id}\r\nSubject: load\r\n\r\nx\r\n`);
    }
  };
  /** Some mail of each time, however slow the machine is. */
  const some = async () => {
    const until = sent + 5;
    while (sent < until) await sleep(20);
  };
  /** Sent is not delivered: until some that was judged by this version is stored. */
  const judgedBy = async (version: string) => {
    const deadline = deadlineAfter(WAIT_MS);
    const query = `account:${ACCOUNT} tag:first-${version}`;
    while ((await search(query, "1")).length === 0) {
      assert.ok(deadline.remainingMs() > 0, `in time: mail that ${version} has judged`);
      await sleep(50);
    }
    deadline.dispose();
  };
  const loads = [load(), load()];
  try {
    await some();
    await plugin("install", one);
    await plugin("approve", ID);
    await plugin("enable", ID, "--mode", "enforce");
    await judgedBy("1.0.0");
    await plugin("upgrade", two);
    await judgedBy("2.0.0");
    await plugin("rollback", ID);
    await some();
    await plugin("disable", ID);
    await plugin("uninstall", ID, "--yes");
    await some();
  } finally {
    isLoading = false;
    await Promise.all(loads);
  }
  await site.drainQueue();

  const messages = await search(`account:${ACCOUNT}`, "5000");
  assert.equal(messages.length, sent);
  const judged = messages.map(({ places }) =>
    places
      .flatMap(({ tags }) => tags)
      .sort()
      .join(" "),
  );
  const allowed = ["", "first-1.0.0 last-1.0.0", "first-2.0.0 last-2.0.0"];
  assert.deepEqual([...new Set(judged)].sort(), allowed);
  const ledger = await site.sidecar.mairust(["ledger", "--plugin", ID, "--limit", "5000", "-f", "json"]);
  const calls = JSON.parse(ledger.stdout.toString()) as ReadonlyArray<{ readonly plugin_version: string }>;
  const of = (version: string) => calls.filter(call => call.plugin_version === version).length;
  const tagged = (version: string) => judged.filter(tags => tags.includes(version)).length;
  assert.ok(
    of("1.0.0") >= tagged("1.0.0") && of("2.0.0") >= tagged("2.0.0"),
    JSON.stringify([sent, calls.length]),
  );
});
