/**
 * Plugins that write down every byte that reaches them, one behind each transport: for HTTP the request from its first line on, for
 * processes their arguments and environment too. They answer what the test wants next.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createTransport, transportsIn } from "../../../src/compose/transports.ts";
import type { TransportSpec } from "../../../src/core/hook-plugin.ts";
import type { PluginTransport } from "../../../src/core/ports/plugin-transport.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import type { Sandbox } from "../../../src/runtimes/sandbox/sandbox.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";
import { CONFINED } from "../runtimes/sandbox/rig.ts";

/** `echo`: the payload as a field that nobody knows; `broken`: the payload in what is no JSON; else the answer. */
export type NextAnswer = "echo" | "broken" | "{}" | `{"${string}}`;

export interface Received {
  readonly payload: Buffer;
  /** Request line and header; arguments, environment, framing. */
  readonly around: Buffer;
}

export interface Recorder {
  readonly name: string;
  readonly transport: PluginTransport;
  /** It is sent the payload in the words of another contract, which has no place for all of it. */
  readonly isTranslated: boolean;
  /** A call takes a process, or more than others: a sample of all calls is enough. */
  readonly isDear: boolean;
  /** What it answers from now on. */
  answer(next: NextAnswer): void;
  /** The payload of the last call, and all else that came with it. */
  received(): Received;
  stop(): Promise<void>;
}

const ID = "com.example.recorder";
const nothing = () => {};
const COMMON = { pluginId: ID, version: "1.0.0", onLog: nothing, onLogDropped: nothing, onNotice: nothing };

/**
 * @param folder   empty, for all of them
 * @param sandbox  of the strongest tier that there is here
 */
export async function startRecorders(folder: string, sandbox: Sandbox): Promise<readonly Recorder[]> {
  return [
    await httpRecorder("http over TCP"),
    await httpRecorder("http over a UNIX socket", { socketPath: join(folder, "plugin.sock") }),
    await httpRecorder("mta-hooks", { contract: "mta-hooks" }),
    processRecorder("script worker", "worker", join(folder, "worker")),
    processRecorder("script spawn", "spawn", join(folder, "spawn")),
    processRecorder("script worker in the sandbox", "worker", join(folder, "confined"), sandbox),
  ];
}

function processRecorder(
  name: string,
  mode: "worker" | "spawn",
  folder: string,
  sandbox?: Sandbox,
): Recorder {
  mkdirSync(folder);
  const program = mode === "worker" ? "recorder.mjs" : "recorder.sh";
  const from = join(packageRoot(), "test/contract/hooks/fixtures", program);
  copyFileSync(from, join(folder, program));
  const command = [mode === "worker" ? process.execPath : "sh", program];
  const spec: TransportSpec = { ...COMMON, kind: "script", mode, folder, command, workers: 1 };
  // In the sandbox its own folder is read-only: it writes into the one that it may keep.
  const written = sandbox === undefined ? folder : join(folder, "kept");
  const confinement = { ...CONFINED, memoryMb: 512, cpuMs: 10_000, persistentDir: written };
  return {
    name,
    transport:
      sandbox === undefined ? createTransport(spec) : transportsIn(sandbox)({ ...spec, confinement }),
    isDear: mode === "spawn" || sandbox !== undefined,
    isTranslated: false,
    answer: next => writeFileSync(join(written, "answer"), next),
    received() {
      const bytes = readFileSync(join(written, "received"));
      // Nothing of a call that was before.
      writeFileSync(join(written, "received"), "");
      return parted(bytes, bytes.lastIndexOf(10, bytes.length - 2) + 1);
    },
    stop: async () => {},
  };
}

/** @param at  where the payload begins: it is the last line, ended or not */
function parted(bytes: Buffer, at: number): Received {
  const end = bytes.at(-1) === 10 ? bytes.length - 1 : bytes.length;
  return {
    payload: bytes.subarray(at, end),
    around: Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]),
  };
}

/** A server that knows just enough of HTTP to see where a request ends. */
async function httpRecorder(
  name: string,
  { socketPath, contract }: { readonly socketPath?: string; readonly contract?: "mta-hooks" } = {},
): Promise<Recorder> {
  const state = { answer: "{}" as NextAnswer, request: Buffer.alloc(0) };
  const sockets = new Set<Socket>();
  const server: Server = createServer(socket => {
    sockets.add(socket);
    socket.on("error", nothing).on("close", () => sockets.delete(socket));
    let chunks: Buffer[] = [];
    let missing: number | undefined;
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      missing = missing === undefined ? bytesMissing(Buffer.concat(chunks)) : missing - chunk.length;
      if (missing !== 0) return;
      state.request = Buffer.concat(chunks);
      chunks = [];
      missing = undefined;
      const { payload } = parted(state.request, headerEnd(state.request));
      socket.write(
        reply(contract === undefined ? ownBody(state.answer, payload) : theirBody(state.answer, payload)),
      );
    });
  });
  await new Promise<void>(resolve => {
    if (socketPath === undefined) server.listen(0, "127.0.0.1", resolve);
    else server.listen(socketPath, resolve);
  });
  const origin =
    socketPath === undefined
      ? `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      : "http://localhost";
  const transport = createTransport({
    ...COMMON,
    kind: "http",
    endpoint: new URL("/hook", origin),
    socketPath,
    approved: false,
    secrets: () => ({ signing: [TEST_SECRET], staged: undefined }),
    ...(contract === undefined ? {} : { contract }),
  });
  return {
    name,
    transport,
    isDear: false,
    isTranslated: contract !== undefined,
    answer(next) {
      state.answer = next;
    },
    received() {
      const { request } = state;
      state.request = Buffer.alloc(0);
      return parted(request, headerEnd(request));
    },
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

const headerEnd = (request: Buffer) => request.indexOf("\r\n\r\n") + 4;

/** @returns undefined: the header has not ended */
function bytesMissing(request: Buffer): number | undefined {
  const end = request.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const [, length = ""] = /^content-length: *(\d+)/im.exec(request.toString("latin1", 0, end)) ?? [];
  return end + 4 + Number(length) - request.length;
}

function ownBody(answer: NextAnswer, payload: Buffer): string {
  const bodies: Readonly<Record<string, string>> = { echo: `{"echo":${payload}}`, broken: `x${payload}` };
  return bodies[answer] ?? answer;
}

/** The same, as a service for Stalwart would say it. */
function theirBody(answer: NextAnswer, payload: Buffer): string {
  const echo = `{"action":"accept","echo":${payload}}`;
  const bodies: Readonly<Record<string, string>> = {
    "{}": '{"action":"accept"}',
    echo,
    broken: `x${payload}`,
  };
  return bodies[answer] ?? '{"action":"quarantine","modifications":[{"type":"changeFrom","value":"x"}]}';
}

function reply(text: string): Buffer {
  const body = Buffer.from(text);
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}
