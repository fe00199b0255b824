/**
 * What an administrator agrees to when a plugin is approved: rights, points, limits, and whom it is from. One value for what a
 * manifest asks for and for what was approved, so that an update can be compared with it. Pure.
 *
 * The order of terms is a partial one: `widenings(asked, approved)` is empty exactly when `asked` is nowhere above `approved`. A
 * network of `local-only` and one of `outbound-limited` stand beside each other, so that a step between them asks in both directions.
 */
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionName, PermissionsInput } from "../wire/permissions.ts";
import { PluginSecurityError, PluginValidationError } from "./errors.ts";
import { beyondRequest, grantsOf, missingPrerequisites } from "./permissions-grants.ts";
import type { HookPoint } from "./ports/hooks.ts";

/** Which mail a hook of its manifest sees at a point, where nobody sets a hook of theirs. */
export interface Scope {
  /** Patterns of addresses; "": any. */
  readonly recipients: string;
  readonly senders: string;
  /** Each recipient in a call of its own: none is told of the others. */
  readonly apart: boolean;
}

export type NetworkMode = "none" | "local-only" | "outbound-limited" | "unlimited";

export interface PluginTerms {
  /** Asked for, or granted. */
  readonly permissions: PermissionsInput;
  readonly points: readonly HookPoint[];
  /** By point: what failures of its hooks mean when nobody says otherwise. */
  readonly policies: Readonly<
    Partial<Record<HookPoint, { readonly onTimeout: string; readonly onError: string }>>
  >;
  /** By point; absent, as in an approval that did not tell of it: all mail, each recipient in a call of its own. */
  readonly scopes?: Readonly<Partial<Record<HookPoint, Scope>>>;
  /** `allow`: `host:port`, of `local-only` and `outbound-limited`. */
  readonly network: { readonly mode: NetworkMode; readonly allow: readonly string[] };
  /** Defaults filled in. */
  readonly limits: {
    readonly cpuMs: number;
    readonly memoryMb: number;
    readonly wallTimeMs: number | undefined;
    /** A folder of its own that stays. */
    readonly persistentDir: boolean;
  };
  /** `[caps]` and `[budget]`: `reject_per_hour`, `tokens_per_day` …; absent: without a cap. */
  readonly caps: Readonly<Record<string, number>>;
  readonly protocol: string;
  /** Programs of it run on this host: it is a script, or has a command that asks for its health. */
  readonly runsPrograms: boolean;
  /**
   * Host and port, or socket, where its manifest wants it to be called by HTTP. Undefined: it runs here, or where the
   * administrator's own `endpoint` says, which no update changes.
   */
  readonly remote: string | undefined;
  /** Fingerprint of the developer's key that signed the package; undefined: nobody did, or it is a folder. */
  readonly signer: string | undefined;
}

/** Limits of a plugin whose manifest sets none. */
export const DEFAULT_CPU_MS = 5000;
export const DEFAULT_MEMORY_MB = 256;

export interface TermsContext {
  readonly signer: string | undefined;
  /** `[plugin."id"] endpoint` of the administrator. */
  readonly endpoint: string | undefined;
}

/** What a manifest asks for, defaults filled in. */
export function termsOf(manifest: Manifest, { signer, endpoint }: TermsContext): PluginTerms {
  const { entry, hooks, limits, caps, budget } = manifest;
  const points = [...(hooks?.on ?? [])];
  const keysAt = (point: HookPoint) => ({ ...hooks, ...hooks?.[point] });
  const policyAt = (point: HookPoint) => {
    const keys = keysAt(point);
    return { onTimeout: keys.on_timeout ?? "tempfail", onError: keys.on_error ?? "tempfail" };
  };
  const scopeAt = (point: HookPoint): Scope => {
    const { filter_recipient_matches: to, filter_sender_matches: from, per_recipient: apart } = keysAt(point);
    return { recipients: to ?? "", senders: from ?? "", apart: apart ?? true };
  };
  return {
    permissions: manifest.permissions ?? {},
    points,
    policies: Object.fromEntries(points.map(point => [point, policyAt(point)])),
    scopes: Object.fromEntries(points.map(point => [point, scopeAt(point)])),
    network: networkOf(limits),
    limits: {
      cpuMs: limits?.cpu_ms ?? DEFAULT_CPU_MS,
      memoryMb: limits?.memory_mb ?? DEFAULT_MEMORY_MB,
      wallTimeMs: limits?.wall_time_ms,
      persistentDir: limits?.persistent_dir ?? false,
    },
    caps: numbersOf({ ...caps, ...budget }),
    protocol: entry.protocol ?? "none",
    runsPrograms: entry.command !== undefined || entry.health_cmd !== undefined,
    remote: endpoint === undefined && entry.endpoint !== undefined ? remoteOf(entry.endpoint) : undefined,
    signer,
  };
}

