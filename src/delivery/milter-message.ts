/**
 * One message at the milter (message path, steps 1 to 5): takes its content, runs the chain at its end, and answers for all
 * recipients at once. What does not hold for all of them goes to LMTP, under the id of the trace field.
 *
 * What fails how: whatever is thrown here becomes a 4xx at the session; a hold is answered after it is durable; a verdict that LMTP
 * needs is saved before the message is accepted. Without hooks only the trace field depends on the database, and is left out
 * without it.
 *
 * Source: mail-path.md §1
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { HookDecisions, HookPoint, MessageFacts } from "../core/ports/hooks.ts";
import type {
  MilterDecision,
  MilterEdit,
  MilterEnvelope,
  MilterMessage,
  ReservedField,
} from "../core/ports/milter.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { within } from "../platform/deadline.ts";
import {
  type Accepted,
  type Combined,
  combineInbound,
  combineOutbound,
  combineSent,
  split,
} from "./combine-verdicts.ts";
import { hooksDeadline } from "./hooks-time.ts";
import { type EditedMessage, type EditReport, type SafeEdits, safeEdits } from "./message-edits.ts";
import { decisionOf, refusal } from "./milter-answers.ts";
import { type AuthEdits, authenticatedEvent, isToUs, type MilterAuth, NO_AUTH_EDITS } from "./milter-auth.ts";
import type { MilterContent } from "./milter-content.ts";
import { countDropped, milterEdits, planBcc } from "./milter-edits.ts";
import { decisionEvent, receivedAtMilter } from "./milter-events.ts";
import { holdAtMilter } from "./milter-hold.ts";
import { type MilterDeciderOptions, POINT_OF } from "./milter-options.ts";
import { hasOurs, type Scope, scopeOf } from "./milter-scope.ts";
import { TRACE_FIELD, TRACE_LIFETIME_S } from "./trace-field.ts";

/** Carries the one-time id of mail that the service submits itself. */
const SUBMIT_FIELD = "x-mairust-submit";

export interface MessageParts {
  readonly id: MessageId;
  readonly receivedAt: Date;
  readonly content: MilterContent;
  /** Hooks stood at its point when it began: only then was anything kept for them. */
  readonly hasHooks: boolean;
  /** For hooks, or for the checks of the sender. */
  readonly isKept: boolean;
  readonly auth: MilterAuth;
  /** Takes work that goes on after the answer and never rejects. */
  readonly background: (work: Promise<void>) => void;
}

/** What the hooks said, and about what. */
interface Judged {
  readonly verdicts: readonly CarriedVerdict[];
  readonly events: readonly TimelineEvent[];
  readonly scope: Scope;
  readonly facts: EditedMessage & Pick<MessageFacts, "senderAuth">;
  readonly deadline: Deadline;
  readonly authEdits: AuthEdits;
}

interface Answer {
  readonly decision: MilterDecision;
  readonly report?: EditReport & { readonly bcc: number };
}

const NO_BODY_EDIT = { fields: [], body: undefined };

export class DecidedMessage implements MilterMessage {
  readonly #options: MilterDeciderOptions;
  readonly #envelope: MilterEnvelope;
  readonly #parts: MessageParts;
  #late: Promise<void> = Promise.resolve();
  #deciding = false;
  #isAborted = false;

  constructor(options: MilterDeciderOptions, envelope: MilterEnvelope, parts: MessageParts) {
    this.#options = options;
    this.#envelope = envelope;
    this.#parts = parts;
  }

  get id(): string {
    return this.#parts.id;
  }

  get full(): boolean {
    return this.#parts.content.full;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#parts.auth.write(chunk);
    return this.#parts.content.write(chunk);
  }

