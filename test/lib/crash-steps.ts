/**
 * The named steps of a delivery at which crash tests kill, in their order: the one list of them.
 *
 * Four are told by the delivery path itself ({@link DeliveryStep}). The others are what the process asks of the system, seen from
 * outside by `crash-probe.ts`: blob files, bytes to and from PostgreSQL, replies to the LMTP client. So the service has no switch for
 * them, and a step that the code no longer passes shows as one that was never reached.
 */
import type { DeliveryStep } from "../../src/delivery/intake-options.ts";

export type CrashStep =
  | DeliveryStep
  | "blob_opened"
  | "blob_torn"
  | "blob_written"
  | "blob_synced"
  | "blob_renamed"
  | "blob_replaced"
  | "blob_directory_synced"
  | "statement_unsent"
  | "statement_torn"
  | "statement_sent"
  | "statement_running"
  | "statement_answered"
  | "redelivery_answered"
  | "reply_unsent"
  | "reply_torn"
  | "reply_sent";

/**
 * Who is killed. `sidecar`: its PostgreSQL is then told to end by the system, as after a crash of the process alone. `both`: PostgreSQL
 * first, then the sidecar at once. `postgres`: PostgreSQL alone, the sidecar lives on.
 */
export type CrashVictim = "sidecar" | "both" | "postgres";

export interface StepFacts {
  readonly what: string;
  /** PostgreSQL alone may be killed here: what the sidecar was about to do depends on it. */
  readonly withoutPostgres: boolean;
  /** Nothing but mail that comes again is sent. */
  readonly redeliveriesOnly?: true;
  /** Not every message gets there: it is killed at the first that does. */
  readonly rare?: true;
  /** Only mail of the relay stages gets there. Default: of stage `store`. */
  readonly path?: "relay";
}

export const CRASH_STEPS: Readonly<Record<CrashStep, StepFacts>> = {
  received: { what: "all bytes are here, nothing is durable", withoutPostgres: true },
  decided: { what: "hooks have run", withoutPostgres: true },
  blob_opened: { what: "the temporary file is there, empty", withoutPostgres: false },
  blob_torn: { what: "half of a write is in the temporary file", withoutPostgres: false },
  blob_written: {
    what: "the temporary file was written to (durable at once for a small message)",
    withoutPostgres: false,
  },
  blob_synced: { what: "the file of a large message was fsynced", withoutPostgres: false, rare: true },
  blob_renamed: { what: "the file has its final name", withoutPostgres: false },
  blob_replaced: {
    what: "the file took the place of one with the same bytes",
    withoutPostgres: false,
    rare: true,
  },
  blob_directory_synced: { what: "its directory was fsynced", withoutPostgres: false },
  persisted: { what: "the blob is durable", withoutPostgres: true },
  statement_unsent: { what: "the batch's statement is about to be sent", withoutPostgres: true },
  statement_torn: { what: "half of the statement was handed to the system", withoutPostgres: false },
  statement_sent: { what: "all of the statement was handed to the system", withoutPostgres: true },
  statement_running: {
    what: "some milliseconds later: before, in or after PostgreSQL's commit",
    withoutPostgres: true,
  },
  statement_answered: { what: "its answer is here, nobody has read it", withoutPostgres: true },
  redelivery_answered: {
    what: "the same for a batch of redeliveries",
    withoutPostgres: true,
    redeliveriesOnly: true,
    rare: true,
  },
  committed: { what: "the rows are durable, nobody was answered", withoutPostgres: true },
  pending: { what: "the mirror's copy waits in the database", withoutPostgres: true, path: "relay" },
  relay_open: {
    what: "it is written down that the end is about to be sent to the next hop",
    withoutPostgres: true,
    path: "relay",
  },
  relay_sent: { what: "the end was sent to the next hop", withoutPostgres: true, path: "relay" },
  relayed: { what: "the next hop has answered, nothing is recorded", withoutPostgres: true, path: "relay" },
  relay_recorded: {
    what: "its answer is durable, nobody was answered",
    withoutPostgres: true,
    path: "relay",
  },
  reply_unsent: { what: "the replies are about to be sent", withoutPostgres: false },
  reply_torn: {
    what: "the first of several recipients' replies was sent",
    withoutPostgres: false,
    rare: true,
  },
  reply_sent: { what: "all replies were handed to the system", withoutPostgres: false },
};

const ALL_STEPS = Object.keys(CRASH_STEPS) as readonly CrashStep[];

/** Of stage `store`. */
export const CRASH_STEP_NAMES = ALL_STEPS.filter(step => CRASH_STEPS[step].path === undefined);

/** Of the relay stages. */
export const RELAY_STEP_NAMES: readonly CrashStep[] = [
  "received",
  "decided",
  "blob_renamed",
  ...ALL_STEPS.filter(step => CRASH_STEPS[step].path === "relay"),
  "reply_unsent",
  "reply_torn",
  "reply_sent",
];

/** A kill at a step of the service's deliveries. */
export interface CrashPlan {
  readonly step: CrashStep;
  /** How often the step is let pass first. Default 0. */
  readonly skip?: number;
  /** Default `sidecar`. */
  readonly victim?: CrashVictim;
}

export function isCrashStep(text: string): text is CrashStep {
  return Object.hasOwn(CRASH_STEPS, text);
}

export function isCrashVictim(text: string): text is CrashVictim {
  return text === "sidecar" || text === "both" || text === "postgres";
}
