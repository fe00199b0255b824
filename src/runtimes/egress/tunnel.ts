/**
 * One connection of a plugin through the egress proxy: head → rules → name → addresses → connect → TLS hello → bytes both ways.
 *
 * The address that was checked is the one connected to: names are looked up once, here. On port 443 the first bytes must be a TLS hello
 * that names the host of CONNECT, and nothing is sent out before they were seen to be: else any place behind the same front
 * (a content network) could be reached under a listed name, and the record would be wrong. Port 80 carries what it carries.
 * Whatever fails ends this connection alone; the plugin reads why.
 */
import type { Socket } from "node:net";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { type ClientHello, readClientHello } from "./client-hello.ts";
import { collect } from "./collect.ts";
import { readConnect } from "./connect-request.ts";
import { type Destination, destinationText } from "./destination.ts";
import type { Dial } from "./dial.ts";
import { Refusal, refusalReply } from "./refusal.ts";
import type { EgressResolve } from "./resolve.ts";
import { checkAddresses, checkAsked, type EgressRules, localAddresses } from "./rules.ts";
import { NO_DESTINATION, type TrafficRow } from "./traffic.ts";

export interface TunnelLimits {
  /** For the head, and for the TLS hello. */
  readonly headMs: number;
  /** Name and connection. */
  readonly connectMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
  /** For the plugin to read why it was refused. */
  readonly refusedMs: number;
}

export const TUNNEL_LIMITS: TunnelLimits = {
  headMs: 10_000,
  connectMs: 10_000,
  idleMs: 30_000,
  refusedMs: 2000,
};

export interface TunnelContext {
  readonly rules: EgressRules;
  readonly reservedPorts: () => ReadonlySet<number>;
  readonly resolve: EgressResolve;
  readonly dial: Dial;
  readonly limits: TunnelLimits;
  readonly row: (destination: string) => TrafficRow;
  /** Of the gate: everything ends with it. */
  readonly signal: AbortSignal;
}

const TLS_PORT = 443;
const CONNECTED = "HTTP/1.1 200 Connection established\r\n\r\n";
/** RFC 8446 §6: a fatal alert, unrecognized_name. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

/** Serve one connection of the plugin to its end. Never rejects. */
export async function serveTunnel(client: Socket, context: TunnelContext): Promise<void> {
  let row = () => context.row(NO_DESTINATION);
  let isOpen = false;
  try {
    const { value: request, bytes } = await timed(context, context.limits.headMs, signal =>
      collect(client, Buffer.alloc(0), readConnect, signal),
    );
    row = () => context.row(destinationText(request.asked));
    checkAsked(context.rules, request.asked, context.reservedPorts());
    const upstream = await open(request.asked, context);
    try {
      client.write(CONNECTED);
      isOpen = true;
      const early = bytes.subarray(request.length);
      const first = await firstBytes(client, request.asked, early, context);
      const used = row();
      used.connected();
      await relay({ client, upstream, first, row: used, idleMs: context.limits.idleMs });
    } finally {
      upstream.destroy();
    }
  } catch (error) {
    if (!(error instanceof Refusal)) return;
    row().refused(error.reason);
    await sayGoodbye(client, error, isOpen, context);
  } finally {
    client.destroy();
  }
}

/** Tell a client that will not be served why. Never rejects. */
export async function refuseClient(client: Socket, refusal: Refusal, context: TunnelContext): Promise<void> {
  context.row(NO_DESTINATION).refused(refusal.reason);
  await sayGoodbye(client, refusal, false, context);
  client.destroy();
}

/** @throws {Refusal} `too_slow`; what `work` throws */
async function timed<T>(
  { signal }: TunnelContext,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = deadlineAfter(ms, signal);
  try {
    return await work(deadline.signal);
  } catch (error) {
    if (deadline.signal.aborted && !signal.aborted)
      throw new Refusal("too_slow", `nothing complete came within ${ms} ms`);
    throw error;
  } finally {
    deadline.dispose();
  }
}

