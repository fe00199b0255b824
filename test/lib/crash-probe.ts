/**
 * Ends the process, or its PostgreSQL, with SIGKILL at a named step. Watches from outside what the service asks of the system: the
 * functions of node:fs on files below the blob folder, and the bytes of its sockets. Nothing of the service's own code is replaced,
 * and nothing happens before `arm`.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { sep } from "node:path";
import type { CrashPlan, CrashStep } from "./crash-steps.ts";
import { isPostgresStartup, PostgresWire } from "./pg-wire.ts";
import { killPostgres } from "./postgres-kill.ts";

/** Made beside the configuration when PostgreSQL alone was killed: the process lives on, and somebody waits for this. */
export function firedFile(configFile: string): string {
  return `${configFile}.fired`;
}

/** The replies to a message's end: `protocols/lmtp/reply.ts`. */
const FINAL_REPLY = /^250 2\.0\.0 (?:stored id=|id=\S+ already (?:stored|relayed)|<\S+> \S+ Saved)/u;

/** The statement that stores a batch: `store/deliver-rows.ts`. */
const STORES = /\bstore_deliveries\(/u;
/** Longest time from sending it to `statement_running`. */
const RUNNING_MS = 12;

export interface ProbeOptions {
  readonly plan: CrashPlan;
  readonly dataDir: string;
  /** Absolute path of the blob folder. */
  readonly blobDir: string;
  readonly firedFile: string;
}

type Call = (...args: unknown[]) => unknown;
type Done = (error: unknown, ...values: unknown[]) => void;
type FileKind = "temporary" | "directory" | "blob";

export class CrashProbe {
  readonly #options: ProbeOptions;
  #skip: number;
  #armed = false;

  constructor(options: ProbeOptions) {
    this.#options = options;
    this.#skip = options.plan.skip ?? 0;
  }

  /** From now on the step counts. */
  arm(): void {
    this.#armed = true;
  }

  /** A step was reached. Does not return when it is the one where the process ends. */
  reached(step: CrashStep): void {
    if (this.due(step)) this.fire();
  }

  /** Counts a step; true when now is the time. For those that first do half of something. */
  due(step: CrashStep): boolean {
    if (!this.#armed || step !== this.#options.plan.step) return false;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return false;
    }
    this.#armed = false;
    return true;
  }

  fire(): void {
    const { plan, dataDir, firedFile } = this.#options;
    const victim = plan.victim ?? "sidecar";
    if (victim !== "sidecar") killPostgres(dataDir, "cluster");
    if (victim === "postgres") fs.writeFileSync(firedFile, plan.step);
    else process.kill(process.pid, "SIGKILL");
  }
}

/** Watch this process. Call it before the service is composed. */
export function installProbe(probe: CrashProbe, blobDir: string): void {
  watchFiles(probe, blobDir);
  watchSockets(probe);
}

// ---------------------------------------------------------------- files

function watchFiles(probe: CrashProbe, blobDir: string): void {
  const open = new Map<number, FileKind>();
  const kindOf = (path: unknown): FileKind | undefined => {
    if (typeof path !== "string" || !path.startsWith(blobDir + sep)) return undefined;
    const [folder, name] = path.slice(blobDir.length + 1).split(sep);
    if (name === undefined) return "directory";
    return folder === "tmp" ? "temporary" : "blob";
  };
  const kind = (fd: unknown) => open.get(fd as number);
  watchFunction("open", ([path], fd) => {
    const what = kindOf(path);
    if (what === undefined) return;
    open.set(fd as number, what);
    if (what === "temporary") probe.reached("blob_opened");
  });
  watchFunction("close", ([fd]) => open.delete(fd as number));
  watchFunction(
    "write",
    ([fd]) => {
      if (kind(fd) === "temporary") probe.reached("blob_written");
    },
    ([fd, bytes, offset, length, position]) => {
      if (kind(fd) !== "temporary" || !probe.due("blob_torn")) return;
      const half = Math.ceil((length as number) / 2);
      fs.writeSync(fd as number, bytes as Uint8Array, offset as number, half, position as number);
      probe.fire();
    },
  );
  for (const name of ["fsync", "fdatasync"] as const) {
    watchFunction(name, ([fd]) => {
      if (kind(fd) === "temporary") probe.reached("blob_synced");
      if (kind(fd) === "directory") probe.reached("blob_directory_synced");
    });
  }
  const replaced = new Set<unknown>();
  watchFunction(
    "rename",
    ([from, to]) => {
      if (kindOf(to) !== "blob") return;
      probe.reached("blob_renamed");
      if (replaced.delete(from)) probe.reached("blob_replaced");
    },
    ([from, to]) => {
      if (kindOf(to) === "blob" && fs.existsSync(to as string)) replaced.add(from);
    },
  );
  // `import { fsync } from "node:fs"` and `import * as fs` see the functions that were put there.
  syncBuiltinESMExports();
}

/** Both forms of a function of node:fs: with a callback, and `…Sync`. `after` runs when the system has done it, before anybody hears. */
function watchFunction(
  name: "open" | "close" | "write" | "fsync" | "fdatasync" | "rename",
  after: (args: readonly unknown[], value: unknown) => void,
  before?: (args: readonly unknown[]) => void,
): void {
  // Of overloads no caller's arguments are known here: they are handed on as they came.
  const real = fs[name] as unknown as Call;
  const realSync = fs[`${name}Sync`] as unknown as Call;
  const withCallback = (...args: unknown[]) => {
    before?.(args);
    const done = args.at(-1);
    if (typeof done !== "function") return real.apply(fs, args);
    return real.apply(fs, [
      ...args.slice(0, -1),
      (error: unknown, ...values: unknown[]) => {
        if (error === null || error === undefined) after(args, values[0]);
        (done as Done)(error, ...values);
      },
    ]);
  };
  const synchronous = (...args: unknown[]) => {
    before?.(args);
    const value = realSync.apply(fs, args);
    after(args, value);
    return value;
  };
  Object.assign(fs, { [name]: withCallback, [`${name}Sync`]: synchronous });
}

// ---------------------------------------------------------------- sockets

type Peer = { readonly kind: "postgres"; readonly wire: PostgresWire } | { readonly kind: "lmtp" | "other" };

function watchSockets(probe: CrashProbe): void {
  const peers = new WeakMap<net.Socket, Peer>();
  // As above: the arguments are handed on as they came.
  const realWrite = net.Socket.prototype.write as unknown as Call;
  const realPush = net.Socket.prototype.push as unknown as Call;
  const write = function (this: net.Socket, ...args: unknown[]): unknown {
    const [chunk] = args;
    const peer = peers.get(this) ?? firstWords(chunk);
    peers.set(this, peer);
    if (peer.kind === "lmtp")
      return writeReplies(
        probe,
        text => realWrite.call(this, text),
        chunk,
        () => realWrite.apply(this, args),
      );
    if (peer.kind === "postgres" && Buffer.isBuffer(chunk) && !isPostgresStartup(chunk)) {
      const stores = peer.wire.sent(chunk).some(text => STORES.test(text));
      const send = (bytes: Buffer) => realWrite.call(this, bytes);
      if (stores) return writeStatement(probe, send, chunk, () => realWrite.apply(this, args));
    }
    return realWrite.apply(this, args);
  };
  const push = function (this: net.Socket, ...args: unknown[]): unknown {
    const [chunk] = args;
    const peer = peers.get(this);
    if (peer?.kind === "postgres" && Buffer.isBuffer(chunk)) {
      if (peer.wire.received(chunk).some(statement => STORES.test(statement))) {
        probe.reached("statement_answered");
        probe.reached("redelivery_answered");
      }
    }
    return realPush.apply(this, args);
  };
  Object.assign(net.Socket.prototype, { write, push });
}

/** Who the peer is, by the first that is said to it. */
function firstWords(chunk: unknown): Peer {
  if (Buffer.isBuffer(chunk) && isPostgresStartup(chunk))
    return { kind: "postgres", wire: new PostgresWire() };
  return { kind: typeof chunk === "string" && chunk.startsWith("220 ") ? "lmtp" : "other" };
}

/** @param send  writes bytes of its own. @param sendAll  writes what was to be written */
function writeStatement(
  probe: CrashProbe,
  send: (bytes: Buffer) => unknown,
  chunk: Buffer,
  sendAll: () => unknown,
): unknown {
  probe.reached("statement_unsent");
  if (probe.due("statement_torn")) {
    send(chunk.subarray(0, Math.ceil(chunk.length / 2)));
    probe.fire();
  }
  const written = sendAll();
  probe.reached("statement_sent");
  if (probe.due("statement_running")) setTimeout(() => probe.fire(), Math.random() * RUNNING_MS);
  return written;
}

/** @param sendText  writes a text of its own. @param sendAll  writes what was to be written */
function writeReplies(
  probe: CrashProbe,
  sendText: (text: string) => unknown,
  chunk: unknown,
  sendAll: () => unknown,
): unknown {
  const replies = typeof chunk === "string" ? chunk.split(/(?<=\r\n)/u) : [];
  const finals = replies.filter(reply => FINAL_REPLY.test(reply));
  if (finals.length === 0) return sendAll();
  probe.reached("reply_unsent");
  if (finals.length > 1 && probe.due("reply_torn")) {
    sendText(replies.slice(0, replies.indexOf(finals[0] ?? "") + 1).join(""));
    probe.fire();
  }
  const written = sendAll();
  probe.reached("reply_sent");
  return written;
}
