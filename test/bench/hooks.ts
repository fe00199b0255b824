/**
 * P7: what the hook layer adds to mail for one call of a plugin that does nothing: the chain, the payload, its entry in the egress
 * ledger on disk, the transport with the plugin's process behind it, and the check of the answer. One call at a time; with and without
 * the ledger take their turn in each round. `bare` is the transport alone, with a payload that is there already.
 */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hookMetrics } from "../../src/compose/hook-metrics.ts";
import { createTransport, transportsIn } from "../../src/compose/transports.ts";
import { callId, messageId } from "../../src/core/ids.ts";
import { packStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import { grantsOf } from "../../src/core/permissions-grants.ts";
import type { MessageContent, MessageFacts } from "../../src/core/ports/hooks.ts";
import type { Ledger } from "../../src/core/ports/ledger.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { PluginTransport } from "../../src/core/ports/plugin-transport.ts";
import { HookGuard } from "../../src/hooks/guard.ts";
import { openLedgerFiles } from "../../src/hooks/ledger-files.ts";
import { LedgerSpool } from "../../src/hooks/ledger-spool.ts";
import { createHookRunner } from "../../src/hooks/runner.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { createMetrics } from "../../src/platform/metrics.ts";
import { Sandbox } from "../../src/runtimes/sandbox/sandbox.ts";
import { rowOf } from "../unit/hooks/rig.ts";
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
  start(folder: string): Promise<RunningPlugin>;
}

interface RunningPlugin {
  readonly transport: PluginTransport;
  /** The process that is not the transport's own. */
  end?(): void;
}

const SCRIPT = `
process.stdin.on("data", chunk => {
  const line = chunk.toString();
  if (line.startsWith('{"mairust"'))
    process.stdout.write('{"mairust":1,"plugin":"${ID}","version":"1.0.0","api":["1"]}\\n');
  else if (line.endsWith("\\n")) process.stdout.write("{}\\n");
});
`;

const SERVER = `
require("node:http").createServer((request, response) => {
  request.resume();
  request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
`;

const nothing = () => {};
const COMMON = { pluginId: ID, version: "1.0.0", onLog: nothing, onLogDropped: nothing, onNotice: nothing };

const PLUGINS: readonly NullPlugin[] = [
  {
    name: "script worker",
    must: 1.0,
    aim: 0.3,
    async start(folder) {
      writeFileSync(join(folder, "null.cjs"), SCRIPT);
      const command = [process.execPath, "null.cjs"];
      const script = { kind: "script", mode: "worker", folder, command, workers: 1 } as const;
      return { transport: createTransport({ ...COMMON, ...script }) };
    },
  },
  {
    name: "script worker in the sandbox",
    must: 1.0,
    aim: 0.3,
    async start(folder) {
      writeFileSync(join(folder, "null.cjs"), SCRIPT);
      chmodSync(folder, 0o755);
      const sandbox = new Sandbox({ uidRange: [61_000, 61_999] });
      const command = [process.execPath, "null.cjs"];
      const script = { kind: "script", mode: "worker", folder, command, workers: 1 } as const;
      const network = { mode: "none", allow: [] } as const;
      const limits = { bare: false, cpuMs: 5000, memoryMb: 256, persistentDir: undefined, requireLimits: [] };
      const confinement = { ...limits, network };
      return {
        transport: transportsIn(sandbox)({ ...COMMON, ...script, confinement }),
        end: () => sandbox.close(),
      };
    },
  },
  {
    name: "HTTP loopback",
    must: 1.5,
    aim: 0.7,
    async start(folder) {
      writeFileSync(join(folder, "null.cjs"), SERVER);
      const server = spawn(process.execPath, [join(folder, "null.cjs")], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [port] = await once(server.stdout, "data");
      const endpoint = new URL(`http://127.0.0.1:${String(port).trim()}/hook`);
      const secrets = () => ({ signing: [Buffer.alloc(32, 1)], staged: undefined });
      const target = { kind: "http", endpoint, socketPath: undefined, approved: false, secrets } as const;
      return { transport: createTransport({ ...COMMON, ...target }), end: () => server.kill() };
    },
  },
];

export async function benchHooks(): Promise<void> {
  for (const plugin of PLUGINS) {
    const folder = mkdtempSync(join(tmpdir(), "mairust-bench-"));
    const spool = new LedgerSpool({ files: await openLedgerFiles(join(folder, "ledger")), now: Date.now });
    await spool.open();
    const { transport, end } = await plugin.start(folder);
    await transport.start(deadlineAfter(TIMEOUT_MS));
    try {
      await measure(plugin, transport, spool);
    } finally {
      await transport.stop(deadlineAfter(TIMEOUT_MS));
      end?.();
      await spool.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function measure(
  { name, must, aim }: NullPlugin,
  transport: PluginTransport,
  ledger: Ledger,
): Promise<void> {
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
  const ways = {
    p50: chainOver(watched, ledger),
    without_ledger: chainOver(watched),
    bare: async () => {
      const deadline = deadlineAfter(TIMEOUT_MS);
      await transport.call(payload, { callId: randomUUID(), traceparent: "" }, deadline);
      deadline.dispose();
    },
  };
  const figures = {
    p50: [] as number[],
    p99: [] as number[],
    without_ledger: [] as number[],
    bare: [] as number[],
  };
  for (let round = -WARM_UPS; round < ROUNDS; round++) {
    for (const way of ["p50", "without_ledger", "bare"] as const) {
      const times = await timed(ways[way]);
      if (round < 0) continue;
      figures[way].push(quantile(times, 0.5));
      if (way === "p50") figures.p99.push(quantile(times, 0.99));
    }
  }
  report(`P7 ${name}`, {
    unit: "ms",
    calls: CALLS,
    size_bytes: MESSAGE_BYTES,
    payload_bytes: payload.byteLength,
    p50: spread(figures.p50),
    p99: spread(figures.p99),
    without_ledger_p50: spread(figures.without_ledger),
    bare_p50: spread(figures.bare),
    must,
    aim,
  });
}

/** One message through a chain of one hook; the plugin sees header and preview. */
function chainOver(transport: PluginTransport, ledger?: Ledger): () => Promise<void> {
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
    guard: idleGuard(),
    ...(ledger === undefined ? {} : { ledger }),
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

/** As in a service: it counts, and has nothing to say. */
function idleGuard(): HookGuard {
  const ignore = () => {};
  const hears = {
    onDemotion: ignore,
    onCap: ignore,
    onBudget: ignore,
    onUsage: ignore,
    onDenied: ignore,
    onCompared: ignore,
  };
  return new HookGuard({ now: () => new Date(), steadyNow: () => performance.now(), ...hears });
}

const HOOK = rowOf("null", { plugin: ID, timeout_ms: TIMEOUT_MS });

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
