/** What the Hook Manager needs to know of a plugin. `plugins/` makes these, `hooks/` uses them; neither knows the other. */
import type { Grants } from "./permissions-grants.ts";
import type { HookPoint } from "./ports/hooks.ts";
import type { PluginTransport } from "./ports/plugin-transport.ts";

/** Values of a plugin's settings, defaults filled in. */
export type SettingValues = Readonly<Record<string, string | number | boolean>>;

export interface HookPlugin {
  readonly id: string;
  readonly version: string;
  readonly grants: Grants;
  readonly settings: SettingValues;
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

/** What a runtime needs to know of every plugin. */
interface CommonSpec {
  readonly pluginId: string;
  /** Version of the manifest. */
  readonly version: string;
  /** One line of a process's stderr, controls made visible. */
  readonly onLog: (line: string) => void;
  /** Lines of stderr that were dropped in a flood. */
  readonly onLogDropped: (lines: number) => void;
  /** What the runtime noticed by itself: a process that ended, was killed or recycled, a connection that was refused. */
  readonly onNotice: (text: string) => void;
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
export interface HttpSpec extends CommonSpec {
  readonly kind: "http";
  /** http or https; with `socketPath` the host stands only in the Host field. */
  readonly endpoint: URL;
  readonly socketPath: string | undefined;
  readonly healthEndpoint: URL | undefined;
  /** The administrator has named this endpoint: a private address or plain HTTP is meant. */
  readonly approved: boolean;
  /** What requests are signed with, the first one alone in `X-MaiRust-Signature`, all of them in `webhook-signature`. Asked for each call. */
  readonly secrets: () => readonly Uint8Array[];
}

export type TransportSpec = ScriptSpec | HttpSpec;

export type CreateTransport = (spec: TransportSpec) => PluginTransport;
