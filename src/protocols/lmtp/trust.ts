/**
 * Which peers may tell us of the client behind them (XFORWARD): networks of `lmtp.xforward_from`, and every peer on
 * a UNIX socket, which its file mode guards.
 */
import { addressesIn, plainAddress } from "../../platform/networks.ts";

/** Name of every peer on a UNIX socket. */
export const UNIX_PEER = "unix";

/**
 * @param networks  addresses or CIDR networks, IPv4 or IPv6
 * @returns         whether the peer (an address, or {@link UNIX_PEER}) is trusted
 * @throws {MairustError} `config_invalid`
 */
export function trustedPeers(networks: readonly string[]): (peer: string) => boolean {
  const isIn = addressesIn(networks);
  return peer => peer === UNIX_PEER || isIn(peer);
}

/** The peer's address without the IPv4-in-IPv6 prefix of dual-stack listeners, or {@link UNIX_PEER}. */
export function peerName(socket: {
  readonly remoteAddress?: string | undefined;
  readonly localAddress?: string | undefined;
}): string {
  if (socket.remoteAddress !== undefined) return plainAddress(socket.remoteAddress);
  // A TCP peer that is gone already has no remote address either, but still a local one: never take it for a UNIX socket.
  return socket.localAddress === undefined ? UNIX_PEER : "gone";
}
