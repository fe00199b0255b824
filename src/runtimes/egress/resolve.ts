/**
 * Names of the egress proxy to addresses. DNS alone, and without the thread pool: `getaddrinfo` would let a plugin that asks for slow
 * names take the threads that mail needs for its files. Search domains and /etc/hosts are not looked at.
 */
import { Resolver } from "node:dns/promises";

/** All addresses of a name; none: it has none. Aborts with `signal`. */
export type EgressResolve = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

/** Addresses of one name that are used. */
const MAX_ADDRESSES = 16;
const TRY_MS = 3000;
const TRIES = 2;

export const dnsResolve: EgressResolve = async (host, signal) => {
  // Made for each name: it reads the name servers that hold now.
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
  const cancel = () => resolver.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = found.flatMap(one => (one.status === "fulfilled" ? one.value : []));
    // More than are looked at would be addresses that nobody checked.
    if (addresses.length > MAX_ADDRESSES) return addresses.slice(0, MAX_ADDRESSES);
    return addresses;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
};
