/**
 * What commands ask of the mail servers beside us: how Postfix and Dovecot are set up, which lines a stage needs, and what undoes
 * them. The engine (`site/`) runs in the command's process, as the user of the command; it needs no running service. Types only.
 */
import type { Config } from "./config/schema.ts";

export type StageName = "observe" | "hooks" | "mirror" | "store";

/** Where the two servers' settings are read from and written to; absent: the system's. */
export interface SitePlaces {
  readonly postfixDir?: string;
  readonly dovecotConfig?: string;
}

/** What was found, and by whom a stage is served today. */
export interface SiteReport {
  readonly postfix: { readonly version: string; readonly configDir: string } | undefined;
  readonly dovecot: { readonly version: string; readonly configFile: string } | undefined;
  /** Faults that were found, worst first; empty: none. */
  readonly findings: readonly SiteFinding[];
}

export interface SiteFinding {
  /** Stable, for scripts: `milter_unreachable`. */
  readonly code: string;
  readonly severity: "error" | "warning" | "advice";
  /** What is wrong, in one sentence. */
  readonly what: string;
  /** Why that matters, or what follows. */
  readonly cause: string;
  /** What to do, as a command or a line where possible. */
  readonly fix: string;
}

/** A domain, or one address of it, that is to be in a stage. */
export interface SiteTarget {
  readonly scope: string;
  readonly stage: StageName;
}

/** One change: a line of main.cf, a service of master.cf, a line of a table, a file. */
export interface SiteChange {
  readonly server: "postfix" | "dovecot";
  readonly file: string;
  /** As a person would type them. */
  readonly commands: readonly string[];
  /** The lines that stand there afterwards. */
  readonly lines: readonly string[];
  readonly why: string;
}

export interface SitePlan {
  readonly target: SiteTarget;
  /** In the order to make them; empty: the servers are ready. */
  readonly changes: readonly SiteChange[];
  /** What takes them back, in the order to do it. */
  readonly undo: readonly SiteChange[];
  /** Why it cannot be done by us; empty: `apply` can. */
  readonly obstacles: readonly SiteFinding[];
}

export interface AppliedPlan {
  /** Folder with the files as they were, and what `undo` reads. */
  readonly backup: string;
  readonly changed: readonly string[];
}

export interface SiteEngines {
  inspect(config: Config, places: SitePlaces): Promise<SiteReport>;
  plan(config: Config, places: SitePlaces, target: SiteTarget): Promise<SitePlan>;
  /** Makes the changes after a backup and reloads the servers; when one fails, what was done is taken back. */
  apply(config: Config, places: SitePlaces, plan: SitePlan, backupDir: string): Promise<AppliedPlan>;
  /** Takes back what a plan or an earlier `apply` of this target put there. */
  undo(config: Config, places: SitePlaces, target: SiteTarget, backupDir: string): Promise<AppliedPlan>;
}
