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

/** A plugin that runs as processes of this host and speaks JSON lines: what a runtime needs to start it. */
export interface ScriptSpec {
  readonly pluginId: string;
  /** Absolute path: working directory of the processes. */
  readonly folder: string;
  /** Program and arguments; relative paths are relative to `folder`. */
  readonly command: readonly string[];
  /** Calls at the same time, 1..16. */
  readonly workers: number;
  /** One line of stderr, controls made visible. */
  readonly onLog: (line: string) => void;
  /** Lines of stderr that were dropped in a flood. */
  readonly onLogDropped: (lines: number) => void;
  /** What the runtime noticed by itself: a process that ended, was killed or recycled. */
  readonly onNotice: (text: string) => void;
}

export type CreateTransport = (spec: ScriptSpec) => PluginTransport;
