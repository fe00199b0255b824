/**
 * Where a plugin asks to be connected to: `host:port` as CONNECT and the allow list have it. Pure.
 *
 * One spelling for each place, so that a list, a record and a comparison mean the same: lower case, no dot at the end, addresses in
 * the system's own form. Names that some resolvers would take for an address (`127.1`, `0x7f000001`, `2130706433`) are none.
 * Sources: RFC 9110 §9.3.6 (CONNECT), RFC 1035 §2.3.4 (lengths), WHATWG URL "ends in a number" for names that mean addresses.
 */
import { isIP, SocketAddress } from "node:net";

export interface Destination {
  /** A name in lower case, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly isAddress: boolean;
}

const MAX_HOST_LENGTH = 253;
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/u;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/u;
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/u;

/** @returns undefined for what is no `host:port` */
export function parseDestination(text: string): Destination | undefined {
  const match = AUTHORITY.exec(text);
  if (match === null) return undefined;
  const [, ipv6, other = "", digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (ipv6 !== undefined) {
    if (isIP(ipv6) !== 6) return undefined;
    const host = new SocketAddress({ address: ipv6, family: "ipv6" }).address;
    return { host, port, isAddress: true };
  }
  if (isIP(other) === 4) return { host: other, port, isAddress: true };
  const host = other.toLowerCase().replace(/\.$/u, "");
  return isName(host) ? { host, port, isAddress: false } : undefined;
}

function isName(host: string): boolean {
  const labels = host.split(".");
  return (
    host.length <= MAX_HOST_LENGTH &&
    labels.every(label => LABEL.test(label)) &&
    !NUMBER.test(labels.at(-1) ?? "")
  );
}

/** `host:port`, an IPv6 address in brackets. */
export function destinationText({ host, port }: Destination): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