export function networkOf(limits: Manifest["limits"]): PluginTerms["network"] {
  return { mode: limits?.network ?? "none", allow: [...(limits?.network_allow ?? [])] };
}

/** May a URL stand in a setting? Where a list says what may be reached, it must be on it; else nothing is to be compared with. */
export function isOnList({ mode, allow }: PluginTerms["network"], url: URL): boolean {
  if (mode !== "outbound-limited" && mode !== "local-only") return true;
  return allow.some(one => isTargetWithin(hostAndPort(url), one));
}

/** How an answer beyond a budget is treated is no amount of anything. */
function numbersOf(values: Readonly<Record<string, unknown>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (typeof value === "number" ? [[name, value]] : [])),
  );
}

/** `host:port`, or `unix:` and the path of a socket. What is no URL stays as it is: two of them differ as texts. */
function remoteOf(endpoint: string): string {
  const socket = /^unix:\/\/([^:]+)/u.exec(endpoint)?.[1];
  if (socket !== undefined) return `unix:${socket}`;
  return URL.canParse(endpoint) ? hostAndPort(new URL(endpoint)) : endpoint;
}

function hostAndPort({ protocol, hostname, port }: URL): string {
  return `${hostname}:${port === "" ? (protocol === "http:" ? 80 : 443) : port}`;
}

/**
 * The terms with the rights that were really granted; everything else stays as it was asked for.
 *
 * @param grants  what is left out is not granted
 * @throws {PluginSecurityError} a right that was not asked for
 * @throws {PluginValidationError} `PERM_DEP_…`: what is left of the rights does not hold together
 */
export function grantedTerms(terms: PluginTerms, grants: PermissionsInput): PluginTerms {
  const granted = grantsOf(grants);
  const beyond = beyondRequest(granted, grantsOf(terms.permissions));
  if (beyond.length > 0) {
    const text = `${beyond.join(", ")}: the plugin does not ask for that`;
    throw new PluginSecurityError("plugin_security", `Cannot grant ${text}`, { publicText: text });
  }
  const missing = missingPrerequisites(granted);
  if (missing.length > 0) {
    const text = missing.map(one => `${one.code}: ${one.text}`).join("; ");
    throw new PluginValidationError("plugin_validation", `Cannot grant these rights: ${text}`, {
      publicText: text,
    });
  }
  return { ...terms, permissions: grants };
}

/** One thing that is asked for beyond what was approved. */
export interface Widening {
  readonly kind:
    | "permission"
    | "point"
    | "policy"
    | "scope"
    | "network"
    | "limit"
    | "cap"
    | "transport"
    | "remote"
    | "signer";
  /** Which of its kind: `read_body`, `pre_send`, `on_error` …; "" where there is only one. */
  readonly name: string;
  /** Values as terms hold them; undefined: none. */
  readonly approved: unknown;
  readonly asked: unknown;
}

/** @returns everything that somebody has to agree to; empty: nothing is asked for that was not approved */
export function widenings(asked: PluginTerms, approved: PluginTerms): readonly Widening[] {
  return [
    ...permissionWidenings(asked, approved),
    ...pointWidenings(asked, approved),
    ...scopeWidenings(asked, approved),
    ...networkWidenings(asked.network, approved.network),
    ...limitWidenings(asked.limits, approved.limits),
    ...capWidenings(asked.caps, approved.caps),
    ...originWidenings(asked, approved),
  ];
}

function permissionWidenings(asked: PluginTerms, approved: PluginTerms): readonly Widening[] {
  const valueIn = (terms: PluginTerms, name: PermissionName) => terms.permissions[name];
  return beyondRequest(grantsOf(asked.permissions), grantsOf(approved.permissions)).map(name => ({
    kind: "permission",
    name,
    approved: valueIn(approved, name),
    asked: valueIn(asked, name),
  }));
}

/** A policy away from `tempfail` lets mail pass, or refuses it, because of a failure. */
function pointWidenings(asked: PluginTerms, approved: PluginTerms): readonly Widening[] {
  return asked.points.flatMap((point): readonly Widening[] => {
    if (!approved.points.includes(point))
      return [{ kind: "point", name: point, approved: undefined, asked: point }];
    const [wanted, given] = [asked.policies[point], approved.policies[point]];
    const pairs = [
      ["on_timeout", wanted?.onTimeout, given?.onTimeout],
      ["on_error", wanted?.onError, given?.onError],
    ] as const;
    return pairs
      .filter(([, want = "tempfail", had = "tempfail"]) => want !== "tempfail" && want !== had)
      .map(([name, want, had]) => ({
        kind: "policy",
        name: `${point}.${name}`,
        approved: had ?? "tempfail",
        asked: want,
      }));
  });
}

