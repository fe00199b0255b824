/**
 * What one plugin may be connected to: by name and port before anything is looked up, by address after. Pure.
 *
 * - `outbound-limited`: names of the list, on ports 80 and 443, at public addresses.
 * - `unlimited`: any name, on ports 80 and 443, at public addresses. A name that is listed may be at a private address of the network
 *   around (never at loopback, link-local or metadata addresses).
 * - `local-only`: the loopback pairs of the list, and of those none that belongs to the mail system or to this service.
 */
import { PluginValidationError } from "../../core/errors.ts";
import type { EgressPolicy } from "../../core/ports/egress.ts";
import { addressClass } from "../../platform/address-class.ts";
import { type Destination, destinationText, parseDestination } from "./destination.ts";
import { Refusal } from "./refusal.ts";

/** Plain and TLS web: what model servers and web hooks are reached by. Nothing here can be used to send mail. */
const WEB_PORTS: readonly number[] = [80, 443];
/** Of every mail system: SMTP, LMTP, POP3, IMAP, submission, ManageSieve. */
export const MAIL_PORTS: readonly number[] = [24, 25, 110, 143, 465, 587, 993, 995, 4190];
const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1"];
const MAX_ALLOWED = 100;

interface Entry {
  /** `*.` left out. */
  readonly host: string;
  readonly port: number;
  /** The names below `host`, and not `host` itself. */
  readonly below: boolean;
}

export interface EgressRules {
  readonly mode: EgressPolicy["mode"];
  readonly entries: readonly Entry[];
}

/**
 * @param reserved  ports of this host that are never a plugin's, besides {@link MAIL_PORTS}
 * @throws {PluginValidationError} `plugin_validation`: an entry that can never be used
 */
export function readRules(plugin: string, policy: EgressPolicy, reserved: ReadonlySet<number>): EgressRules {
  const fail = (why: string) =>
    new PluginValidationError("plugin_validation", `Cannot open the network of plugin "${plugin}": ${why}`);
  if (policy.allow.length > MAX_ALLOWED)
    throw fail(`the list has ${policy.allow.length} places, allowed are ${MAX_ALLOWED}`);
  const entries = policy.allow.map(text => {
    const below = text.startsWith("*.");
    const place = parseDestination(below ? text.slice(2) : text);
    if (place === undefined || (below && place.isAddress)) throw fail(`"${text}" is not host:port`);
    const why = unusable(policy.mode, place, below, reserved);
    if (why !== undefined) throw fail(`"${text}": ${why}`);
    return { host: place.host, port: place.port, below };
  });
  return { mode: policy.mode, entries };
}

function unusable(
  mode: EgressPolicy["mode"],
  { host, port }: Destination,
  below: boolean,
  reserved: ReadonlySet<number>,
): string | undefined {
  if (mode !== "local-only")
    return WEB_PORTS.includes(port) ? undefined : "only ports 80 and 443 can be used";
  if (below || (host !== "localhost" && !LOOPBACKS.includes(host)))
    return "local-only reaches 127.0.0.1, [::1] and localhost";
  return isOwn(port, reserved) ? "the port belongs to the mail system" : undefined;
}

const isOwn = (port: number, reserved: ReadonlySet<number>) =>
  MAIL_PORTS.includes(port) || reserved.has(port);

/** @throws {Refusal} `own_port`, `port`, `not_listed` */
export function checkAsked(rules: EgressRules, asked: Destination, reserved: ReadonlySet<number>): void {
  const where = destinationText(asked);
  if (rules.mode === "local-only") {
    if (isOwn(asked.port, reserved))
      throw new Refusal("own_port", `${where} is refused: the port belongs to the mail system`);
    if (localAddresses(rules, asked).length === 0) throw notListed(where);
    return;
  }
  if (!WEB_PORTS.includes(asked.port))
    throw new Refusal("port", `${where} is refused: only ports 80 and 443 can be used`);
  if (rules.mode === "outbound-limited" && !rules.entries.some(entry => matches(entry, asked)))
    throw notListed(where);
}

const notListed = (where: string) =>
  new Refusal("not_listed", `${where} is refused: it is not in the plugin's network_allow`);

function matches({ host, port, below }: Entry, asked: Destination): boolean {
  if (port !== asked.port) return false;
  if (!below) return host === asked.host;
  return !asked.isAddress && asked.host.endsWith(`.${host}`);
}

/** @returns the loopback addresses that the list lets `asked` mean; none: it is not listed */
export function localAddresses({ entries }: EgressRules, asked: Destination): readonly string[] {
  const meant = asked.host === "localhost" ? LOOPBACKS : [asked.host];
  return LOOPBACKS.filter(
    address =>
      meant.includes(address) &&
      entries.some(({ host, port }) => port === asked.port && (host === address || host === "localhost")),
  );
}

/**
 * One bad address refuses the whole name: which of them would be connected to is chance.
 * @throws {Refusal} `address`
 */
export function checkAddresses(rules: EgressRules, asked: Destination, addresses: readonly string[]): void {
  for (const address of addresses) {
    const kind = addressClass(address);
    if (kind === "public") continue;
    const named = rules.entries.some(entry => !entry.below && matches(entry, asked));
    if (rules.mode === "unlimited" && kind === "private" && named) continue;
    throw new Refusal("address", `${destinationText(asked)} is refused: it is at a ${kind} address`);
  }
}
