import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { createLog, LOGIN_FAILED, type LogOptions, type RootLog } from "../../../src/platform/log.ts";

const JSON_LOG = { level: "debug", format: "json", hash_addresses: false } as const;
const TEXT_LOG = { level: "debug", format: "text", hash_addresses: false } as const;

function collect(options: LogOptions): { readonly log: RootLog; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLog({ ...options, write: line => lines.push(line) }) };
}

/** A text line without its time and process id. */
const bare = (line: string | undefined): string =>
  (line ?? "").replace(/^\S+ /, "").replace(`[${pid}]`, "[1]");

test("a JSON line holds level, time, fields and event, the queue id in front", () => {
  const { log, lines } = collect(JSON_LOG);
  log.child({ queue_id: "4ABC" }).info("stored", { id: "m1", none: undefined, delay: 12, ok: true });
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? "",
    /^\{"level":"info","time":"\d{4}-[^"]+Z","queue_id":"4ABC","id":"m1","delay":12,"ok":true,"event":"stored"\}\n$/,
  );
});

test("a text line of a message begins with the queue id, as Postfix's do", () => {
  const { log, lines } = collect(TEXT_LOG);
  log
    .child({ queue_id: "4ABC" })
    .info("delivered", { status: "sent", hook: "spam", delay: 3, to: "a@b.example", id: "m1" });
  log.warn("started", { port: 25, note: "two words" });
  log.info("ready");
  assert.deepEqual(lines.map(bare), [
    "mairust[1]: info: 4ABC: id=m1 to=<a@b.example> hook=spam delay=3 status=sent (delivered)\n",
    'mairust[1]: warn: started: port=25 note="two words"\n',
    "mairust[1]: info: ready\n",
  ]);
});

test("text from mail cannot end a line, hide in it, or close its field", () => {
  for (const options of [JSON_LOG, TEXT_LOG]) {
    const { log, lines } = collect(options);
    const hostile = "x\r\ny\u0000\u001b[2J\u2028\u202e";
    log.info(`event ${hostile}`, { to: `a> status=sent to=<b@c\n`, note: hostile, queue_id: "Q\n1" });
    assert.equal(lines.length, 1);
    const line = lines[0] ?? "";
    assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/.test(line), JSON.stringify(line));
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.ok(line.includes("a??status=sent?to=?b@c?"), line);
  }
});

test("a long value is cut", () => {
  const { log, lines } = collect(TEXT_LOG);
  log.info("x", { note: "y".repeat(100_000) });
  assert.ok((lines[0] ?? "").length < 1200);
});

test("a failed login has one form in both formats, which fields cannot forge", () => {
  const form = "login failed: service=imap user=<eve> ip=192.0.2.1";
  for (const options of [JSON_LOG, TEXT_LOG]) {
    const { log, lines } = collect(options);
    log.warn(LOGIN_FAILED, { ip: "192.0.2.1", user: "eve", service: "imap" });
    const start = options.format === "json" ? `"event":"${form}"` : `warn: ${form}`;
    assert.ok(lines[0]?.includes(start), lines[0]);
    log.warn(LOGIN_FAILED, { service: "imap", user: "x> ip=198.51.100.9 <", ip: "192.0.2.1" });
    assert.ok(lines[1]?.includes("user=<x??ip=198.51.100.9??> ip=192.0.2.1"), lines[1]);
  }
});

test("with hash_addresses no address is written, in any field or text", () => {
  for (const format of ["json", "text"] as const) {
    const { log, lines } = collect({
      level: "debug",
      format,
      hash_addresses: true,
      hashKey: Buffer.alloc(32, 1),
    });
    log.info("sent to bob@example.com", {
      to: "Bob@Example.com",
      from: "alice@example.com",
      user: "dovecot",
      account: "bob@example.com",
      status: "550 5.1.1 <bob@example.com> is unknown",
      error: new Error("no bob@example.com", { cause: new Error("bob@example.com again") }),
    });
    const line = lines[0] ?? "";
    assert.ok(!/example\.com|bob|alice|dovecot/i.test(line.replaceAll(/\S+\.test\.[jt]s\S*/g, "")), line);
    const hash = /"to":"([0-9a-f]{16})"|to=<([0-9a-f]{16})>/.exec(line);
    const value = hash?.[1] ?? hash?.[2] ?? "none";
    assert.ok(line.split(value).length >= 5, `one address, one hash: ${line}`);
  }
});

test("the level holds for children too and can be changed while running", () => {
  const { log, lines } = collect({ ...JSON_LOG, level: "warn" });
  const child = log.child({ a: 1 });
  child.info("quiet");
  log.debug("quiet");
  log.configure({ ...TEXT_LOG, level: "info" });
  child.info("heard");
  log.debug("quiet");
  log.error("heard too");
  assert.deepEqual(lines.map(bare), ["mairust[1]: info: heard: a=1\n", "mairust[1]: error: heard too\n"]);
});

test("errors are written with their code and cause; ours without a stack", () => {
  const { log, lines } = collect(JSON_LOG);
  log.error("failed", {
    error: new MairustError("disk_full", "Cannot write", { cause: new Error("ENOSPC") }),
  });
  const ours: unknown = JSON.parse(lines[0] ?? "");
  assert.ok(typeof ours === "object" && ours !== null && !("error_stack" in ours));
  assert.match(lines[0] ?? "", /"error":"Cannot write","error_code":"disk_full","error_cause":"ENOSPC"/);
  log.error("failed", { error: new Error("bug") });
  assert.match(lines[1] ?? "", /"error":"bug","error_stack":"Error: bug\?/);
});

test("flush() writes what waits to the file", async t => {
  const folder = mkdtempSync(join(tmpdir(), "mairust-log-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "deep/log");
  const log = createLog({ ...TEXT_LOG, destination: file });
  log.info("one");
  log.flush();
  // The system may still be at work on a line that was handed to it before.
  while (readFileSync(file, "utf8") === "") await new Promise(resolve => setImmediate(resolve));
  assert.match(readFileSync(file, "utf8"), /info: one\n$/);
  assert.equal(log.dropped(), 0);
  log.close();
});
