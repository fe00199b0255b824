/**
 * P7: what the hook layer adds to mail for one call of a plugin that does nothing: the chain, the payload, the transport with the
 * plugin's process behind it, and the check of the answer. One call at a time; all transports take their turn in each round. `bare` is
 * the transport alone, with a payload that is there already.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hookMetrics } from "../../src/compose/hook-metrics.ts";
import { createTransport } from "../../src/compose/transports.ts";
import { callId, messageId } from "../../src/core/ids.ts";
import { packStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import { grantsOf } from "../../src/core/permissions-grants.ts";
import type { MessageContent, MessageFacts } from "../../src/core/ports/hooks.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { PluginTransport } from "../../src/core/ports/plugin-transport.ts";
import { createHookRunner } from "../../src/hooks/runner.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { createMetrics } from "../../src/platform/metrics.ts";
import { report, spread } from "./lib/rounds.ts";
import { sampleMail } from "./lib/sample-mail.ts";

const ID = "com.example.null";
const ROUNDS = 5;
const WARM_UPS = 2;
const CALLS = 1000;
const MESSAGE_BYTES = 4096;
const TIMEOUT_MS = 5000;

/** A plugin that does nothing, behind one transport. */
interface NullPlugin {
  readonly name: string;
  /** Figures of the row, in milliseconds at the median. */
  readonly must: number;
  readonly aim: number;
  /** @param folder  for its files; removed afterwards */
  start(folder: string): Promise<PluginTransport>;
}

const SCRIPT = `
process.stdin.on("data", chunk => {
  const line = chunk.toString();
  if (line.startsWith('{"mairust"'))
    process.stdout.write('{"mairust":1,"plugin":"${ID}","version":"1.0.0","api":["1"]}\\n');
  else if (line.endsWith("\\n")) process.stdout.write("{}\\n");
});
`;

const PLUGINS: readonly NullPlugin[] = [
  {
    name: "script worker",
    must: 1.0,
    aim: 0.3,
    async start(folder) {
      writeFileSync(join(folder, "null.cjs"), SCRIPT);
      const nothing = () => {};
      const transport = createTransport({
        kind: "script",
        mode: "worker",
        pluginId: ID,
        version: "1.0.0",
        folder,
        command: [process.execPath, "null.cjs"],
        workers: 1,
        onLog: nothing,
        onLogDropped: nothing,
        onNotice: nothing,
      });
      await transport.start(deadlineAfter(TIMEOUT_MS));
      return transport;
    },
  },
];

export async function benchHooks(): Promise<void> {
  for (const plugin of PLUGINS) {
    const folder = mkdtempSync(join(tmpdir(), "mairust-bench-"));
    const transport = await plugin.start(folder);
    try {
      await measure(plugin, transport);
    } finally {
      await transport.stop(deadlineAfter(TIMEOUT_MS));
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function measure({ name, must, aim }: NullPlugin, transport: PluginTransport): Promise<void> {
  let payload: Uint8Array = Buffer.alloc(0);
  const watched: PluginTransport = {
    start: deadline => transport.start(deadline),
    stop: deadline => transport.stop(deadline),
    health: () => transport.health(),
    destination: transport.destination,
    call(bytes, call, deadline) {
      payload = bytes;
      return transport.call(bytes, call, deadline);
    },
  };
  const chain = chainOver(watched);
  const bare = async () => {
    const deadline = deadlineAfter(TIMEOUT_MS);
    await transport.call(payload, { callId: randomUUID(), traceparent: "" }, deadline);
    deadline.dispose();
  };
  const figures = { p50: [] as number[], p99: [] as number[], bare: [] as number[] };
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    const whole = await timed(chain);
    const alone = await timed(bare);
    if (round < 0) continue;
    figures.p50.push(quantile(whole, 0.5));
    figures.p99.push(quantile(whole, 0.99));
    figures.bare.push(quantile(alone, 0.5));
  }
  report(`P7 ${name}`, {
    unit: "ms",
    calls: CALLS,
    size_bytes: MESSAGE_BYTES,
    payload_bytes: payload.byteLength,
    ledger: false,
    p50: spread(figures.p50),
    p99: spread(figures.p99),
    bare_p50: spread(figures.bare),
    must,
    aim,
  });
}

/** One message through a chain of one hook; the plugin sees header and preview. */
function chainOver(transport: PluginTransport): () => Promise<void> {
  const ignore = () => {};
  const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log };
  const plugin = {
    id: ID,
    version: "1.0.0",
    grants: grantsOf({ read_headers: true, read_body: "preview", write_tags: true }),
    settings: {},
    wallTimeMs: Number.POSITIVE_INFINITY,
    onViolation: () => "drop" as const,
    transport,
    failure: undefined,
  };
  const runner = createHookRunner({
    plugins: { find: () => plugin },
    hooks: [HOOK],
    log,
    metrics: hookMetrics(createMetrics({ process: false })),
    now: () => new Date(),
    newCallId: () => callId(randomUUID()),
    payloadBytesInFlight: 64 * 1024 * 1024,
  });
  const facts = factsOf(sampleMail(0, MESSAGE_BYTES, "\r\n"));
  return async () => {
    const deadline = deadlineAfter(TIMEOUT_MS);
    // Its own content: what is read of one message is kept for the hooks that follow.
    const message = { ...facts, content: { ...facts.content } };
    const { each } = await runner.run("pre_delivery", message, deadline);
    deadline.dispose();
    const decision = each.get("user@example.com");
    if (decision?.action !== "deliver" || decision.tags.length > 0)
      throw new Error(`the call failed: ${JSON.stringify(decision)}`);
  };
}

const HOOK = {
  name: "null",
  point: "pre_delivery",
  plugin: ID,
  priority: 100,
  mode: "enforce",
  canary_percent: 10,
  timeout_ms: TIMEOUT_MS,
  on_timeout: "tempfail",
  on_error: "tempfail",
  late: "drop",
  late_timeout_ms: 60_000,
  per_recipient: true,
  parallel: false,
  enabled: true,
  filter: {
    recipient: "",
    sender: "",
    domain: "",
    size_min_bytes: 0,
    size_max_bytes: 0,
    header: {},
    sample_percent: 100,
  },
} as const;

function factsOf(bytes: Uint8Array): MessageFacts {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const structure = scanner.end();
  const content: MessageContent = {
    digest: "",
    sizeBytes: bytes.byteLength,
    async *read(range = { start: 0, end: bytes.byteLength }) {
      yield bytes.subarray(range.start, range.end);
    },
  };
  return {
    messageId: messageId(randomUUID()),
    receivedAt: new Date(),
    sizeBytes: bytes.byteLength,
    queueId: "4XyZ1234",
    direction: "inbound",
    stage: "store",
    mailFrom: "sender@example.org",
    recipients: ["user@example.com"],
    observed: new Set(),
    account: "user@example.com",
    client: { address: "192.0.2.7", name: "mx.example.org", helo: "mx.example.org" },
    authUser: undefined,
    tls: true,
    header: structure.headerHead,
    threadKey: undefined,
    tags: [],
    structure: packStructure(structure),
    content,
  };
}

/** @returns milliseconds of each call, ascending */
async function timed(call: () => Promise<void>): Promise<readonly number[]> {
  const times: number[] = [];
  for (let i = 0; i < CALLS; i++) {
    const began = performance.now();
    await call();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b);
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}
