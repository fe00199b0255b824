/** Blobs that are missing or damaged, in a whole service: what IMAP, `scrub`, `/readyz` and the metrics say, and that all goes on. */
import assert from "node:assert/strict";
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { runCommandLine } from "../../../src/cli/run.ts";
import type { ReadinessBody } from "../../../src/wire/api/system.ts";
import { captured, surroundings } from "../../unit/cli/terminal.ts";
import { type RunningService, startService } from "./service.ts";

const USER = "taro@example.test";
const COUNT = 5;

let running: RunningService;
const digests: string[] = [];
before(async () => {
  running = await startService();
  await running.ask("POST", "/api/v1/accounts", { body: { address: USER } });
  for (let i = 0; i < COUNT; i += 1) {
    const message = Buffer.from(`Subject: number ${i}\r\n\r\n${"text of the message\r\n".repeat(i === 3 ? 20_000 : 20)}`);
    const path = `/api/v1/accounts/${encodeURIComponent(USER)}/mailboxes/INBOX/messages`;
    const { body } = await running.ask("POST", path, { message });
    digests.push(String((await running.ask("GET", `/api/v1/messages/${body.id}`)).body.blob_digest));
  }
});
after(() => running.stop());

const pathOf = (i: number) => {
  const digest = digests[i] ?? "";
  return join(dirname(running.site.configFile), "data/blobs", digest.slice(0, 2), digest.slice(2));
};

async function run(...args: readonly string[]) {
  const terminal = captured({ columns: 160 });
  const code = await runCommandLine(["--config", running.site.configFile, ...args], surroundings(terminal));
  return { code, out: terminal.printed(), err: terminal.complained() };
}

/** Commands one after the other on one connection. @returns each one's answer, tagged line last */
async function imap(...commands: readonly string[]): Promise<readonly string[]> {
  const socket = connect(running.site.imapPort, "127.0.0.1");
  let text = "";
  let heard: () => void = () => undefined;
  socket.setEncoding("latin1");
  socket.on("data", chunk => {
    text += chunk;
    heard();
  });
  socket.on("close", () => heard());
  const until = async (end: RegExp) => {
    for (;;) {
      const match = end.exec(text);
      if (match !== null) {
        const answer = text.slice(0, match.index + match[0].length);
        text = text.slice(answer.length);
        return answer;
      }
      assert.ok(!socket.closed, `closed after ${text}`);
      await new Promise<void>(resolve => {
        heard = resolve;
      });
    }
  };
  const password = readFileSync(join(dirname(running.site.configFile), "imap-master.secret"), "utf8").trim();
  const secret = Buffer.from(`${USER}\0${running.site.masterUser}\0${password}`).toString("base64");
  const answers: string[] = [];
  await until(/^\* OK .*\r\n/u);
  for (const [i, command] of [`AUTHENTICATE PLAIN ${secret}`, "SELECT INBOX", ...commands].entries()) {
    socket.write(`t${i} ${command}\r\n`);
    answers.push(await until(new RegExp(`(?:^|\\n)t${i} .*\\r\\n`, "u")));
  }
  socket.end();
  return answers.slice(2);
}

const status = (answer: string) => answer.trimEnd().split("\r\n").at(-1) ?? "";

test("a clean store: scrub ends with 0 and counts everything", async () => {
  const { code, out } = await run("scrub", "-f", "json");
  assert.equal(code, 0, out);
  const { findings, counts } = JSON.parse(out);
  assert.deepEqual([findings, counts.blobs, counts.messages, counts.accounts], [[], COUNT, COUNT, 1]);
  assert.match((await run("scrub", "--quick", "-f", "table")).out, /blobs +5\nhashed +0/u);
  assert.equal((await run("scrub", "--rate", "fast")).code, 64);
  assert.equal((await run("scrub", "--after", "fast")).code, 64);
});

