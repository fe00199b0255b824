/**
 * Where a plugin's requests may go: https to the public, anything to this host, the rest only where the administrator has named the
 * endpoint. The check is the name look-up that the connection itself makes, so the address that was checked is the one
 * connected to, and a name that points elsewhere tomorrow is checked tomorrow.
 * Fails as `plugin_failed` with the address and what it is.
 */
import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { messageOf, PluginSecurityError } from "../core/errors.ts";
import type { HttpTarget } from "../core/hook-plugin.ts";
import { addressClass } from "../platform/address-class.ts";

/** All addresses of a name, as the system knows them. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

export const systemResolve: Resolve = host => lookup(host, { all: true, verbatim: true });

/** Host of a URL as sockets want it. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/gu, "");
}

/** @returns why requests must not go there, or undefined */
export function addressRefusal({ endpoint, approved }: HttpTarget, address: string): string | undefined {
  const kind = addressClass(address);
  if (approved || kind === "loopback") return undefined;
  const where = address === hostOf(endpoint) ? address : `${hostOf(endpoint)} is ${address}, which`;
  if (kind !== "public")
    return `${where} is a ${kind} address, and the administrator has not named the endpoint`;
  if (endpoint.protocol === "https:") return undefined;
  return `${where} is on another host, where http is plain to read, and the administrator has not named the endpoint`;
}

/** An address in the URL itself is never looked up. @throws {PluginSecurityError} `plugin_security` */
export function refuseLiteral(target: HttpTarget): void {
  const host = hostOf(target.endpoint);
  if (target.socketPath !== undefined || isIP(host) === 0) return;
  const why = addressRefusal(target, host);
  if (why !== undefined) throw refused(why);
}

/** A `lookup` of `net.connect` that lets no address through that {@link addressRefusal} names: one bad one refuses the name. */
export function checkedLookup(target: HttpTarget, resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    const look = async () => {
      const addresses = await resolve(host);
      for (const { address } of addresses) {
        const why = addressRefusal(target, address);
        if (why !== undefined) throw refused(why);
      }
      const [first] = addresses;
      if (first === undefined)
        throw Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND" });
      return { first, addresses };
    };
    look().then(
      ({ first, addresses }) =>
        options.all === true ? callback(null, [...addresses]) : callback(null, first.address, first.family),
      (error: unknown) => callback(error instanceof Error ? error : new Error(messageOf(error)), "", 0),
    );
  };
}

function refused(why: string): PluginSecurityError {
  return new PluginSecurityError("plugin_security", `Cannot connect: ${why}`, { context: { why } });
}
