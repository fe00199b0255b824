/**
 * What pre_receive said of a message that LMTP has (message path, step 6): taken over from the milter by its trace field, or found
 * out here, when the message did not come by our milter or somebody in it is new.
 *
 *   trace field holds, nothing recorded   judged, nothing to do
 *   trace field holds, record fits        taken over: action, tags, metadata, fields
 *   no trace field, sent by our own users (there is a pre_send record of the queue id)    not judged
 *   anything else                         the chain runs here
 *
 * What fails how: the database is away → all recipients 451; a chain that breaks → its recipients.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { VerdictRecord, Verdicts } from "../core/ports/verdicts.ts";
import {
  type AccountDelivery,
  type ArrivedMessage,
  type Judgement,
  receiveFacts,
} from "./account-delivery.ts";
import { matchVerdict } from "./match-verdict.ts";
import { takenFacts } from "./sender-auth-taken.ts";
import type { Trace, TraceFields } from "./trace-field.ts";

export interface PreReceiveOptions {
  readonly hooks: HookRunner;
  readonly trace: TraceFields;
  readonly verdicts: Verdicts;
  readonly now: () => Date;
}

export class PreReceive {
  readonly #options: PreReceiveOptions;
  /** With what the milter found out about the sender. */
  readonly arrived: ArrivedMessage;
  /** The milter's field, when it holds. */
  readonly trace: Trace | undefined;
  constructor(options: PreReceiveOptions, arrived: ArrivedMessage) {
    this.#options = options;
    const { message, queueId } = arrived;
    const { headerHead } = message.structure;
    this.trace = options.trace.find(headerHead, queueId, options.now());
    const senderAuth = takenFacts(headerHead, this.trace?.authDigest);
    this.arrived = senderAuth === undefined ? arrived : { ...arrived, senderAuth };
  }

  /** There may be something to take over or to find out. */
  get isNeeded(): boolean {
    return this.trace === undefined ? this.#options.hooks.has("pre_receive") : this.trace.recorded;
  }

  /**
   * @param deliveries  all accounts that the message still goes to
   * @param onLate      takes events of calls that nobody waits for
   * @returns by account address; who is not in it was judged, or is not to be
   */
  async judge(
    deliveries: readonly AccountDelivery[],
    deadline: Deadline,
    onLate: (late: Promise<readonly TimelineEvent[]>) => void,
  ): Promise<ReadonlyMap<string, Judgement>> {
    const judged = new Map<string, Judgement>();
    if (!this.isNeeded || deliveries.length === 0) return judged;
    const { hooks, verdicts } = this.#options;
    if (this.trace === undefined) {
      const { queueId } = this.arrived;
      if (queueId !== "" && (await verdicts.wasSubmitted(queueId))) return judged;
    } else {
      const record = await verdicts.find(this.trace.id);
      if (record !== undefined) this.#takeOver(record, deliveries, judged);
    }
    const rest = deliveries.filter(({ account }) => !judged.has(account.address));
    if (rest.length === 0 || !hooks.has("pre_receive")) return judged;
    await this.#runHere(rest, judged, deadline, onLate);
    return judged;
  }

  #takeOver(
    record: VerdictRecord,
    deliveries: readonly AccountDelivery[],
    judged: Map<string, Judgement>,
  ): void {
    if (record.point !== "pre_receive" || record.queueId !== this.arrived.queueId) return;
    for (const { account, recipients } of deliveries) {
      const found = recipients.flatMap(recipient => matchVerdict(record, recipient) ?? []);
      // Mail to two of its addresses was wanted when it was wanted for one of them.
      const verdict = found.find(({ decision }) => decision.action === "deliver") ?? found[0];
      if (verdict === undefined) continue;
      const { traceId } = record;
      const { action } = verdict.decision;
      const data = { point: "pre_receive", action, carried: true, trace_id: traceId };
      judged.set(account.address, {
        decision: verdict.decision,
        carried: { traceId, verdict },
        events: [{ at: this.#options.now(), kind: "decision", recipient: account.address, data }],
      });
    }
  }

  async #runHere(
    deliveries: readonly AccountDelivery[],
    judged: Map<string, Judgement>,
    deadline: Deadline,
    onLate: (late: Promise<readonly TimelineEvent[]>) => void,
  ): Promise<void> {
    const facts = receiveFacts(this.arrived, deliveries);
    const { each, events, late } = await this.#options.hooks.run("pre_receive", facts, deadline);
    if (late !== undefined) onLate(late);
    for (const { account } of deliveries) {
      const decision = each.get(account.address);
      if (decision === undefined)
        throw new MairustError(
          "internal",
          `Cannot decide about "${account.address}": the chain said nothing of it`,
        );
      // A call for several is one event: it stands with the first of them.
      const own = events.filter(
        event => (event.recipient ?? deliveries[0]?.account.address) === account.address,
      );
      judged.set(account.address, { decision, carried: undefined, events: own });
    }
  }
}
