/**
 * What a plugin that takes 30 s costs the mail that passes it: HTTP, a time-out of 2 s, `on_timeout = "allow"`, `late = "apply"`.
 * Two services in the same run, with and without the hook; and how long after its arrival each message has the plugin's tag.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { sleep } from "../../src/platform/deadline.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";
import { lmtpLoad } from "./lib/lmtp-load.ts";
import { report } from "./lib/rounds.ts";

const PLUGIN_ID = "com.example.slow";
const THINKING_MS = 30_000;
const TIMEOUT_MS = 2000;
const SESSIONS = 20;
const MESSAGES = 100;
const ADDRESS = "user@example.test";
/** Tags are waited for at most this long after the last message. */
const TAGS_MS = 120_000;
const POLL_MS = 250;

export async function benchSlowPlugin(): Promise<void> {
  const scratch = await makeScratch();
  const plugin = await startPlugin();
  const folder = join(scratch.dir, "plugin");
  await writePlugin(folder, plugin.port);
  const plain = await startSidecar({ dir: join(scratch.dir, "a"), logLevel: "warn" });
  const slow = await startSidecar({ dir: join(scratch.dir, "b"), logLevel: "warn", toml: hookToml(folder) });
  try {
    const before = await load(plain);
    const startedAt = performance.now();
    const behind = await load(slow);
    const lastAt = performance.now();
    const tagged = await untilTagged(slow);
    report("R4 slow plugin", {
      unit: "ms",
      messages: MESSAGES,
      thinking_ms: THINKING_MS,
      timeout_ms: TIMEOUT_MS,
      failures: before.failures + behind.failures,
      p99_without: before.latencyMs.p99,
      p99_with: behind.latencyMs.p99,
      added_p99: behind.latencyMs.p99 - before.latencyMs.p99,
      must_added_p99: 2100,
      tagged,
      // Of the first message, which waited longest; the last one was there when sending ended.
      tagged_after_first_ms: performance.now() - startedAt,
      tagged_after_last_ms: performance.now() - lastAt,
      must_tagged_ms: 35_000,
    });
  } finally {
    await plain.stop();
    await slow.stop();
    plugin.stop();
    await scratch.remove();
  }
}

function load(sidecar: Sidecar) {
  return lmtpLoad({
    target: `inet:127.0.0.1:${sidecar.lmtpPort}`,
    sessions: SESSIONS,
    messages: MESSAGES,
    sizeBytes: 4096,
    recipients: () => [ADDRESS],
    replyTimeoutMs: 60_000,
  });
}

/** @returns how many messages have the tag in the end */
async function untilTagged(sidecar: Sidecar): Promise<number> {
  const end = performance.now() + TAGS_MS;
  for (;;) {
    const { stdout } = await sidecar.mairust([
      "msg",
      "search",
      "tag:late",
      "--limit",
      String(MESSAGES),
      "-f",
      "json",
    ]);
    const found = (JSON.parse(stdout.toString()) as readonly unknown[]).length;
    if (found >= MESSAGES || performance.now() > end) return found;
    await sleep(POLL_MS);
  }
}

/** Answers each call after a while. */
async function startPlugin(): Promise<{ readonly port: number; stop(): void }> {
  const server = createServer((request, response) => {
    request.resume();
    setTimeout(() => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ tags: { add: ["late"] } }));
    }, THINKING_MS);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function writePlugin(folder: string, port: number): Promise<void> {
  await mkdir(folder);
  await writeFile(
    join(folder, "plugin.toml"),
    `id = "${PLUGIN_ID}"
name = "Slow"
version = "1.0.0"
[entry]
type = "hook"
protocol = "http"
endpoint = "http://127.0.0.1:${port}/hook"
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
`,
  );
}

const hookToml = (folder: string) => `
[plugins]
folders = [${JSON.stringify(folder)}]
allow_unsigned = ["${PLUGIN_ID}"]
[plugin."${PLUGIN_ID}"]
grants = { read_headers = ["Subject"], write_tags = true }
[[hooks]]
name = "slow"
point = "pre_delivery"
plugin = "${PLUGIN_ID}"
mode = "enforce"
timeout_ms = ${TIMEOUT_MS}
on_timeout = "allow"
late = "apply"
late_timeout_ms = 60000
`;
