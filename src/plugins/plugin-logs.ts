/**
 * The logs of plugins: each line of a plugin's stderr goes to `<log_dir>/plugins/<id>.log`, never to the log of the service, because
 * it may hold parts of mail. Where the file cannot be written the plugin works all the same: the log of the service hears of it
 * once, and of how many lines were lost.
 */
import { join } from "node:path";
import type { Log } from "../core/ports/log.ts";
import { openRotatingLog, type RotatingLog } from "../platform/rotating-log.ts";
import type { Manifest } from "../wire/manifest.ts";
import { logLine } from "./log-lines.ts";

export interface PluginLogs {
  /**
   * @param line     one line, cut, controls made visible
   * @param logging  of its manifest
   */
  write(pluginId: string, line: string, logging?: Manifest["logging"]): void;
  /** Lines were lost before they came here. */
  dropped(pluginId: string, lines: number): void;
  /** Write what waits, report what was lost, close all files. */
  close(): Promise<void>;
}

export interface PluginLogsOptions {
  /** `log_dir`. */
  readonly logDir: string;
  readonly log: Log;
  readonly now: () => Date;
}

/** How often the log of the service hears of lost lines of one plugin, at most. */
const REPORT_MS = 60_000;

interface Entry {
  readonly file: RotatingLog;
  lost: number;
  reportedAt: number;
}

export function createPluginLogs(options: PluginLogsOptions): PluginLogs {
  return new FilePluginLogs(options);
}

class FilePluginLogs implements PluginLogs {
  readonly #options: PluginLogsOptions;
  readonly #folder: string;
  /** One per plugin that ever ran: two hosts, before and after a reload, write the same file. */
  readonly #entries = new Map<string, Entry>();
  #hasFailed = false;

  constructor(options: PluginLogsOptions) {
    this.#options = options;
    this.#folder = join(options.logDir, "plugins");
  }

  write(pluginId: string, line: string, logging?: Manifest["logging"]): void {
    const written = logLine(line, logging, this.#options.now());
    if (written !== undefined) this.#of(pluginId).file.write(written);
  }

  dropped(pluginId: string, lines: number): void {
    const entry = this.#of(pluginId);
    entry.lost += lines;
    if (performance.now() - entry.reportedAt >= REPORT_MS) this.#report(pluginId, entry);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ file }) => file.close()));
    for (const [id, entry] of this.#entries) this.#report(id, entry);
    this.#entries.clear();
  }

  #of(pluginId: string): Entry {
    const known = this.#entries.get(pluginId);
    if (known !== undefined) return known;
    const file = openRotatingLog({
      path: join(this.#folder, `${pluginId}.log`),
      onError: error => this.#onError(pluginId, error),
      onDropped: () => this.dropped(pluginId, 1),
    });
    const entry: Entry = { file, lost: 0, reportedAt: Number.NEGATIVE_INFINITY };
    this.#entries.set(pluginId, entry);
    return entry;
  }

  /** Once for all plugins: it is the same folder, and the counts that follow say that it goes on. */
  #onError(pluginId: string, error: Error): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.log.error("plugin_log_failed", { plugin: pluginId, folder: this.#folder, error });
  }

  #report(pluginId: string, entry: Entry): void {
    if (entry.lost === 0) return;
    this.#options.log.warn("plugin_log_dropped", { plugin: pluginId, lines: entry.lost });
    entry.lost = 0;
    entry.reportedAt = performance.now();
  }
}