const EVERYTHING: Scope = { recipients: "", senders: "", apart: true };

/**
 * A hook that sees mail which its reviewer did not agree to. Which of two patterns matches more cannot be told: another one asks, in
 * both directions, unless every address was agreed to.
 */
function scopeWidenings(asked: PluginTerms, approved: PluginTerms): readonly Widening[] {
  return asked.points.flatMap((point): readonly Widening[] => {
    if (!approved.points.includes(point)) return [];
    const [want, had] = [asked.scopes?.[point] ?? EVERYTHING, approved.scopes?.[point] ?? EVERYTHING];
    const pairs = [
      ["filter_recipient_matches", had.recipients, want.recipients],
      ["filter_sender_matches", had.senders, want.senders],
      ["per_recipient", had.apart, want.apart],
    ] as const;
    return pairs
      .filter(([, before, now]) => before !== "" && before !== false && now !== before)
      .map(([name, before, now]) => ({
        kind: "scope",
        name: `${point}.${name}`,
        approved: before,
        asked: now,
      }));
  });
}

function networkWidenings(
  asked: PluginTerms["network"],
  approved: PluginTerms["network"],
): readonly Widening[] {
  return isNetworkWithin(asked, approved) ? [] : [{ kind: "network", name: "", approved, asked }];
}

function isNetworkWithin(asked: PluginTerms["network"], approved: PluginTerms["network"]): boolean {
  if (asked.mode === "none" || approved.mode === "unlimited") return true;
  if (asked.mode === "unlimited" || asked.mode !== approved.mode) return false;
  return asked.allow.every(one => approved.allow.some(other => isTargetWithin(one, other)));
}

/** `*.suffix:port` stands for every name below the suffix, and for none else. */
function isTargetWithin(asked: string, approved: string): boolean {
  const [wantedHost, wantedPort] = splitTarget(asked);
  const [host, port] = splitTarget(approved);
  if (wantedPort !== port) return false;
  if (wantedHost === host) return true;
  return host.startsWith("*.") && wantedHost.length > host.length - 1 && wantedHost.endsWith(host.slice(1));
}

function splitTarget(target: string): readonly [host: string, port: number] {
  const colon = target.lastIndexOf(":");
  return [target.slice(0, colon).toLowerCase(), Number(target.slice(colon + 1))];
}

function limitWidenings(asked: PluginTerms["limits"], approved: PluginTerms["limits"]): readonly Widening[] {
  const unbounded = Number.POSITIVE_INFINITY;
  const pairs = [
    ["cpu_ms", asked.cpuMs, approved.cpuMs],
    ["memory_mb", asked.memoryMb, approved.memoryMb],
    ["wall_time_ms", asked.wallTimeMs ?? unbounded, approved.wallTimeMs ?? unbounded],
    ["persistent_dir", Number(asked.persistentDir), Number(approved.persistentDir)],
  ] as const;
  return pairs
    .filter(([, want, had]) => want > had)
    .map(([name, want, had]) => ({ kind: "limit", name, ...bounds(had, want) }));
}

/** What is left out has no cap: leaving one out is the widest that there is. */
function capWidenings(asked: PluginTerms["caps"], approved: PluginTerms["caps"]): readonly Widening[] {
  return Object.entries(approved).flatMap(([name, had]) => {
    const want = asked[name] ?? Number.POSITIVE_INFINITY;
    return want > had ? [{ kind: "cap", name, ...bounds(had, want) } as const] : [];
  });
}

function bounds(had: number, want: number): Pick<Widening, "approved" | "asked"> {
  const named = (bound: number) => (Number.isFinite(bound) ? bound : undefined);
  return { approved: named(had), asked: named(want) };
}

/** Where it runs, and whose it is: what is new or other is not what was agreed to. */
function originWidenings(asked: PluginTerms, approved: PluginTerms): readonly Widening[] {
  const found: Widening[] = [];
  if (asked.protocol !== approved.protocol)
    found.push({ kind: "transport", name: "", approved: approved.protocol, asked: asked.protocol });
  if (asked.runsPrograms && !approved.runsPrograms)
    found.push({ kind: "transport", name: "programs", approved: false, asked: true });
  if (asked.remote !== undefined && asked.remote !== approved.remote)
    found.push({ kind: "remote", name: "", approved: approved.remote, asked: asked.remote });
  // A first signature takes nothing away; another key, or none any more, is another author.
  if (approved.signer !== undefined && asked.signer !== approved.signer)
    found.push({ kind: "signer", name: "", approved: approved.signer, asked: asked.signer });
  return found;
}