/** @throws {Refusal} `no_address`, `address`, `unreachable` */
async function open(asked: Destination, context: TunnelContext): Promise<Socket> {
  const deadline = deadlineAfter(context.limits.connectMs, context.signal);
  const where = destinationText(asked);
  try {
    const addresses = await within(addressesOf(asked, context, deadline.signal), deadline);
    if (addresses.length === 0) throw new Refusal("no_address", `${where} has no address that can be found`);
    return await context.dial(addresses, asked.port, deadline.signal);
  } catch (error) {
    if (error instanceof Refusal || context.signal.aborted) throw error;
    throw new Refusal("unreachable", `${where} cannot be reached`);
  } finally {
    deadline.dispose();
  }
}

async function addressesOf(
  asked: Destination,
  { rules, resolve }: TunnelContext,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (rules.mode === "local-only") return localAddresses(rules, asked);
  const addresses = asked.isAddress ? [asked.host] : await resolve(asked.host, signal);
  checkAddresses(rules, asked, addresses);
  return addresses;
}

/**
 * What the client sends first, checked where it can be.
 * @throws {Refusal} `not_tls`, `sni`, `too_slow`
 */
async function firstBytes(
  client: Socket,
  asked: Destination,
  early: Buffer,
  context: TunnelContext,
): Promise<Buffer> {
  if (asked.port !== TLS_PORT || context.rules.mode === "local-only") return early;
  const seen = await timed(context, context.limits.headMs, signal => collect(client, early, helloIn, signal));
  const { serverName, hidden } = seen.value;
  const where = destinationText(asked);
  if (hidden) throw new Refusal("sni", `${where} is refused: its TLS hello hides the server's name`);
  // An address is never named (RFC 6066 §3); a name always is.
  const expected = asked.isAddress ? undefined : asked.host;
  if (serverName !== expected)
    throw new Refusal("sni", `${where} is refused: its TLS hello names another server`);
  return seen.bytes;
}

/** @throws {Refusal} `not_tls` */
function helloIn(bytes: Buffer): Extract<ClientHello, { kind: "hello" }> | undefined {
  const hello = readClientHello(bytes);
  if (hello.kind === "not_tls") throw new Refusal("not_tls", "port 443 is for TLS");
  return hello.kind === "hello" ? hello : undefined;
}

interface Ends {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Already read from the client. */
  readonly first: Buffer;
  readonly row: TrafficRow;
  readonly idleMs: number;
}

/** Both ways until both have ended, one failed, or nothing moves. */
function relay({ client, upstream, first, row, idleMs }: Ends): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      client.destroy();
      upstream.destroy();
      resolve();
    };
    client.on("data", (chunk: Buffer) => row.up(chunk.length)).on("close", end);
    upstream.on("data", (chunk: Buffer) => row.down(chunk.length)).on("close", end);
    // Whatever moves on the one end moves on the other, but for a peer that reads nothing: that is idle, too.
    upstream.setTimeout(idleMs, end);
    if (first.length > 0) {
      row.up(first.length);
      upstream.write(first);
    }
    client.pipe(upstream);
    upstream.pipe(client);
    if (client.destroyed || upstream.destroyed) end();
  });
}

/** A client that still sends must not lose the reply to a reset. */
async function sayGoodbye(
  client: Socket,
  refusal: Refusal,
  isOpen: boolean,
  { limits, signal }: TunnelContext,
): Promise<void> {
  if (client.destroyed) return;
  const deadline = deadlineAfter(limits.refusedMs, signal);
  try {
    const closed = new Promise<void>(resolve => client.once("close", () => resolve()));
    client.removeAllListeners("readable");
    client.resume();
    if (!isOpen) client.end(refusalReply(refusal));
    else if (refusal.reason === "sni") client.end(UNRECOGNIZED_NAME);
    else client.end();
    await within(closed, deadline);
  } catch {
    // It reads nothing: it is cut.
  } finally {
    deadline.dispose();
  }
}
