/**
 * How listeners and next hops are written in the configuration: `unix:/path`, `inet:host:port`, `inet:[::1]:port`,
 * `tls:host:port`. Pure. Sources: Postfix `inet:`/`unix:` notation (master(5)); unix(7) for the length of a socket path.
 */
import { MairustError } from "../core/errors.ts";

export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "inet" | "tls"; readonly host: string; readonly port: number };

/** `sun_path` of unix(7) has 108 bytes with its NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

const HOST_PORT = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/;

/**
 * @param spec  e.g. `unix:/run/mairust/api.sock`; port 0 lets the system choose
 * @throws {MairustError} `config_invalid`: the text says what is allowed
 */
export function parseListenSpec(spec: string): ListenAddress {
  const fail = (reason: string) =>
    new MairustError("config_invalid", `Cannot use listener "${spec}": ${reason}`);
  const colon = spec.indexOf(":");
  const kind = spec.slice(0, colon);
  const rest = spec.slice(colon + 1);
  if (kind === "unix") {
    const bytes = Buffer.byteLength(rest);
    if (!rest.startsWith("/")) throw fail("the path is not absolute");
    if (rest.endsWith("/") || rest.includes("\0")) throw fail("the path names no file");
    if (bytes > MAX_SOCKET_PATH_BYTES)
      throw fail(`the path has ${bytes} bytes, a UNIX socket path at most ${MAX_SOCKET_PATH_BYTES}`);
    return { kind, path: rest };
  }
  if (kind !== "inet" && kind !== "tls") throw fail("it does not begin with unix:, inet: or tls:");
  const match = HOST_PORT.exec(rest);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined)
    throw fail("after the kind comes host:port, an IPv6 address in brackets");
  const port = Number(match[3]);
  if (port > 65_535) throw fail("the port is over 65535");
  return { kind, host, port };
}

/** True for addresses that only this host can reach. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === "unix") return true;
  return address.host === "localhost" || address.host === "::1" || /^127(\.\d{1,3}){3}$/.test(address.host);
}
