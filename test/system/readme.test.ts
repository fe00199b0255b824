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
import { blocks, commandLines, readmeWithout, TEN_MINUTES } from "../lib/readme.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

/**
 * Every command line of README.md is here: run as it stands against a service with its own configuration, or named with the test
 * that runs it. A line that is neither fails.
 */
const ELSEWHERE: ReadonlyArray<readonly [line: RegExp, why: string]> = [
  [/^npm ci && npm run demo$/u, "test/system/demo.test.ts, without the installation"],
  [/^npm ci && npm test$/u, "what runs this test"],
  [/^npx mairust held /u, "test/contract/api/held.test.ts: it has mail that is held"],
  [/^npx mairust verify /u, "test/system/transfer.test.ts: it needs another server"],
  [
    /^(?:useradd|usermod|install) /u,
    "changes users and folders of the host: docker-compose.yml and postfix/ tests do the same in their own",
  ],
];

/** The section about a script of one's own: `ten-minutes.test.ts`. */
const README = readmeWithout(TEN_MINUTES);
const ACCOUNT = "taro@example.com";
const QUEUE_ID = "4XyReadme1zJ9cm";
const run = promisify(execFile);
let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;

before(async () => {
  scratch = await makeScratch();
  const dir = join(scratch.dir, "s");
  mkdirSync(dir);
  // The hook of the README's example.
  const [, plugin = ""] = blocks(README, "toml");
  const toml = plugin.replace("/opt/mairust", packageRoot());
  sidecar = await startSidecar({ dir, domain: "example.com", toml });
  writeFileSync(join(scratch.dir, "message.eml"), "Subject: from a file\r\n\r\nbody\r\n");
  writeFileSync(join(scratch.dir, "password.txt"), "a secret of many words\n");
  for (const folder of ["cur", "new", "tmp"])
    mkdirSync(join(scratch.dir, "old", folder), { recursive: true });
  writeFileSync(join(scratch.dir, "old/cur/1.M1P1.host:2,S"), "Subject: from the old server\n\nbody\n");
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

test("every command of the README works as written, in its order", async () => {
  const lines = commandLines(README);
  assert.ok(lines.length >= 15, "the README has commands");
  for (const line of lines) {
    if (ELSEWHERE.some(([pattern]) => pattern.test(line))) continue;
    assert.match(line, /^npx mairust /u, `nobody runs this line: ${line}`);
    if (line.includes("QUEUE-ID")) await deliverOnce();
    const command = line
      .replaceAll("QUEUE-ID", QUEUE_ID)
      .replaceAll(/\bm\w+\.eml/gu, join(scratch.dir, "message.eml"))
      .replaceAll("password.txt", join(scratch.dir, "password.txt"))
      .replaceAll("OLD-MAILDIR", join(scratch.dir, "old"))
      .replaceAll("NEW-MAILDIR", join(scratch.dir, "new"));
    try {
      await run("sh", ["-c", command], {
        cwd: packageRoot(),
        env: { PATH: process.env.PATH ?? "", HOME: scratch.dir, MAIRUST_CONFIG: sidecar.configFile },
        timeout: 60_000,
      });
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      assert.fail(`${line}\n${stdout ?? ""}${stderr ?? String(error)}`);
    }
  }
});

test("every configuration of the README is valid", async () => {
  const examples = blocks(README, "toml");
  assert.equal(examples.length, 3);
  for (const [i, example] of examples.entries()) {
    const configFile = join(scratch.dir, `example${i}.toml`);
    writeFileSync(configFile, example);
    await loadConfig({ configFile, env: {} });
  }
});

async function deliverOnce(): Promise<void> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: sidecar.lmtpPort,
    lmtp: true,
    ignoreTLS: true,
  });
  await transport.sendMail({
    envelope: { from: "a@example.org", to: [ACCOUNT] },
    raw: `Received: from a by b with ESMTP id ${QUEUE_ID}; Sat, 21 Nov 2026 00:00:00 +0000\r\nSubject: readme\r\n\r\nbody\r\n`,
  });
  transport.close();
}
