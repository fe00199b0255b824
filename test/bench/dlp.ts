/**
 * The sample plugins/dlp on 500 made messages, in the sandbox, one call after the other: what was found, and how long a call takes beside its
 * time-out. `large` is one message with 4 MiB of text and as much of attachments.
 */
import { randomUUID } from "node:crypto";
import { transportsIn } from "../../src/compose/transports.ts";
import type { PluginTransport } from "../../src/core/ports/plugin-transport.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { Sandbox } from "../../src/runtimes/sandbox/sandbox.ts";
import { plantedMail } from "../lib/dlp-corpus.ts";
import { payloadOf, pluginFolder, readManifest } from "../lib/plugin-fixtures.ts";
import { report } from "./lib/rounds.ts";

const NAME = "dlp";
const MESSAGES = 500;
const SEED = 20_261_121;
const WARM_UP = 50;
const START_MS = 10_000;
/** Only measured: a busy machine takes longer. */
const LARGE_MS = 60_000;
const nothing = () => {};

export async function benchDlp(): Promise<void> {
  const manifest = await readManifest(NAME);
  const sandbox = new Sandbox({ uidRange: [61_000, 61_999] });
  const transport = transportsIn(sandbox)({
    pluginId: manifest.id,
    version: manifest.version,
    onLog: nothing,
    onLogDropped: nothing,
    onNotice: nothing,
    kind: "script",
    mode: "worker",
    folder: pluginFolder(NAME),
    command: [process.execPath, "main.mjs"],
    workers: 1,
    confinement: {
      bare: false,
      cpuMs: LARGE_MS,
      memoryMb: manifest.limits?.memory_mb ?? 256,
      persistentDir: undefined,
      requireLimits: [],
      network: { mode: "none", allow: [] },
    },
  });
  await transport.start(deadlineAfter(START_MS));
  try {
    await measure(transport, manifest);
  } finally {
    await transport.stop(deadlineAfter(START_MS));
    sandbox.close();
  }
}

async function measure(
  transport: PluginTransport,
  manifest: Awaited<ReturnType<typeof readManifest>>,
): Promise<void> {
  const timeoutMs = manifest.hooks?.timeout_ms ?? 5000;
  const mails = plantedMail(MESSAGES, SEED);
  const payloads = await Promise.all(
    mails.map(mail => payloadOf({ ...mail, envelope: {}, settings: {} }, manifest)),
  );
  const times: number[] = [];
  let found = 0;
  for (const [i, payload] of [...payloads.slice(0, WARM_UP), ...payloads].entries()) {
    const { ms, answer } = await timed(transport, payload, LARGE_MS);
    if (i < WARM_UP) continue;
    times.push(ms);
    if (answer.includes('"hold"')) found++;
  }
  const [first = {}] = payloads;
  const text = "Nothing to see, but for 12 numbers: 4711 0815 1234.\n".repeat(19_000);
  const body = Array.from({ length: 4 }, () => ({ type: "text/plain", text, truncated: false }));
  const attachments = Array.from({ length: 4 }, (_, index) => ({
    index,
    filename: "a.txt",
    content_type: "text/plain",
    size_bytes: text.length,
    content_base64: Buffer.from(text).toString("base64"),
  }));
  const large = await timed(transport, { ...first, body, attachments }, LARGE_MS);
  times.sort((a, b) => a - b);
  const at = (q: number) => times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? 0;
  report("dlp", {
    unit: "ms",
    messages: MESSAGES,
    held: found,
    planted: mails.filter(({ planted }) => planted.length > 0).length,
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
    large: large.ms,
    timeout: timeoutMs,
  });
}

async function timed(transport: PluginTransport, payload: object, ms: number) {
  const call = { callId: randomUUID(), traceparent: "" };
  const bytes = Buffer.from(JSON.stringify({ ...payload, deadline_ms: ms }));
  const deadline = deadlineAfter(ms);
  const began = performance.now();
  const answer = await transport.call(bytes, call, deadline);
  deadline.dispose();
  return { ms: performance.now() - began, answer: Buffer.from(answer).toString() };
}
