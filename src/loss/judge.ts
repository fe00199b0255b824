/** What became of each canary, and the table of it by the step at which the service was ended. Pure. */
import type { FoundCopy, LossReport, LossRow } from "../wire/loss-calls.ts";
import { canaryDigest } from "./canary.ts";
import type { SentCanary } from "./sender.ts";

/** Missing canaries that the report names. */
export const MAX_MISSING = 100;

export interface JudgedCanary {
  readonly step: LossRow["step"];
  readonly sent: SentCanary;
  readonly copies: readonly FoundCopy[];
  readonly isHeld: boolean;
  /** It is in Postfix's queue. */
  readonly isWaiting: boolean;
}

/** What was promised: Postfix said 250 and has it no more. */
type Fate = "refused" | "found" | "altered" | "held" | "waiting" | "lost";

function fateOf({ sent, copies, isHeld, isWaiting }: JudgedCanary): Fate {
  if (copies.length > 0)
    return copies.every(copy => canaryDigest(copy.bytes) === sent.canary.digest) ? "found" : "altered";
  if (isHeld) return "held";
  if (isWaiting) return "waiting";
  // Without a 250 nobody promised anything.
  return sent.state === "accepted" ? "lost" : "refused";
}

/** @param kills  how often the service was ended at each step */
export function judge(
  canaries: readonly JudgedCanary[],
  kills: ReadonlyMap<LossRow["step"], number>,
): Pick<LossReport, "steps" | "total" | "missing"> {
  const steps = [...kills.keys()].map(step =>
    rowOf(
      step,
      canaries.filter(one => one.step === step),
      kills.get(step) ?? 0,
    ),
  );
  const all = [...kills.values()].reduce((sum, count) => sum + count, 0);
  return { steps, total: rowOf("all", canaries, all), missing: missingOf(canaries) };
}

function rowOf(step: LossRow["step"], canaries: readonly JudgedCanary[], kills: number): LossRow {
  const count = (fate: Fate) => canaries.filter(one => fateOf(one) === fate).length;
  return {
    step,
    sent: canaries.length,
    accepted: canaries.filter(one => one.sent.state === "accepted").length,
    kills,
    found: count("found"),
    lost: count("lost"),
    doubles: canaries.reduce((sum, one) => sum + Math.max(0, one.copies.length - 1), 0),
    altered: count("altered"),
    held: count("held"),
    waiting: count("waiting"),
    longest_delay_s: Math.max(0, ...canaries.map(delayOf)),
  };
}

/** Until the first copy; the clocks of two servers may differ, and IMAP knows whole seconds. */
function delayOf({ sent, copies }: JudgedCanary): number {
  const stored = copies.map(copy => copy.storedAt.getTime());
  if (stored.length === 0) return 0;
  return Math.round(Math.max(0, Math.min(...stored) - sent.acceptedAt) / 100) / 10;
}

function missingOf(canaries: readonly JudgedCanary[]): LossReport["missing"] {
  return canaries
    .flatMap(one => {
      const why = fateOf(one);
      if (why !== "lost" && why !== "altered" && why !== "waiting") return [];
      const { canary, queueId } = one.sent;
      return [{ recipient: canary.recipient, queue_id: queueId, message_id: canary.messageId, why }];
    })
    .slice(0, MAX_MISSING);
}
