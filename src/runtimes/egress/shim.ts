/**
 * What a sandbox needs so that stock clients get out of it by the egress proxy: a program before the plugin's, the socket inside, and
 * what tells clients of a proxy. For sandboxes with a network namespace of their own: elsewhere the ports would be the host's.
 *
 * Clients that are told of proxies (curl, Python's urllib and requests, Go, Rust's reqwest, Node from 22.21 on) work unchanged. For
 * `local-only` all do: the listed ports answer inside as they would outside. Ports below 1024 cannot be listened on inside, they
 * need a client that speaks to the proxy.
 */
import type { EgressPolicy } from "../../core/ports/egress.ts";
import { parseDestination } from "./destination.ts";
import { SHIM_PROGRAM } from "./shim-program.ts";

export interface Shim {
  /** Goes before the plugin's command; runs inside, also within its limits and its seccomp filter (UNIX and INET sockets). */
  readonly prefix: readonly string[];
  /** Of the host, and where they are to be seen, read-only. */
  readonly binds: ReadonlyArray<{ readonly from: string; readonly to: string }>;
  readonly env: Readonly<Record<string, string>>;
}

/** Where the proxy's socket is inside. */
export const INSIDE_SOCKET = "/run/mairust-egress.sock";
export const PROXY_PORT = 3128;
const PERL = "/usr/bin/perl";
const FIRST_FREE_PORT = 1024;
/** Each is a descriptor of the shim, of which a sandbox allows few. */
const MAX_PORTS = 16;

/** @param socketPath  of the gate, on the host */
export function shimFor(policy: EgressPolicy, socketPath: string): Shim {
  const direct = policy.mode === "local-only" ? directPorts(policy.allow) : new Map<number, string>();
  const listen = [...direct].map(([port, target]) => `${port}=${target}`);
  if (!direct.has(PROXY_PORT)) listen.push(`${PROXY_PORT}`);
  return {
    prefix: [PERL, "-e", SHIM_PROGRAM, INSIDE_SOCKET, ...listen, "--"],
    binds: [{ from: socketPath, to: INSIDE_SOCKET }],
    env: policy.mode === "local-only" ? {} : proxyEnvironment(),
  };
}

/** By port, what CONNECT is said to. */
function directPorts(allow: readonly string[]): ReadonlyMap<number, string> {
  const ports = new Map<number, string>();
  for (const text of allow) {
    const port = parseDestination(text)?.port ?? 0;
    if (port >= FIRST_FREE_PORT && !ports.has(port) && ports.size < MAX_PORTS) ports.set(port, text);
  }
  return ports;
}

function proxyEnvironment(): Readonly<Record<string, string>> {
  const url = `http://127.0.0.1:${PROXY_PORT}`;
  return {
    HTTPS_PROXY: url,
    https_proxy: url,
    HTTP_PROXY: url,
    http_proxy: url,
    // Node from 22.21 and 24.5 on: fetch and http heed the variables above.
    NODE_USE_ENV_PROXY: "1",
  };
}
