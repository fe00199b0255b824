/**
 * What commands ask of the mail servers beside us: how Postfix and Dovecot are set up, which lines a stage needs, and what undoes
 * them. The engine (`site/`) runs in the command's process, as the user of the command; it needs no running service. Types only.
 */
import type { Config } from "./config/schema.ts";

export type StageName = "observe" | "hooks" | "mirror" | "store";

/** Where the two servers' settings are read from and written to; absent: the system's. */
export interface SitePlaces {
  /** Folder of `main.cf`. */
  readonly postfixDir?: string;
  /** Path of `dovecot.conf`. */
  readonly dovecotConfig?: string;
}

/** What the running service says, for a check that knows more with it. */
export interface SiteService {
  /** Checks of `/readyz`. */
  readonly checks: readonly { readonly name: string; readonly status: string; readonly detail?: string }[];
  readonly domains: readonly { readonly name: string; readonly stage: string }[];
  /** Further addresses of accounts, at most some hundreds. */
  readonly aliases: readonly string[];
}

/** What was found. */
export interface SiteReport {
  readonly postfix: { readonly version: string; readonly configDir: string } | undefined;
  readonly dovecot: { readonly version: string; readonly configFile: string } | undefined;
  /** Who is set up: in Postfix's table of the sidecar, or by a file in Dovecot. */
  readonly targets: readonly SiteState[];
  /** Faults that were found, worst first; empty: none. */
  readonly findings: readonly SiteFinding[];
}

/** How the two servers treat a domain or an address today. */
export interface SiteState {
  readonly scope: string;
  /** Postfix asks the milter (and delivers as before), or delivers to the sidecar. */
  readonly postfix: "none" | "milter" | "route";
  /** Dovecot shows its own mail, its own and the sidecar's copy, or the sidecar's. */
  readonly dovecot: "own" | "mirror" | "store";
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
  /** In stage `mirror`: Dovecot is to show the copy. Without it the step from `hooks` and back needs no change outside. */
  readonly showCopy?: boolean;
}

/** One change: lines of main.cf, a service of master.cf, a line of a table, a file. */
export interface SiteChange {
  readonly server: "postfix" | "dovecot";
  readonly file: string;
  /** As a person would type them; at least one. */
  readonly commands: readonly string[];
  /** The lines that stand there afterwards. */
  readonly lines: readonly string[];
  readonly why: string;
}

/** One file before and after. */
export interface SiteFile {
  readonly server: "postfix" | "dovecot";
  readonly path: string;
  /** Undefined: there is none. */
  readonly was: string | undefined;
  readonly text: string | undefined;
  /** Of a new file. */
  readonly mode: number;
}

export interface SitePlan {
  readonly target: SiteTarget;
  /** In the order to make them; empty: the servers are ready. */
  readonly changes: readonly SiteChange[];
  /** What takes them back, in the order to do it. */
  readonly undo: readonly SiteChange[];
  /** Why it cannot be done by us; empty: `apply` can. */
  readonly obstacles: readonly SiteFinding[];
  /** What `apply` writes, in this order. Holds secrets: not for printing. */
  readonly files: readonly SiteFile[];
}

export interface AppliedPlan {
  /** Folder with the files as they were; "": nothing had to be changed. */
  readonly backup: string;
  /** Files that were written or removed. */
  readonly changed: readonly string[];
  /** Commands that were run afterwards. */
  readonly reloaded: readonly string[];
  /** What was not waited for, and what may come of it. */
  readonly notes: readonly string[];
}

/**
 * Makes Dovecot show as read, in stage `store`, what the sidecar knows as read of an account. Both throw {MairustError}:
 * `invalid_argument` Dovecot cannot tell the account's name from others; `invalid_state` it refused; `deadline`.
 */
export interface SeenMarker {
  /**
   * What was marked since {@link forget} is left as its user has it now.
   * @returns how many messages are marked
   */
  mark(account: string): Promise<number>;
  /** The account is not in `store`, or not yet: what was marked in an earlier time there says nothing of what was read since. */
  forget(account: string): Promise<void>;
}

/** Messages of one mailbox that its user has read in stage `store`, and that the sidecar does not know as read. */
export interface ReadThere {
  /** As the sidecar names it, where it is the sidecar's. */
  readonly mailbox: string;
  readonly uid_validity: number;
  readonly uids: readonly number[];
}

/**
 * What an account has read in stage `store`.
 * @throws {MairustError} as {@link SeenMarker}
 */
export type FindRead = (account: string) => AsyncIterable<ReadThere>;

/**
 * Run something while the sidecar hands no mail to Dovecot, as far as the sidecar is there to be asked.
 * @throws what the work throws
 */
export type Quietly = <T>(work: () => Promise<T>) => Promise<T>;

export interface SiteEngines {
  inspect(config: Config, places: SitePlaces, service?: SiteService): Promise<SiteReport>;
  /** @throws {MairustError} `invalid_argument` the scope is no domain and no address */
  plan(config: Config, places: SitePlaces, target: SiteTarget): Promise<SitePlan>;
  /** What takes back all that was set up for this domain or address; `target.stage` says nothing. */
  planUndo(config: Config, places: SitePlaces, target: SiteTarget): Promise<SitePlan>;
  /**
   * Makes the changes after a backup, checks both servers' syntax and reloads them; when one fails, what was done is taken back.
   * @param quietly  around the reload of Dovecot, which ends LMTP in the midst of a message
   * @throws {MairustError} `invalid_state` an obstacle, a file that changed since the plan was made, or a server that refuses it
   */
  apply(
    config: Config,
    places: SitePlaces,
    plan: SitePlan,
    backupDir: string,
    quietly: Quietly,
  ): Promise<AppliedPlan>;
  /** For accounts whose lines are in place. @returns undefined: Dovecot is not on this host */
  seenMarker(places: SitePlaces): Promise<SeenMarker | undefined>;
  /** For accounts whose lines were in place. @returns undefined: Dovecot is not on this host */
  readFinder(places: SitePlaces): Promise<FindRead | undefined>;
}
