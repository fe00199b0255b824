/**
 * Which peers may tell us of the client behind them (XFORWARD): networks of `lmtp.xforward_from`, and every peer on
 * a UNIX socket, which its file mode guards.
 */
import { BlockList, isIP } from "node:net";
import { MairustError } from "../../core/errors.ts";

/** Name of every peer on a UNIX socket. */
export const UNIX_PEER = "unix";

/**
 * @param networks  addresses or CIDR networks, IPv4 or IPv6
 * @returns         whether the peer (an address, or {@link UNIX_PEER}) is trusted
 * @throws {MairustError} `config_invalid`
 */
export function trustedPeers(networks: readonly string[]): (peer: string) => boolean {
  const list = new BlockList();
  for (const network of networks) addNetwork(list, network);
  return peer => {
    if (peer === UNIX_PEER) return true;
    const family = isIP(peer);
    return family !== 0 && list.check(peer, family === 4 ? "ipv4" : "ipv6");
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

/** The peer's address without the IPv4-in-IPv6 prefix of dual-stack listeners, or {@link UNIX_PEER}. */
export function peerName(socket: {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
}): string {
  if (socket.remoteAddress !== undefined) return socket.remoteAddress.replace(/^::ffff:(?=[\d.]+$)/iu, "");
  // A TCP peer that is gone already has no remote address either, but still a local one: never take it for a UNIX socket.
  return socket.localAddress === undefined ? UNIX_PEER : "gone";
}
