/**
 * `imap.writable = "flags"` with `dovecot/stage-store.conf` and `dovecot/flags.conf`: what a client sets at Dovecot is kept by the service,
 * seen by everybody, and outlives Dovecot's own index.
 */
import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { Api } from "../../lib/clients/api.ts";
import { dateOf, generated } from "../../lib/clients/messages.ts";
import { RawImap } from "../../lib/clients/raw-imap.ts";
import { type Front, PASSWORD, startFront, USER } from "../../lib/clients/site.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const MESSAGES = 3;

let scratch: Awaited<ReturnType<typeof makeScratch>>;
let sidecar: Sidecar;
let front: Front;
let api: Api;

before(async () => {
  scratch = await makeScratch();
  const folder = async (name: string) => {
    const dir = join(scratch.dir, name);
    await mkdir(dir, { recursive: true });
    return dir;
  };
  const dovecotDir = await folder("d");
  const acl = join(dovecotDir, "mairust-flags.acl");
  await copyFile(join(packageRoot(), "dovecot/mairust-flags.acl"), acl);
  await chmod(acl, 0o644);
  const config = `!include ${join(packageRoot(), "dovecot/flags.conf")}\nplugin {\n  acl = vfile:${acl}\n}\n`;
  sidecar = await startSidecar({ dir: await folder("s"), imap: 'writable = "flags"', logLevel: "warn" });
  front = await startFront(sidecar, dovecotDir, config);
  api = new Api(sidecar.apiSocket);
  assert.equal((await sidecar.mairust(["account", "add", USER])).code, 0);
  const place = { account: USER, mailbox: "INBOX" };
  for (let i = 0; i < MESSAGES; i++)
    await api.addAll([{ ...place, bytes: generated(i), flags: [], date: dateOf(i) }]);
});
after(async () => {
  api?.close();
  await front?.stop();
  await sidecar?.stop();
  await scratch?.remove();
});

async function atDovecot<T>(work: (client: RawImap) => Promise<T>): Promise<T> {
  const client = await RawImap.open(front.dovecot.imapPort);
  try {
    await client.command(`LOGIN ${USER} ${PASSWORD}`);
    const { status, text } = await client.command("SELECT INBOX");
    assert.equal(status, "OK", text);
    return await work(client);
  } finally {
    await client.close();
  }
}

/** The flags of each message at Dovecot. */
async function flagsAtDovecot(): Promise<readonly string[]> {
  return atDovecot(async client => {
    const { lines } = await client.command("FETCH 1:* (FLAGS)");
    return lines.flatMap(line => /FLAGS \(([^)]*)\)/u.exec(line)?.[1] ?? []).map(names => sorted(names));
  });
}

const sorted = (names: string) =>
  names
    .split(" ")
    .filter(name => name !== "" && name !== "\\Recent")
    .sort()
    .join(" ");

/** As REST tells them. */
async function found(query: string): Promise<string> {
  const { stdout, stderr, code } = await sidecar.mairust(["msg", "search", query, "--format", "json"]);
  assert.equal(code, 0, stderr);
  return stdout.toString();
}

test("SELECT at Dovecot is read-write, and says which flags last", async () => {
  await atDovecot(async client => {
    const { lines, text } = await client.command("SELECT INBOX");
    assert.match(text, /READ-WRITE/u);
    const permanent = lines.find(line => line.includes("PERMANENTFLAGS")) ?? "";
    for (const flag of ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\*"])
      assert.ok(permanent.includes(flag), permanent);
    assert.ok(!permanent.includes("\\Deleted"), permanent);
  });
});

test("what a client sets at Dovecot is in the service, and another client is told", async () => {
  await atDovecot(async client => {
    for (const command of [
      "STORE 1 +FLAGS (\\Seen)",
      "STORE 2 +FLAGS (\\Flagged work)",
      "STORE 3 FLAGS (\\Seen \\Answered)",
      "STORE 3 -FLAGS (\\Seen)",
    ]) {
      const { status, text } = await client.command(command);
      assert.equal(status, "OK", `${command}: ${text}`);
    }
  });
  const direct = await RawImap.open(sidecar.imapPort);
  const plain = Buffer.from(`${USER}\0dovecot\0${sidecar.masterPassword}`).toString("base64");
  assert.equal((await direct.command(`AUTHENTICATE PLAIN ${plain}`)).status, "OK");
  await direct.command("EXAMINE INBOX");
  const { lines } = await direct.command("FETCH 1:* (FLAGS)");
  const kept = lines.flatMap(line => /FLAGS \(([^)]*)\)/u.exec(line)?.[1] ?? []);
  assert.deepEqual(kept, ["\\Seen", "\\Flagged work", "\\Answered"]);
  assert.match((await direct.command("STATUS INBOX (UNSEEN)")).lines[0] ?? "", /UNSEEN 2/u);
  await direct.close();
  const stored = await found(`account:${USER} tag:work`);
  assert.match(stored, /"tags":\s*\[\s*"work"\s*\]/u);
  assert.match(stored, /Flagged/u);
});

test("it outlives Dovecot's index, and \\Deleted is not to be had", async () => {
  const before = await flagsAtDovecot();
  await rm(join(scratch.dir, "d/home", USER, "mairust"), { recursive: true });
  assert.deepEqual(await flagsAtDovecot(), before);
  assert.deepEqual(before, ["\\Seen", "\\Flagged work", "\\Answered"]);
  await atDovecot(async client => {
    await client.command("STORE 1 +FLAGS (\\Deleted)");
    await client.command("EXPUNGE");
  });
  assert.deepEqual(await flagsAtDovecot(), before);
});

test("a change made here is seen at Dovecot", async () => {
  const direct = await RawImap.open(sidecar.imapPort);
  const plain = Buffer.from(`${USER}\0dovecot\0${sidecar.masterPassword}`).toString("base64");
  await direct.command(`AUTHENTICATE PLAIN ${plain}`);
  await direct.command("SELECT INBOX");
  assert.equal((await direct.command("STORE 2 FLAGS.SILENT (\\Draft)")).status, "OK");
  await direct.close();
  assert.equal((await flagsAtDovecot())[1], "\\Draft");
});
