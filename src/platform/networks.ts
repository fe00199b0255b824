/** Networks: those of the configuration, the one that a peer's address is counted by, and this host. */
import { BlockList, isIP, isIPv6 } from "node:net";
import { MairustError } from "../core/errors.ts";

/**
 * @param networks  addresses or CIDR networks, IPv4 or IPv6
 * @returns         whether an address is in one of them; what is no address is not
 * @throws {MairustError} `config_invalid`
 */
export function addressesIn(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) addNetwork(list, network);
  return address => {
    const family = isIP(address);
    return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
  };
}

function addNetwork(list: BlockList, network: string): void {
  const [address = "", prefix, ...more] = network.split("/");
  const family = isIP(address);
  const widest = family === 4 ? 32 : 128;
  const bits = prefix === undefined ? widest : /^\d{1,3}$/u.test(prefix) ? Number(prefix) : Number.NaN;
  if (family === 0 || more.length > 0 || !(bits <= widest)) {
    throw new MairustError("config_invalid", `Cannot read network "${network}": expected an address or CIDR`);
  }
  list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
}

/** An address without the IPv4-in-IPv6 prefix of dual-stack sockets. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/iu, "");
}

/**
 * What a peer is counted by: of IPv6 the network of 64 bits that one customer has at least (RFC 6177), since its other half is theirs
 * to choose.
 */
export function customerNetwork(peer: string): string {
  if (!isIPv6(peer) || isThisHost(peer) || peer.toLowerCase().startsWith("::ffff:")) return peer;
  const [front = [], back = []] = peer.split("::").map(half => half.split(":").filter(group => group !== ""));
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => "0");
  const groups = [...front, ...zeros, ...back].slice(0, 4).map(group => Number.parseInt(group, 16));
  return `${groups.map(group => group.toString(16)).join(":")}::/64`;
}

/** @param peer  an address, or "unix" */
export function isThisHost(peer: string): boolean {
  return peer === "unix" || peer === "::1" || peer.startsWith("127.") || peer.startsWith("::ffff:127.");
}
