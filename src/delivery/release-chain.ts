/**
 * The hooks that a held message still has before it: those of its point behind the one that held it, then, where it is to be stored,
 * those of `pre_delivery`. What they decide is added to what had been decided before.
 */
import { continueDecision } from "../core/continue-decision.ts";
import type { Deadline } from "../core/deadline.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import type { HeldRecipient } from "../core/ports/holds.ts";
import type { HookDecision, HookPlace, HookPoint, HookRunner, MessageContent } from "../core/ports/hooks.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { heldContent, heldFacts, heldHeader } from "./release-facts.ts";

export interface ChainParts {
  readonly blobs: Pick<BlobStore, "get">;
  readonly hooks: HookRunner;
  readonly recordEvents: MessageStore["recordEvents"];
  readonly canonical: (raw: string) => string;
  readonly taken: HoldTaken;
}

export interface Decided {
  /** Whose hooks decided. */
  readonly point: HookPoint;
  readonly decision: HookDecision;
}

export interface DecidedRecipient extends Decided {
  readonly recipient: HeldRecipient;
}

interface Leg {
  readonly point: HookPoint;
  readonly after: HookPlace | undefined;
}

/** Of one release. */
export class ReleaseChain {
  readonly #parts: ChainParts;
  readonly #content: MessageContent;
  /** Of the hook calls that were waited for. */
  readonly events: TimelineEvent[] = [];

  constructor(parts: ChainParts) {
    this.#parts = parts;
    this.#content = heldContent(parts.blobs, parts.taken);
  }

  /** To be stored for one account. @throws {MairustError} `blob_missing`, `blob_damaged` */
  async forAccount(target: ResolvedRecipient, deadline: Deadline): Promise<Decided> {
    const { taken } = this.#parts;
    const { address } = target.account;
    let decided: Decided = { point: taken.record.point, decision: delivered(taken.decision) };
    for (const leg of this.#legs(true)) {
      const before = decided.decision;
      const each = await this.#run(leg, [address], target, before, deadline);
      decided = { point: leg.point, decision: each.get(address) ?? before };
      if (decided.decision.action !== "deliver") break;
    }
    return decided;
  }

  /** To be submitted to the MTA, which asks the hooks of `pre_delivery` itself. @throws {MairustError} `blob_missing`, `blob_damaged` */
  async forRecipients(deadline: Deadline): Promise<readonly DecidedRecipient[]> {
    const { taken, canonical } = this.#parts;
    const { recipients, point } = taken.record;
    const before = delivered(taken.decision);
    const [leg] = this.#legs(false);
    const addresses = [...new Set(recipients.map(one => canonical(one.address.raw)))];
    const each = leg === undefined ? undefined : await this.#run(leg, addresses, undefined, before, deadline);
    return recipients.map(recipient => ({
      point,
      recipient,
      decision: each?.get(canonical(recipient.address.raw)) ?? before,
    }));
  }

  #legs(stores: boolean): readonly Leg[] {
    const { record, by } = this.#parts.taken;
    // No hook held it: somebody's policy did, after all of them.
    if (by === undefined) return [];
    const own: Leg = { point: record.point, after: { priority: by.priority, name: by.name } };
    return stores && record.point === "pre_receive"
      ? [own, { point: "pre_delivery", after: undefined }]
      : [own];
  }

  async #run(
    { point, after }: Leg,
    recipients: readonly string[],
    target: ResolvedRecipient | undefined,
    before: HookDecision,
    deadline: Deadline,
  ): Promise<ReadonlyMap<string, HookDecision>> {
    const { hooks, taken, recordEvents } = this.#parts;
    if (!hooks.has(point)) return new Map();
    const header = await heldHeader(this.#content, taken);
    const parts = { content: this.#content, header, recipients, target, tags: before.tags };
    const options = { provenance: before.provenance, ...(after === undefined ? {} : { after }) };
    const run = await hooks.run(point, heldFacts(taken, point, parts), deadline, options);
    this.events.push(...run.events);
    const { messageId, queueId } = taken.message;
    void run.late?.then(events => {
      if (events.length > 0) recordEvents(messageId, queueId, events);
    });
    return new Map([...run.each].map(([address, next]) => [address, continueDecision(before, next)]));
  }
}

/** What the chain had decided so far, without the hold. */
function delivered(decision: HookDecision): HookDecision {
  return { ...decision, action: "deliver", by: undefined, reply: undefined };
}

/** Why a decision keeps mail, for people. */
export function refusalText({ action, by, reply }: HookDecision): string {
  const why = by?.reason ?? reply?.text;
  return `hook "${by?.name ?? "unknown"}" says ${action}${why === undefined || why === "" ? "" : `: ${why}`}`;
}
