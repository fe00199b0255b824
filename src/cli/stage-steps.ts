/**
 * A step from one stage to another has two halves: the sidecar's (`services/stages.ts`, live) and that of Postfix and Dovecot
 * (`site/`). This is the order in which they are done, so that between them no mail is lost or refused and no mailbox looks wrong. Pure.
 *
 * | step | first | then | between the two |
 * |---|---|---|---|
 * | `observe` → `hooks` | Postfix: routes to the sidecar, milter that defers | the stage | the sidecar relays already in `observe`, unchanged |
 * | `hooks` → `mirror` | (Dovecot: the namespace `MaiRust/`, as one likes) | the stage | the namespace is empty |
 * | `mirror` → `store` | Dovecot: mailboxes from the sidecar | the stage | both sides get each message: Dovecot keeps taking deliveries for its own mailboxes, clients read the copies |
 * | `store` → `mirror` | mail and flags back, the stage, the rest of them | Dovecot: its own mailboxes | as above: whoever reads here or there sees all |
 * | `mirror` → `hooks` | the stage | (Dovecot: the namespace goes) | the copies stay and grow no more |
 * | `hooks` → `observe` | the stage | Postfix: routes away, milter that lets pass | relayed unchanged |
 *
 * Up: the servers first, for the sidecar serves the stage below with the servers of the one above. Down: the stage first, for the same
 * reason. A step over several stages is done the same way, once.
 */
import { STAGES } from "../wire/config/mail.ts";
import type { StageName } from "../wire/site-calls.ts";
import { usageError } from "./exit-codes.ts";

export interface Step {
  readonly from: StageName;
  readonly to: StageName;
  readonly direction: "up" | "down" | "none";
  /** Mail that only the sidecar has must go back first. */
  readonly leavesStore: boolean;
}

export function stepOf(from: StageName, to: StageName): Step {
  const way = STAGES.indexOf(to) - STAGES.indexOf(from);
  const direction = way === 0 ? "none" : way > 0 ? "up" : "down";
  return { from, to, direction, leavesStore: from === "store" && direction === "down" };
}

/** @throws {CommandError} 64 */
export function stageOf(text: string): StageName {
  const stage = STAGES.find(one => one === text);
  if (stage !== undefined) return stage;
  throw usageError(`a stage is one of ${STAGES.join(", ")}, not "${text}"`);
}
