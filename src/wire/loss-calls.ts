/**
 * What the loss proof asks of the running service, and what the command asks of the proof. The engine (`loss/`) runs in the command's
 * process: it must outlive the service. Types only.
 */
import type { KillStep } from "./kill-steps.ts";
import type { ImapLogin } from "./transfer-calls.ts";

/** Where the service is ended: at a step of a delivery, or at any time. */
export type KillPoint = KillStep | "random";

export interface ServiceState {
  readonly pid: number;
  /** Another one than before: it was started again. */
  readonly startedAt: string;
}

/** One copy of a canary that an account has. */
export interface FoundCopy {
  readonly bytes: Uint8Array;
  readonly storedAt: Date;
}

export interface LossCalls {
  /** undefined: away, or not ready. */
  state(): Promise<ServiceState | undefined>;
  arm(step: KillStep, withinS: number): Promise<void>;
  /** Never rejects. */
  disarm(): Promise<void>;
  /** All copies in the mailboxes of an account. */
  find(account: string, messageId: string): Promise<readonly FoundCopy[]>;
  /** It is not in a mailbox, but kept for a decision. */
  isHeld(messageId: string): Promise<boolean>;
}

/** Canaries that are sent together; one kill at most. */
export interface LossRound {
  /** undefined: nobody is ended. */
  readonly kill: KillPoint | undefined;
  readonly messages: number;
}

export interface LossOptions {
  /** Unguessable; in each canary, so that nothing else is ever taken for one. */
  readonly run: string;
  readonly hostname: string;
  /** "": the null sender. */
  readonly from: string;
  /** In turn. */
  readonly recipients: readonly string[];
  /** Postfix's SMTP server: `inet:host:port` or `unix:/path`. */
  readonly through: string;
  /** Postfix's `config_directory` on this host; "" is the default instance; undefined: no look at the queue. */
  readonly postfix: string | undefined;
  readonly rounds: readonly LossRound[];
  readonly ratePerSecond: number;
  /** How long the service may take to come back after a kill. */
  readonly restartMs: number;
  /** How long Postfix may take to deliver what is left. */
  readonly drainMs: number;
  /** Where the canaries are read: by the service's API, or at the IMAP server that users read. */
  readonly imap: ((recipient: string) => ImapLogin) | undefined;
  readonly keep: boolean;
  readonly calls: LossCalls;
  readonly onProgress: (line: string) => void;
}

export interface LossRow {
  /** `none`: nobody was ended; `all` is the sum. */
  readonly step: KillPoint | "none" | "all";
  readonly sent: number;
  /** Postfix said 250. */
  readonly accepted: number;
  readonly kills: number;
  /** Accepted ones that are there, byte for byte. */
  readonly found: number;
  readonly lost: number;
  /** Copies beyond the first. */
  readonly doubles: number;
  /** There, but with other bytes. */
  readonly altered: number;
  /** A hook holds it: kept, in no mailbox. */
  readonly held: number;
  /** Still in Postfix's queue. */
  readonly waiting: number;
  /** From Postfix's 250 until it was stored. */
  readonly longest_delay_s: number;
}

export interface LossReport {
  readonly run: string;
  readonly steps: readonly LossRow[];
  readonly total: LossRow;
  /** What is missing, by name: at most 100. */
  readonly missing: readonly {
    readonly recipient: string;
    readonly queue_id: string;
    readonly message_id: string;
    readonly why: "lost" | "altered" | "waiting";
  }[];
  /** Kills that did not come about, a service that did not come back, canaries that could not be deleted. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

export interface LossProof {
  /** Which rounds prove it. @throws {MairustError} `invalid_argument`: fewer messages than kills */
  plan(points: readonly KillPoint[], killsEach: number, messages: number): readonly LossRound[];
  /** Can Postfix's queue be read? @returns why not; undefined: it can */
  queueProblem(postfix: string): Promise<string | undefined>;
  /** @throws {MairustError} `store_unavailable` Postfix or the service is away, `invalid_state` Postfix refuses the canaries */
  run(options: LossOptions): Promise<LossReport>;
}
