import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { createTransport } from "nodemailer";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { loadConfig } from "../../src/platform/config/load.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { blocks, commandLines, quickNpx, readmeWithout, TEN_MINUTES } from "../lib/readme.ts";
import { MAIN, type Sidecar, startSidecar } from "../lib/sidecar.ts";

/**
 * Every command line of README.md is here: run as it stands against a service with its own configuration, or named with the test
 * that runs it. A line that is neither fails.
 */
const ELSEWHERE: ReadonlyArray<readonly [line: RegExp, why: string]> = [
  [/^npm ci && npm run demo$/u, "test/system/demo.test.ts, without the installation"],
  [/^npm ci && npm test$/u, "what runs this test"],
  [/^npx mairust dkim /u, "test/contract/api/dkim.test.ts: it has a DNS server"],
  [/^npx mairust held /u, "test/contract/api/held.test.ts: it has mail that is held"],
  [/^npx mairust verify-no-loss /u, "test/system/redelivery.test.ts: it needs Postfix"],
  [
    /^npx mairust stage set /u,
    "test/contract/api/stages.test.ts: it has a next hop, and stand-ins for the servers of this host; test/system/site-live.test.ts",
  ],
  [
    /^npx mairust (?:setup|doctor|selftest .*--imap)/u,
    "test/system/site-live.test.ts: they need a Postfix and a Dovecot",
  ],
  [
    /^npx mairust (?:verify|import imap|export imap) /u,
    "test/system/patient/transfer.test.ts, test/system/patient/transfer-imap.test.ts: they need another server",
  ],
  [
    /^systemctl enable --now mairust$/u,
    "changes the host: test/unit/readme.test.ts holds what it starts, test/system/service.test.ts starts that",
  ],
  [/^npx mairust send show /u, "test/system/send.test.ts: it has mail that was sent"],
  [
    /^(?:apt-get|useradd|usermod|install) /u,
    "changes users and folders of the host: docker-compose.yml and postfix/ tests do the same in their own",
  ],
];

/** What a person sees of a plugin, from its first line to its end: each of these lines, once or more. */
const SHOWN: ReadonlyArray<readonly [line: RegExp, shown: RegExp]> = [
  [/keys trust/u, /^private\tour own plugins\t[0-9a-f]{64}\ted25519\t/mu],
  [
    /plugin install/u,
    /^installed com\.example\.spam-filter 1\.0\.0: signed by .* \(our own plugins\), which this service trusts$/mu,
  ],
  [
    /plugin review com\.example\.spam/u,
    /^Risk: 2\/6 [\s\S]*header fields: Subject[\s\S]*without the network$/mu,
  ],
  [/plugin approve/u, /^approved com\.example\.spam-filter 1\.0\.0$/mu],
  [/plugin enable/u, /^hooks: com\.example\.spam-filter \(shadow\)$/mu],
  [/plugin health/u, /^com\.example\.spam-filter\tok\t.*network=enforced/mu],
  [/plugin upgrade/u, /^com\.example\.spam-filter\t1\.1\.0\tenabled\t/mu],
  [/plugin rollback/u, /^com\.example\.spam-filter\t1\.0\.0\tenabled\t/mu],
  [/plugin disable/u, /its hooks do not exist meanwhile/u],
  [/plugin uninstall/u, /^uninstalled com\.example\.spam-filter: its settings, hooks and logs are kept$/mu],
  [
    /plugin review com\.example\.mairust/u,
    /^Plugin: Hello World [\s\S]*read the first 4096 bytes of a message/mu,
  ],
  [/plugin settings/u, /^words\tinvoice, 請求書\tdefault\t/mu],
  [/audit --action plugin\./u, /plugin\.rollback\tcom\.example\.spam-filter[\s\S]*plugin\.approve/u],
  [/key rotate/u, /^back up \S+master\.key; other nodes/mu],
  [/hook add/u, /^invoices\tpre_delivery\t.*\tshadow\t/mu],
  [/hook diffs/u, /^\d of \d calls of the last day would have made a difference$/mu],
  [/canary --for/u, /invoices\t.*canary/u],
  [/canary --percent/u, /invoices\t.*canary/u],
  [/hook promote/u, /invoices\t.*enforce/u],
  [/plugin usage/u, /com\.example\.mairust\.hello-world/u],
  [/bypass (?:on|status)/u, /^\t\S+Z\tlocal:root\t/mu],
  [/bypass off/u, /^no bypass: plugins are called$/mu],
  // This plugin writes nothing.
  [/plugin logs/u, /^$/u],
  [/undo .*--dry-run/u, /^\d+\t1\t1\t\tnothing done$/mu],
  [/undo .*--yes/u, /^\d+\t1\t1\t\d+\tdone$/mu],
  [/send --from .* Hello/u, /^[0-9a-f-]{36}\tqueued\t\t\d+\tstored\t/mu],
  [/send --from .*--dry-run/u, /^\tchecked\t\t/mu],
  [/send list/u, /\tsend\tqueued\ttaro@example\.com\thanako@example\.org\t/u],
  [/ledger/u, /com\.example\.mairust\.hello-world/u],
];

/** The section about a script of one's own: `ten-minutes.test.ts`. */
const README = readmeWithout(TEN_MINUTES);
const ACCOUNT = "taro@example.com";
const QUEUE_ID = "4XyReadme1zJ9cm";
const run = promisify(execFile);
let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
let bin = "";

