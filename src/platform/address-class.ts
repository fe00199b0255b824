/**
 * What kind of network an address belongs to, so that nothing that a manifest, a name server or a redirect says can make the
 * service connect to what only this host or this network can reach (server-side request forgery). Pure.
 *
 * What is not known to be public is not: of IPv6 only 2000::/3 is, less its special parts. An IPv4 address inside an IPv6 one
 * (mapped, NAT64) is judged as what it is.
 * Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6052 §2.1 (NAT64), RFC 4291 §2.5.5.2 (mapped).
 */
import { BlockList, isIP, SocketAddress } from "node:net";

export type AddressClass =
  | "public"
  | "loopback"
  /** Private use, unique local, shared (carrier NAT). */
  | "private"
  | "link-local"
  /** Where clouds tell their guests secrets. */
  | "metadata"
  | "multicast"
  /** 0.0.0.0 and ::, which Linux takes for this host. */
  | "unspecified"
  /** Anything else that is not public: documentation, benchmarks, tunnels, future use. */
  | "reserved";

/** First match wins. Metadata first: some of its addresses lie in the networks below it, one in a public one. */
const IPV4: ReadonlyArray<readonly [AddressClass, readonly string[]]> = [
  [
    "metadata",
    ["169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"],
  ],
  ["loopback", ["127.0.0.0/8"]],
  ["unspecified", ["0.0.0.0/8"]],
  ["private", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]],
  ["link-local", ["169.254.0.0/16"]],
  ["multicast", ["224.0.0.0/4"]],
  [
    "reserved",
    [
      "192.0.0.0/24",
      "192.0.2.0/24",
      "192.88.99.0/24",
      "198.18.0.0/15",
      "198.51.100.0/24",
      "203.0.113.0/24",
      "240.0.0.0/4",
    ],
  ],
];
const IPV6: ReadonlyArray<readonly [AddressClass, readonly string[]]> = [
  ["metadata", ["fd00:ec2::/32"]],
  ["loopback", ["::1/128"]],
  ["unspecified", ["::/128"]],
  ["private", ["fc00::/7", "fec0::/10"]],
  ["link-local", ["fe80::/10"]],
  ["multicast", ["ff00::/8"]],
  ["reserved", ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]],
  ["public", ["2000::/3"]],
];

/** Prefixes of 96 bits after which an IPv4 address stands. */
const MAPPED = "::ffff:0:0";
const NAT64 = "64:ff9b::";

interface Rules {
  readonly lists: ReadonlyArray<readonly [AddressClass, BlockList]>;
  readonly fallback: AddressClass;
}

const V4_RULES = rules(IPV4, "ipv4", "public");
const V6_RULES = rules(IPV6, "ipv6", "reserved");

/** @param address  IPv4 or IPv6, as `dns.lookup` or a URL has it; a zone (`%eth0`) is left out of account */
export function addressClass(address: string): AddressClass {
  const plain = address.replace(/%.*$/u, "");
  const family = isIP(plain);
  if (family === 0) return "reserved";
  if (family === 4) return find(V4_RULES, plain, "ipv4");
  const mapped = embedded(plain, MAPPED);
  if (mapped !== undefined) return find(V4_RULES, mapped, "ipv4");
  const translated = embedded(plain, NAT64);
  // A translator's loopback is not ours.
  if (translated !== undefined)
    return find(V4_RULES, translated, "ipv4") === "public" ? "public" : "reserved";
  return find(V6_RULES, plain, "ipv6");
}

function rules(
  table: ReadonlyArray<readonly [AddressClass, readonly string[]]>,
  family: "ipv4" | "ipv6",
  fallback: AddressClass,
): Rules {
  const lists = table.map(([name, networks]) => {
    const list = new BlockList();
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      list.addSubnet(address, Number(bits), family);
    }
    return [name, list] as const;
  });
  return { lists, fallback };
}

function find({ lists, fallback }: Rules, address: string, family: "ipv4" | "ipv6"): AddressClass {
  return lists.find(([, list]) => list.check(address, family))?.[0] ?? fallback;
}

/** @returns the IPv4 address in the last 32 bits, when the 96 before are `prefix` */
function embedded(address: string, prefix: string): string | undefined {
  const groups = groupsOf(address);
  if (
    groupsOf(prefix)
      .slice(0, 6)
      .some((group, i) => group !== groups[i])
  )
    return undefined;
  const [high = 0, low = 0] = groups.slice(6);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** The eight groups of an IPv6 address, whichever way it was written. */
function groupsOf(address: string): readonly number[] {
  // The system's own form ends in dotted decimal for mapped addresses; then that part is two groups.
  const canonical = new SocketAddress({ address, family: "ipv6" }).address.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/u,
    (_, a, b, c, d) => `${(a * 256 + +b).toString(16)}:${(c * 256 + +d).toString(16)}`,
  );
  const [head = "", tail] = canonical.split("::");
  const split = (part: string) =>
    part === "" ? [] : part.split(":").map(group => Number.parseInt(group, 16));
  if (tail === undefined) return split(head);
  const end = split(tail);
  const begin = split(head);
  return [...begin, ...Array<number>(8 - begin.length - end.length).fill(0), ...end];
}
