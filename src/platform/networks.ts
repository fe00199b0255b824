/** Lists of networks from the configuration: is an address in one of them? */
import { BlockList, isIP } from "node:net";
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
