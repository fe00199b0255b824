/** What the Hook Manager needs to know of a plugin. `plugins/` makes these, `hooks/` uses them; neither knows the other. */
import type { Grants } from "./permissions-grants.ts";
import type { HookPoint } from "./ports/hooks.ts";
import type { PluginTransport } from "./ports/plugin-transport.ts";
import type { Confinement } from "./ports/sandbox.ts";

/** Values of a plugin's settings, defaults filled in. */
export type SettingValues = Readonly<Record<string, string | number | boolean>>;

export interface HookPlugin {
  readonly id: string;
  readonly version: string;
  readonly grants: Grants;
  readonly settings: SettingValues;
  /** `plugin.<id>.bcc`: addresses that it may add as blind recipients. Absent: none. */
  readonly bccAllowed?: readonly string[];
  /** Longest call, whatever the hook allows; `Infinity` when the manifest sets none. */
  readonly wallTimeMs: number;
  /** What an answer beyond the grant means at a point: drop the item, or treat the whole call as failed. */
  onViolation(point: HookPoint): "drop" | "error";
  /** Undefined: the plugin could not be loaded (`failure` says why), so that each call fails and follows `on_error`. */
  readonly transport: PluginTransport | undefined;
  readonly failure: string | undefined;
}

export interface HookPlugins {
  find(id: string): HookPlugin | undefined;
}

/** One HTTP resource that a runtime asks. */
export interface HttpTarget {
  /** http or https; with `socketPath` the host stands only in the Host field. */
  readonly endpoint: URL;
  readonly socketPath: string | undefined;
  /** The administrator has named this endpoint: a private address or plain HTTP is meant. */
  readonly approved: boolean;
}

/** How the manifest wants the plugin's health to be asked for. */
export type HealthSpec =
  /** @property folder  absolute path: working directory of the command */
  | { readonly kind: "command"; readonly command: readonly string[]; readonly folder: string }
  | ({ readonly kind: "endpoint" } & HttpTarget);

/** What a runtime needs to know of every plugin. */
interface CommonSpec {
  readonly pluginId: string;
  /** Version of the manifest. */
  readonly version: string;
  /** Undefined: the way of the transport itself. */
  readonly health?: HealthSpec | undefined;
  /** One line of a process's stderr, controls made visible. */
  readonly onLog: (line: string) => void;
  /** Lines of stderr that were dropped in a flood. */
  readonly onLogDropped: (lines: number) => void;
  /** What the runtime noticed by itself: a process that ended, was killed or recycled, a connection that was refused. */
  readonly onNotice: (text: string) => void;
  /** A process ended by itself, or by a limit of its sandbox (not by the time-out of a call): the crash rule counts these. */
  readonly onCrash?: (reason: string) => void;
  /** How much of this host its processes may use, that of `health_cmd` among them. Absent: as plain child processes. */
  readonly confinement?: Confinement;
}

/** A plugin that runs as processes of this host. */
export interface ScriptSpec extends CommonSpec {
  readonly kind: "script";
  /** `worker`: one process, JSON lines; `spawn`: a process for each call. */
  readonly mode: "worker" | "spawn";
  /** Absolute path: working directory of the processes. */
  readonly folder: string;
  /** Program and arguments; relative paths are relative to `folder`. */
  readonly command: readonly string[];
  /** Calls at the same time, 1..16. */
  readonly workers: number;
}

/** A plugin that is called by HTTP: over TCP, or over a UNIX socket. */
export interface HttpSpec extends CommonSpec, HttpTarget {
  readonly kind: "http";
  /** Asked for each call. */
  readonly secrets: () => SigningSecrets;
  /** A request that the staged secret alone signed was answered 2xx: its receiver knows it. */
  readonly onStagedProved?: () => Promise<void>;
}

/** What requests to one plugin are signed with. */
export interface SigningSecrets {
  /** At least one. The first alone makes `X-MaiRust-Signature`, all of them `webhook-signature`. */
  readonly signing: readonly Uint8Array[];
  /** One of `signing`, of which nobody knows yet whether the receiver has it. */
  readonly staged: Uint8Array | undefined;
}

export type TransportSpec = ScriptSpec | HttpSpec;

export type CreateTransport = (spec: TransportSpec) => PluginTransport;
