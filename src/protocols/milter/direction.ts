/**
 * Which way a message goes: submission of our own users, or mail from outside. Pure but for the network list it is given.
 * Loopback is in no network by default: it also carries mail that was sent through a filter and comes back.
 * Source: mail-path.md §1
 */
import type { Direction } from "../../core/ports/milter.ts";

export interface OutboundRules {
  /** `milter.outbound_daemons`: values of {daemon_name}. */
  readonly daemons: readonly string[];
  /** `milter.outbound_networks`, as `addressesIn` reads them. */
  readonly isInNetwork: (address: string) => boolean;
}

export interface DirectionFacts {
  /** {auth_authen}; undefined or "" when nobody logged in. */
  readonly authUser: string | undefined;
  readonly daemonName: string;
  readonly clientAddress: string | undefined;
}

export function directionOf(facts: DirectionFacts, rules: OutboundRules): Direction {
  const { authUser, daemonName, clientAddress } = facts;
  const isOutbound =
    (authUser !== undefined && authUser !== "") ||
    (daemonName !== "" && rules.daemons.includes(daemonName)) ||
    (clientAddress !== undefined && rules.isInNetwork(clientAddress));
  return isOutbound ? "outbound" : "inbound";
}
