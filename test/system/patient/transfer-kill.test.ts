/** `import maildir` while the command and the service are killed again and again: every message once, with its UID. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { TestMaildir } from "../../lib/maildir.ts";
import { MAIN, type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const USER = "taro@example.test";
const MESSAGES = 3000;
/** Kills of either kind. */
const KILLS = 6;

let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
let source: TestMaildir;
let names: readonly string[];

before(async () => {
  scratch = await makeScratch();
  sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
  source = new TestMaildir(join(scratch.dir, "Maildir"));
  names = source.fill("", MESSAGES);
  assert.equal((await sidecar.mairust(["account", "add", USER])).code, 0);
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

interface Running {
  readonly child: ChildProcess;
  /** After so many progress events. */
  progressed(events: number): Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly err: string; readonly out: string }>;
}

function startImport(): Running {
  const args = [
    "--config",
    sidecar.configFile,
    "import",
    "maildir",
    source.dir,
    "--account",
    USER,
    "--progress=json",
    "-f",
    "json",
  ];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const texts = { err: "", out: "" };
  let events = 0;
  const listeners = new Set<() => void>();
  child.stdout.on("data", chunk => {
    texts.out += chunk;
  });
  createInterface({ input: child.stderr }).on("line", line => {
    texts.err += `${line}\n`;
    if (!line.includes('"progress"')) return;
    events += 1;
    for (const listener of listeners) listener();
  });
  const closed = once(child, "close");
  const ended = closed.then(([code]) => ({ code: code as number | null, ...texts }));
  return {
    child,
    ended,
    progressed: wanted =>
      Promise.race([
        ended.then(() => undefined),
        new Promise<void>(resolve => {
          const check = () => {
            if (events >= wanted) resolve();
          };
          listeners.add(check);
          check();
        }),
      ]),
  };
}

test("killed at any time and run again, an import has every message once, at its UID", async () => {
  for (let round = 0; round < KILLS; round += 1) {
    const running = startImport();
    await running.progressed(1 + (round % 3));
    if (round % 2 === 0) running.child.kill("SIGKILL");
    else await sidecar.kill();
    const { code, err } = await running.ended;
    if (round % 2 === 1) {
      assert.ok(code === 75 || code === 69 || code === 0, `${code}: ${err}`);
      await sidecar.restart();
    }
  }
  const last = await startImport().ended;
  assert.equal(last.code, 0, last.err);
  const report = JSON.parse(last.out);
  assert.equal(report.mailboxes[0].found, MESSAGES);
  assert.equal(report.mailboxes[0].copied + report.mailboxes[0].already, MESSAGES);
  const again = JSON.parse((await startImport().ended).out);
  assert.equal(again.mailboxes[0].copied, 0);

  const client = new ImapFlow({
    host: "127.0.0.1",
    port: sidecar.imapPort,
    secure: false,
    doSTARTTLS: false,
    logger: false,
    auth: { user: "dovecot", pass: sidecar.masterPassword, authzid: USER, loginMethod: "AUTH=PLAIN" },
  });
  await client.connect();
  const opened = await client.mailboxOpen("INBOX");
  assert.equal(opened.exists, MESSAGES);
  assert.equal(Number(opened.uidValidity), 77);
  assert.equal(opened.uidNext, MESSAGES + 1);
  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  for await (const found of client.fetch("1:*", {
    uid: true,
    source: true,
    flags: true,
    internalDate: true,
  })) {
    const i = found.uid - 1;
    const file = readFileSync(join(source.dir, "cur", `${names[i]}:2,${i % 2 === 0 ? "S" : ""}`), "latin1");
    const expected = Buffer.from(file.replaceAll("\n", "\r\n"), "latin1");
    assert.equal(digest(found.source ?? Buffer.alloc(0)), digest(expected), `UID ${found.uid}`);
    assert.equal(found.flags?.has("\\Seen"), i % 2 === 0);
    assert.equal(new Date(found.internalDate ?? 0).getTime(), (1_600_000_000 + i) * 1000);
  }
  await client.logout();
});