test("a missing or damaged message is NO with a clear text; the session goes on and all others are sent", async () => {
  unlinkSync(pathOf(1));
  const bytes = readFileSync(pathOf(2));
  bytes[60] = (bytes[60] ?? 0) ^ 0xff;
  writeFileSync(pathOf(2), bytes);
  const cut = readFileSync(pathOf(3));
  writeFileSync(pathOf(3), cut.subarray(0, cut.length >> 1));
  const [lost = "", damaged = "", short = "", several = "", one = "", flags = "", noop = ""] = await imap(
    "FETCH 2 BODY[]",
    "FETCH 3 BODY[]",
    "FETCH 4 BODY[]",
    "FETCH 1:5 (UID BODY.PEEK[])",
    "UID FETCH 5 BODY[TEXT]",
    "FETCH 1:5 (FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)",
    "NOOP",
  );
  for (const answer of [lost, damaged, short, several]) {
    assert.match(status(answer), /^t\d+ NO (?:\[\w+\] )?The message cannot be read: its data is (?:missing|damaged)/u);
  }
  for (const answer of [lost, damaged, short]) assert.doesNotMatch(answer, /BODY/u);
  assert.match(several, /\* 1 FETCH[\s\S]*Subject: number 0/u);
  assert.match(several, /\* 5 FETCH[\s\S]*Subject: number 4/u);
  assert.doesNotMatch(several, /\* [234] FETCH/u);
  assert.match(status(one), /OK/u);
  assert.match(status(flags), /OK/u);
  assert.equal([...flags.matchAll(/^\* \d FETCH/gmu)].length, 5);
  assert.match(status(noop), /OK/u);
});

test("scrub names them and ends with 1; /readyz is degraded and still ready; metrics count them", async () => {
  const { code, out } = await run("scrub", "-f", "json");
  assert.equal(code, 1);
  const { findings, counts } = JSON.parse(out);
  assert.equal(counts.findings, 3);
  assert.deepEqual(
    new Set(findings.map((one: { subject: string; finding: string }) => `${one.subject} ${one.finding}`)),
    new Set([`${digests[1]} blob_missing`, `${digests[2]} blob_damaged`, `${digests[3]} blob_damaged`]),
  );
  const lines = (await run("scrub", "-f", "jsonl")).out.trim().split("\n");
  assert.deepEqual(
    lines.map(line => JSON.parse(line).kind),
    ["finding", "finding", "finding", "done"],
  );
  assert.match((await run("scrub", "-f", "table")).out, /blob_missing[\s\S]*findings +3/u);
  const { status: ready, body } = await running.ask("GET", "/readyz");
  const blobs = (body as unknown as ReadinessBody).checks.find(check => check.name === "blobs");
  assert.equal(ready, 200);
  assert.deepEqual([blobs?.status, blobs?.reason], ["degraded", "3 blobs missing or damaged; the log names them"]);
  const metrics = (await running.ask("GET", "/metrics")).bytes.toString();
  assert.match(metrics, /^mairust_blob_unreadable_total\{reason="missing"\} [1-9]/mu);
  assert.match(metrics, /^mairust_blob_unreadable_total\{reason="damaged"\} [1-9]/mu);
  assert.match(metrics, /^mairust_scrub_findings_total\{finding="blob_missing"\} 3$/mu);
  assert.match(metrics, /^mairust_blob_folders_failed 0$/mu);
});

test("the API streams lines, and says what it does not take", async () => {
  const { status: code, headers, bytes } = await running.ask("POST", "/api/v1/admin/scrub?quick=true");
  assert.deepEqual([code, headers["content-type"]], [200, "application/x-ndjson"]);
  const lines = bytes.toString().trim().split("\n");
  assert.equal(JSON.parse(lines.at(-1) ?? "").kind, "done");
  assert.equal((await running.ask("POST", "/api/v1/admin/scrub?quick=maybe")).status, 400);
});

test("the same message stored again mends its blob, and a clean scrub makes the service whole again", async () => {
  for (const i of [1, 2, 3]) {
    const message = Buffer.from(`Subject: number ${i}\r\n\r\n${"text of the message\r\n".repeat(i === 3 ? 20_000 : 20)}`);
    const path = `/api/v1/accounts/${encodeURIComponent(USER)}/mailboxes/Archive/messages`;
    assert.equal((await running.ask("POST", path, { message })).status, 201);
  }
  assert.equal((await run("scrub")).code, 0);
  const { body } = await running.ask("GET", "/readyz");
  assert.ok((body as unknown as ReadinessBody).checks.every(check => check.status === "ok"));
  const [answer = ""] = await imap("FETCH 1:5 BODY.PEEK[]");
  assert.match(status(answer), /OK/u);
});