  async decide(reserved: readonly ReservedField[], deadline: Deadline): Promise<MilterDecision> {
    this.#deciding = true;
    try {
      const decided = await this.#decidedBefore(reserved);
      if (decided !== undefined) return decided;
      const canJudge = this.#canJudge();
      const scope = canJudge ? await scopeOf(this.#options.directory, this.#envelope) : undefined;
      if (scope === undefined) return await this.#withoutHooks(canJudge, deadline);
      return await this.#judge(scope, deadline);
    } finally {
      this.#release();
    }
  }

  async abort(): Promise<void> {
    this.#isAborted = true;
    // While it is decided about, hooks may read it.
    if (!this.#deciding) this.#release();
  }

  /** Calls that nobody waited for may still read it. */
  #release(): void {
    const { background, content, isKept } = this.#parts;
    if (!isKept) return;
    background(
      this.#late
        .then(() => content.release())
        .catch(error =>
          this.#options.log.error("message not released", {
            id: this.id,
            error: toMairustError(error, "release"),
          }),
        ),
    );
  }

  /** Mail that the service submits itself was judged when it came in. */
  async #decidedBefore(reserved: readonly ReservedField[]): Promise<MilterDecision | undefined> {
    const tokens = reserved.filter(([name]) => name.toLowerCase() === SUBMIT_FIELD);
    const [token] = tokens;
    if (token === undefined || tokens.length > 1) return undefined;
    const { queueId, recipients } = this.#envelope;
    const addresses = recipients.map(({ address }) => address.raw);
    const taken = await this.#options.submissions.take(token[1].trim(), queueId, addresses);
    if (taken === undefined) return undefined;
    const { point, verdicts } = taken;
    // What its release could do to it is done: text is appended, and no field breaks a signature.
    if (point !== "pre_send") return this.#accept(split(verdicts), true, NO_BODY_EDIT);
    const all = combineSent(verdicts);
    await this.#save(point, all);
    const { add } = planBcc(all.addBcc, this.#envelope.recipients);
    return { kind: "accept", edits: milterEdits({ ...NO_BODY_EDIT, headers: all.headers }, add) };
  }

  /**
   * What hooks need is here. Those that were enabled since the MTA connected may miss the body of mail from outside: LMTP, which has
   * all of it, asks them then. Mail that is sent comes nowhere else, so they judge what there is.
   */
  #canJudge(): boolean {
    const { content, hasHooks } = this.#parts;
    const { direction } = this.#envelope;
    const { body, hold } = this.#options.hooks.needs(POINT_OF[direction]);
    return hasHooks && (direction === "outbound" || content.isWhole || !(body || hold));
  }

  /** @param wasAsked  hooks could see it, and none of them has a say in it */
  async #withoutHooks(wasAsked: boolean, deadline: Deadline): Promise<MilterDecision> {
    const { directory, hooks, log } = this.#options;
    if (this.#envelope.direction === "outbound") return this.#submitted(deadline);
    // Hooks that have not seen it: without the field LMTP asks them.
    const isJudged = wasAsked || !hooks.has(POINT_OF[this.#envelope.direction]);
    try {
      const mayEdit = await within(hasOurs(directory, this.#envelope), deadline);
      const { edits, digest } = await this.#authenticate(mayEdit, deadline);
      const trace = mayEdit && isJudged ? this.#trace(false, digest) : [];
      return { kind: "accept", edits: [...trace, ...edits] };
    } catch (error) {
      log.warn("milter.no_trace", {
        queue_id: this.#envelope.queueId,
        error: toMairustError(error, "find the domains"),
      });
      return { kind: "accept", edits: [] };
    }
  }

  /** Without hooks. Where the message is not edited the result is for the timeline alone. */
  async #authenticate(mayEdit: boolean, deadline: Deadline): Promise<AuthEdits> {
    const { auth, content, id } = this.#parts;
    const { directory, edits, now, store } = this.#options;
    const envelope = this.#envelope;
    if (!auth.isOn || !(mayEdit || (await within(isToUs(directory, envelope), deadline))))
      return NO_AUTH_EDITS;
    const found = await content.finish(envelope.declaredSizeBytes);
    const outcome = await auth.check(found, deadline);
    if (mayEdit) return auth.edits(outcome, found.header, edits.signedMail());
    if (outcome !== undefined)
      store.recordEvents(id, envelope.queueId, [
        receivedAtMilter(envelope, { receivedAt: this.#parts.receivedAt, sizeBytes: found.sizeBytes }),
        authenticatedEvent(outcome.facts, now()),
      ]);
    return NO_AUTH_EDITS;
  }

  /**
   * Mail of our own users that no hook judges. What of it comes back by LMTP, to their neighbours, is not from outside all the same: a
   * record says so where `pre_receive` would be asked.
   */
  async #submitted(deadline: Deadline): Promise<MilterDecision> {
    const { directory, hooks, log } = this.#options;
    try {
      if (hooks.has("pre_receive") && (await within(hasOurs(directory, this.#envelope), deadline)))
        await within(this.#save("pre_send", { carried: [], uniform: true }), deadline);
    } catch (error) {
      const failure = toMairustError(error, "record the submission");
      log.warn("milter.submission_not_recorded", { queue_id: this.#envelope.queueId, error: failure });
    }
    return { kind: "accept", edits: [] };
  }

  async #judge(scope: Scope, deadline: Deadline): Promise<MilterDecision> {
    const { log, now, store } = this.#options;
    const envelope = this.#envelope;
    const { id, receivedAt, content, auth } = this.#parts;
    const found = await content.finish(envelope.declaredSizeBytes);
    const outcome = await auth.check(found, deadline);
    const facts = {
      messageId: id,
      receivedAt,
      queueId: envelope.queueId,
      direction: envelope.direction,
      stage: scope.stage,
      mailFrom: envelope.mailFrom.raw,
      recipients: [...new Set(scope.addresses)],
      observed: scope.observed,
      account: undefined,
      client: envelope.client,
      authUser: envelope.auth?.user,
      tls: envelope.tls === undefined ? undefined : true,
      tags: [],
      everyone: true,
      ...(outcome === undefined ? {} : { senderAuth: outcome.facts }),
      ...found,
    };
    const point = POINT_OF[envelope.direction];
    const { each, events, late } = await this.#run(point, facts, deadline);
    if (late !== undefined) this.#late = this.#recordLate(late);
    const verdicts = envelope.recipients.map((recipient, i) => ({
      recipient: recipient.address.raw,
      orcpt: recipient.orcpt ?? "",
      decision: decisionOf(each, scope.addresses[i]),
    }));
    const combined = envelope.direction === "inbound" ? combineInbound(verdicts) : combineOutbound(verdicts);
    const authEdits = auth.edits(outcome, found.header, this.#options.edits.signedMail());
    const checked = outcome === undefined ? [] : [authenticatedEvent(outcome.facts, now())];
    const judged = { verdicts, events: [...checked, ...events], scope, facts, deadline, authEdits };
    const { decision, report } = await this.#answer(combined, judged);
    log.info("milter", {
      queue_id: envelope.queueId,
      id,
      from: envelope.mailFrom.raw,
      direction: envelope.direction,
      decision: decision.kind === "refuse" ? `${decision.code} ${decision.enhanced}` : decision.kind,
      carried: combined.kind === "accept" && combined.carried.length > 0,
      delay: (now().getTime() - receivedAt.getTime()) / 1000,
    });
    if (combined.kind !== "hold" || decision.kind === "refuse") {
      store.recordEvents(id, envelope.queueId, [
        receivedAtMilter(envelope, facts),
        // LMTP tells it of what it takes over.
        ...(decision.kind === "accept" && scope.hasOurs ? [] : checked),
        ...events,
        decisionEvent(envelope, combined, decision, now(), report),
      ]);
    }
    return decision;
  }

  async #run(point: HookPoint, facts: MessageFacts, whole: Deadline): Promise<HookDecisions> {
    const deadline = hooksDeadline(whole);
    try {
      return await this.#options.hooks.run(point, facts, deadline);
    } finally {
      deadline.dispose();
    }
  }

  async #answer(combined: Combined, judged: Judged): Promise<Answer> {
    switch (combined.kind) {
      case "refuse":
        return { decision: refusal(combined.decision) };
      case "hold":
        return { decision: await this.#hold(judged) };
      case "accept":
        return this.#edited(combined, judged);
    }
  }

  /** All that is to be changed is known before anything is saved or said. */
  async #edited(
    accepted: Accepted,
    { verdicts, scope, facts, deadline, authEdits }: Judged,
  ): Promise<Answer> {
    const { edits: rules, log } = this.#options;
    const safe = await safeEdits(facts, accepted, rules, deadline);
    const bcc = planBcc(accepted.addBcc, this.#envelope.recipients);
    const report = { ...safe.report, bcc: bcc.add.length, skipped: [...safe.report.skipped, ...bcc.skipped] };
    const decisions = verdicts.map(({ decision }) => decision);
    countDropped(report, decisions, rules.denied);
    for (const { item, why } of report.skipped)
      log.warn("edit_dropped", { queue_id: this.#envelope.queueId, id: this.id, item, why });
    if (this.#envelope.direction === "inbound") {
      const wanted = { ...accepted, headers: safe.headers };
      const decision = await this.#accept(wanted, scope.hasOurs, safe, authEdits);
      return { decision, report };
    }
    // LMTP must not take it for mail from outside.
    await this.#save("pre_send", accepted);
    return { decision: { kind: "accept", edits: milterEdits(safe, bcc.add) }, report };
  }

  async #hold({ verdicts, events, facts: { senderAuth } }: Judged): Promise<MilterDecision> {
    const { message } = this.#parts.content;
    const { holds, log } = this.#options;
    const envelope = this.#envelope;
    if (message === undefined) {
      log.warn("milter.not_held", {
        queue_id: envelope.queueId,
        id: this.id,
        reason: "hooks enabled since negotiation",
      });
      return { kind: "refuse", code: 451, enhanced: "4.7.1", lines: ["try again"] };
    }
    this.#assertWanted();
    const assertWanted = () => this.#assertWanted();
    await holdAtMilter({ holds, message, envelope, senderAuth, verdicts, events, assertWanted });
    return { kind: "discard" };
  }

  async #accept(
    accepted: Pick<Accepted, "headers" | "carried" | "uniform">,
    mayTrace: boolean,
    { fields, body }: Pick<SafeEdits, "fields" | "body">,
    auth: AuthEdits = NO_AUTH_EDITS,
  ): Promise<MilterDecision> {
    const isRecorded = mayTrace && accepted.carried.length > 0;
    if (isRecorded) await this.#save("pre_receive", accepted);
    const ours = mayTrace ? [...this.#trace(isRecorded, auth.digest), ...auth.edits] : [];
    const edits = milterEdits({ headers: accepted.headers, fields, body }, []);
    return { kind: "accept", edits: [...ours, ...edits] };
  }

  /** Whoever was answered without this decision sends the message again: what is written now would be there twice. */
  #assertWanted(): void {
    if (this.#isAborted)
      throw new MairustError("deadline", "Cannot decide: the MTA has its answer already, or is gone");
  }

  async #save(point: HookPoint, { carried, uniform }: Pick<Accepted, "carried" | "uniform">): Promise<void> {
    const { queueId, mailFrom } = this.#envelope;
    // Without one nobody could find it again.
    if (queueId === "") return;
    this.#assertWanted();
    await this.#options.verdicts.save({
      traceId: this.id,
      queueId,
      point,
      mailFrom: mailFrom.raw,
      uniform,
      verdicts: carried,
      expiresAt: new Date(this.#options.now().getTime() + TRACE_LIFETIME_S * 1000),
    });
  }

  #trace(recorded: boolean, authDigest?: string): readonly MilterEdit[] {
    const { edits, queueId } = this.#envelope;
    if (!edits.has("insert_header")) return [];
    const trace = { id: this.#parts.id, recorded, ...(authDigest === undefined ? {} : { authDigest }) };
    const value = this.#options.trace.value(trace, queueId, this.#options.now());
    return value === undefined ? [] : [{ kind: "insert_header", index: 0, name: TRACE_FIELD, value }];
  }

  async #recordLate(late: Promise<readonly TimelineEvent[]>): Promise<void> {
    const events = await late;
    if (events.length > 0) this.#options.store.recordEvents(this.#parts.id, this.#envelope.queueId, events);
  }
}
