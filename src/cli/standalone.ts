/**
 * What `main.ts` hands to the commands: the terminal, and the parts of the program that the command line may not import itself
 * (the composition root, migrations, the demonstration). Each is loaded when it is called, not before.
 */
import type { Readable, Writable } from "node:stream";
import type { Environment } from "../platform/config/environment.ts";
import type { LoadedConfig } from "../platform/config/load.ts";
import type { TimedDeadline } from "../platform/deadline.ts";
import type { TimelineBody } from "../wire/api/messages.ts";
import type { AuthorTools } from "../wire/author-calls.ts";
import type { LossProof } from "../wire/loss-calls.ts";
import type { PackageEngines } from "../wire/plugin-package-calls.ts";
import type { SiteEngines } from "../wire/site-calls.ts";
import type { TransferEngines } from "../wire/transfer-calls.ts";

export interface Terminal {
  readonly stdin: Readable;
  /** For bytes (`msg raw`); text goes through `out`. */
  readonly stdout: Writable;
  readonly stderr: Writable;
  out(text: string): void;
  err(text: string): void;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Somebody can answer questions. */
  readonly canAsk: boolean;
  /** Columns of a line. */
  readonly columns: number;
  /** A terminal, and NO_COLOR is not set. */
  readonly colors: boolean;
}

export interface ServiceLog {
  info(event: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
  warn(event: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
  error(event: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
}

/** What `compose()` gives, as far as the commands need it. */
export interface ServiceHandle {
  readonly log: ServiceLog;
  start(): Promise<void>;
  /** Drain until the deadline, then stop everything. */
  stop(deadline: TimedDeadline): Promise<void>;
  addresses(): readonly { readonly name: string; readonly address: string }[];
  reload(
    loaded: LoadedConfig,
  ): Promise<{ readonly applied: readonly string[]; readonly needRestart: readonly string[] }>;
}

/** How the service reads its configuration again for `POST /admin/reload`. */
export interface ComposeOptions {
  readonly reread: () => Promise<LoadedConfig>;
}

export interface MigrationState {
  readonly version: number;
  readonly name: string;
  readonly applied: boolean;
}

export interface Migrations {
  /** In their order. */
  status(): Promise<readonly MigrationState[]>;
  /** @returns what was applied now */
  up(): Promise<readonly MigrationState[]>;
  close(): Promise<void>;
}

export type SignalName = "SIGTERM" | "SIGINT" | "SIGHUP";

/** Signals since the first call of `next`, in order; none is lost between two calls. */
export interface Signals {
  next(): Promise<SignalName>;
  /** Take no more: the default action is back. */
  release(): void;
}

/** A folder with everything that a service needs to run for itself. */
export interface SiteOptions {
  /** Keep data here and use it again; absent: a temporary folder. */
  readonly dir: string | undefined;
  /** Its addresses are made when mail arrives. */
  readonly domain: string;
  /** `log.level` of its configuration. */
  readonly logLevel: "info" | "warn";
}

export interface Site {
  readonly dir: string;
  readonly configFile: string;
  /** What Dovecot would log in with. */
  readonly masterUser: string;
  readonly masterPassword: string;
  /** Delete the folder, if it is a temporary one. */
  remove(): Promise<void>;
}

export interface DemoOptions {
  readonly once: boolean;
  /** One line for people. */
  readonly say: (text: string) => void;
  readonly showTimeline: (timeline: TimelineBody) => void;
  readonly signals: () => Signals;
}

export interface Standalone {
  compose(loaded: LoadedConfig, options: ComposeOptions): Promise<ServiceHandle>;
  /** @throws when the database is away, or a running service uses the embedded one */
  migrations(loaded: LoadedConfig): Promise<Migrations>;
  devSite(options: SiteOptions): Promise<Site>;
  /** @returns true when everything arrived (and, without `once`, a signal came), false when a signal came before. @throws what did not work */
  demo(options: DemoOptions): Promise<boolean>;
  signals(): Signals;
  /** Import, export, verify: they read and write files as the user of the command. */
  transfer(): Promise<TransferEngines>;
  /** The proof that nothing is lost: it must outlive the service. */
  loss(): Promise<LossProof>;
  /** How Postfix and Dovecot are set up, and what a stage needs there. */
  site(): Promise<SiteEngines>;
  /** For authors of plugins: a project, its tests, a call on trial. */
  author(): Promise<AuthorTools>;
  /** Make, sign and look at packages of plugins. */
  packages(): Promise<PackageEngines>;
}

/** What the process was started with. */
export interface Surroundings {
  readonly terminal: Terminal;
  readonly env: Environment;
  readonly standalone: Standalone;
}