before(async () => {
  scratch = await makeScratch();
  const dir = join(scratch.dir, "s");
  mkdirSync(dir);
  // The hook of the README's example.
  const [, plugin = ""] = blocks(README, "toml");
  // What it sends goes nowhere: nobody listens there.
  const toml = `[outbound]\nsmtp = "inet:127.0.0.1:1"\n${plugin.replace("/opt/mairust", packageRoot())}`;
  sidecar = await startSidecar({ dir, domain: "example.com", toml });
  writeFileSync(join(scratch.dir, "message.eml"), "Subject: from a file\r\n\r\nbody\r\n");
  writeFileSync(join(scratch.dir, "password.txt"), "a secret of many words\n");
  for (const folder of ["cur", "new", "tmp"])
    mkdirSync(join(scratch.dir, "old", folder), { recursive: true });
  writeFileSync(join(scratch.dir, "old/cur/1.M1P1.host:2,S"), "Subject: from the old server\n\nbody\n");
  await writePackages();
  // The first command is run by npx itself.
  bin = quickNpx(scratch.dir);
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

/** Two versions of the plugin that the README installs, signed with one key. */
async function writePackages(): Promise<void> {
  const shell = (line: string) =>
    run("sh", ["-ec", line.replaceAll("mairust ", `"${process.execPath}" "${MAIN}" `)], {
      cwd: scratch.dir,
      env: { PATH: process.env.PATH ?? "", HOME: scratch.dir },
      timeout: 60_000,
    });
  await shell("mairust plugin init spam-filter --lang node --kind tag && mairust plugin keygen author.key");
  for (const version of ["1.0.0", "1.1.0"])
    await shell(`sed -i 's/^version = .*/version = "${version}"/' spam-filter/plugin.toml
mairust plugin package spam-filter
mairust plugin sign com.example.spam-filter-${version}.mairust-plugin --key author.key`);
}

/** Tags of a plugin, for what takes them back. */
async function deliverInvoice(): Promise<void> {
  await deliver(`${QUEUE_ID}i`, "invoice 7");
  const { stdout } = await sidecar.mairust(["msg", "search", "subject:invoice", "-f", "json"]);
  assert.match(stdout.toString(), /"invoice"\n/u, "the hook is in enforce by now");
}

test("every command of the README works as written, in its order", async () => {
  const lines = commandLines(README);
  assert.ok(lines.length >= 15, "the README has commands");
  const said: [line: string, shown: string][] = [];
  for (const line of lines) {
    // In its place: what follows shows that plugins were called.
    if (line.includes(" selftest ")) await deliver(`${QUEUE_ID}s`, "selftest");
    if (ELSEWHERE.some(([pattern]) => pattern.test(line))) continue;
    assert.match(line, /^npx mairust /u, `nobody runs this line: ${line}`);
    if (line.includes("QUEUE-ID")) await deliver(QUEUE_ID, "readme");
    if (/ undo .*--dry-run/u.test(line)) await deliverInvoice();
    const isFirst = said.length === 0;
    const command = line
      .replaceAll("QUEUE-ID", QUEUE_ID)
      .replaceAll(/\bm\w+\.eml/gu, join(scratch.dir, "message.eml"))
      .replaceAll(/\S+\.mairust-plugin|author\.key\.pub/gu, file => join(scratch.dir, file))
      .replaceAll("password.txt", join(scratch.dir, "password.txt"))
      .replaceAll("OLD-MAILDIR", join(scratch.dir, "old"))
      .replaceAll("NEW-MAILDIR", join(scratch.dir, "new"));
    try {
      const { stdout, stderr } = await run("sh", ["-c", command], {
        cwd: packageRoot(),
        env: {
          PATH: `${isFirst ? "" : `${bin}:`}${process.env.PATH}`,
          HOME: scratch.dir,
          MAIRUST_CONFIG: sidecar.configFile,
        },
        timeout: 60_000,
      });
      said.push([line, stdout + stderr]);
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      assert.fail(`${line}\n${stdout ?? ""}${stderr ?? String(error)}`);
    }
  }
  for (const [pattern, shown] of SHOWN) {
    const found = said.filter(([line]) => pattern.test(line));
    assert.notEqual(found.length, 0, `no line of the README is ${pattern}`);
    for (const [line, text] of found) assert.match(text, shown, line);
  }
});

test("every configuration of the README is valid", async () => {
  const examples = blocks(README, "toml");
  assert.ok(examples.length >= 5);
  for (const [i, example] of examples.entries()) {
    const configFile = join(scratch.dir, `example${i}.toml`);
    writeFileSync(configFile, example);
    await loadConfig({ configFile, env: {} });
  }
});

async function deliver(queueId: string, subject: string): Promise<void> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: sidecar.lmtpPort,
    lmtp: true,
    ignoreTLS: true,
  });
  await transport.sendMail({
    envelope: { from: "a@example.org", to: [ACCOUNT] },
    raw: `Received: from a by b with ESMTP id ${queueId}; Sat, 21 Nov 2026 00:00:00 +0000\r\nSubject: ${subject}\r\n\r\nbody\r\n`,
  });
  transport.close();
}
