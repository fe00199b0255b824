/**
 * Releases held mail (message path, step 6, later): runs the hooks that stand behind the one that held it, and then does what would have
 * happened without the hold: mail held at LMTP is stored for its account, or relayed where that is its stage; mail held at the milter is submitted to the MTA with a
 * one-time id on top, so that it is not judged again. Or it is stored for one account that somebody names.
 *
 * It runs within the request that asks for it; nothing is queued. A hold is `releasing` for as long and under a lease; whatever fails
 * leaves it held, with the reason. See `store/holds-release.ts` for what a killed process leaves.
 */
import type { Deadline } from "../core/deadline.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import { NO_ACCOUNT, type ResolvedRecipient } from "../core/ports/directory.ts";
import type {
  Approver,
  HeldRecord,
  HoldAdmin,
  HoldTaken,
  RecipientAnswer,
  ReleaseAsked,
  ReleasedCopy,
  ReleaseResult,
  Releases,
} from "../core/ports/hold-admin.ts";
import type { HookDecision, HookRunner } from "../core/ports/hooks.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { type Bounced, submitBounce } from "./bounce.ts";
import type { EditRules } from "./message-edits.ts";
import { type RelayedReply, type ReleaseRelay, relayReleased } from "./relay/release-relay.ts";
import { answerOf, fieldsOf, firstHolder, NO_REPLY, notRecorded, refuseSender } from "./release-answers.ts";
import { type Decided, type DecidedRecipient, ReleaseChain, refusalText } from "./release-chain.ts";
import { readyForRelease } from "./release-edits.ts";
import { releaseTarget } from "./release-facts.ts";
import { keepSentCopy, type SentParts, signForRelease } from "./release-sent.ts";
import { tellReleased } from "./release-tell.ts";
import { type SmtpReply, submitBySmtp } from "./smtp-submission.ts";

/** Put on top of what we submit; the milter takes it off. */
export const SUBMIT_FIELD = "X-MaiRust-Submit";
/** For all remaining hooks, and for the MTA: together less than a client of the API waits, and far less than a lease lasts. */
const HOOKS_MS = 20_000;
const SMTP_MS = 30_000;

export interface ReleaseOptions extends SentParts {
  readonly admin: HoldAdmin;
  /** Absent: no sender is told of success. */
  readonly successNotices?: SuccessNotices;
  readonly hooks: HookRunner;
  readonly edits: EditRules;
  readonly recordEvents: MessageStore["recordEvents"];
  /** An address as hooks see it; what has no canonical form stays as it is. */
  readonly canonical: (raw: string) => string;
  readonly hostname: string;
  /** For accounts in a relay stage. */
  readonly relay: ReleaseRelay;
  /** `outbound.smtp` now in effect. */
  readonly server: () => string;
  readonly now: () => Date;
}

/** What becomes of a release that did not fail. */
interface Done {
  readonly released: readonly RecipientAnswer[];
  readonly kept: readonly RecipientAnswer[];
  readonly sentCopy: ReleasedCopy | undefined;
}

/** What the MTA was given. */
interface Submitted {
  readonly replies: readonly SmtpReply[];
  readonly sentCopy: ReleasedCopy | undefined;
}

const NOTHING: Submitted = { replies: [], sentCopy: undefined };

export function createReleases(options: ReleaseOptions): Releases {
  const engine = new ReleaseEngine(options);
  return { release: asked => engine.release(asked), reject: (id, by, o) => engine.reject(id, by, o.dryRun) };
}

class ReleaseEngine {
  readonly #options: ReleaseOptions;

  constructor(options: ReleaseOptions) {
    this.#options = options;
  }

  async release({ id, to, by, dryRun }: ReleaseAsked): Promise<ReleaseResult> {
    const { admin, holds } = this.#options;
    const before = await admin.get(id);
    refuseSender(before, by);
    const address = to ?? before.account;
    const target = address === undefined ? undefined : await this.#account(address, to === undefined);
    if (dryRun) return { hold: before, ...this.#plan(before, target) };
    const taken = await holds.take(id);
    const done = await this.#orKeep(taken, () =>
      target === undefined ? this.#submit(taken, by.name) : this.#store(taken, target, by.name),
    );
    const hold = await admin.get(id);
    this.#log(hold, done, by);
    return { hold, ...done };
  }

  async reject(id: string, by: Approver, dryRun: boolean): Promise<HeldRecord> {
    const { admin, holds } = this.#options;
    const before = await admin.get(id);
    refuseSender(before, by);
    // A sender outside may be forged: a bounce would go to somebody else. Nor is a bounce ever bounced.
    if (dryRun || before.point !== "pre_send" || before.mailFrom === "")
      return admin.end(id, "rejected", by.name, { dryRun });
    const taken = await holds.take(id);
    await this.#orKeep(taken, async () => {
      const bounced = await this.#bounce(taken);
      const { decision } = taken;
      const data = {
        hold: id,
        as: "rejected",
        by: by.name,
        bounce: bounced.text,
        hook: decision.by?.name ?? null,
      };
      await holds.end(taken, "rejected", by.name, [{ at: this.#options.now(), kind: "hold_ended", data }]);
    });
    return admin.get(id);
  }

  /** Whatever is thrown leaves the mail held, with the reason. */
  async #orKeep<T>(taken: HoldTaken, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { holds, log } = this.#options;
      const problem =
        error instanceof MairustError && error.publicText !== "" ? error.publicText : messageOf(error);
      const kept = { recipients: taken.record.recipients, problem, events: [] };
      // When the database is away the lease ends by itself.
      await holds.keep(taken, kept).catch(failure => {
        log.error("hold not given back", { hold: taken.record.id, reason: messageOf(failure) });
      });
      log.warn("not released", { ...fieldsOf(taken.record), reason: problem });
      throw error;
    }
  }

  /**
   * @param isOwn  mail was held for it: in a relay stage perhaps only the next hop knows it
   * @throws {MairustError} `unknown_account`
   */
  async #account(address: string, isOwn: boolean): Promise<ResolvedRecipient> {
    const { directory } = this.#options;
    const parsed = parseMailAddress(address);
    const found =
      (await directory.findAccount(parsed)) ?? (isOwn ? await directory.resolveRecipient(parsed) : undefined);
    if (found === undefined) {
      const text = `no such account "${address}"`;
      throw new MairustError("unknown_account", `Cannot release: ${text}`, { publicText: text });
    }
    return found;
  }

  #plan(record: HeldRecord, target: ResolvedRecipient | undefined): Done {
    if (record.state !== "held") {
      const text = `message ${record.id} is ${record.state}`;
      throw new MairustError("invalid_state", `Cannot release: ${text}`, { publicText: text });
    }
    const released =
      target === undefined
        ? record.recipients.map(({ address }) => ({
            recipient: address.raw,
            text: `submitted to ${this.#options.server()}, if no further hook objects`,
          }))
        : [
            {
              recipient: target.account.address,
              text: `${target.stage === "store" ? "stored" : `relayed to ${target.domain.relayLmtp}`}, if no further hook objects`,
            },
          ];
    return { released, kept: [], sentCopy: undefined };
  }

  #chain(taken: HoldTaken): ReleaseChain {
    const { blobs, hooks, recordEvents, canonical } = this.#options;
    return new ReleaseChain({ blobs, hooks, recordEvents, canonical, taken });
  }

  async #store(taken: HoldTaken, target: ResolvedRecipient, by: string): Promise<Done> {
    const { holds, hooks, hostname, now } = this.#options;
    const { address } = target.account;
    const chain = this.#chain(taken);
    const decided = await withDeadline(HOOKS_MS, deadline => chain.forAccount(target, deadline));
    if (decided.decision.action !== "deliver") {
      const why = refusalText(decided.decision);
      // For another account than its own it is held as before: that account's hooks say nothing about the others.
      const isOwn = taken.accountId === target.account.id;
      await this.#keep(taken, taken.record.recipients, why, isOwn ? decided : undefined, chain.events);
      return { released: [], kept: [{ recipient: address, text: why }], sentCopy: undefined };
    }
    const entry = {
      target: releaseTarget(taken, target, decided.decision, hostname, now()),
      ...(hooks.has("post_receive") ? { followUp: "post_receive" as const } : {}),
    };
    const relayed = await this.#relay(taken, target, decided.decision);
    const text = relayed?.text;
    const data = { hold: taken.record.id, by, ...(text === undefined ? {} : { reply: text }) };
    const event: TimelineEvent = { at: now(), kind: "released", recipient: address, data };
    const tell = () => tellReleased(this.#options, taken, target, relayed);
    if (text !== undefined && (target.stage !== "mirror" || target.account.id === NO_ACCOUNT)) {
      await this.#end(taken, by, [...chain.events, event]);
      await tell();
      return { released: [{ recipient: address, text }], kept: [], sentCopy: undefined };
    }
    const place = await holds.store(taken, entry, by, [...chain.events, event]);
    await tell();
    const stored = { recipient: address, text: `${place.mailbox}/${place.uid}` };
    return { released: [stored], kept: [], sentCopy: undefined };
  }

  /** @returns the next hop's reply; undefined: it is stored here */
  #relay(
    taken: HoldTaken,
    target: ResolvedRecipient,
    decision: HookDecision,
  ): Promise<RelayedReply> | undefined {
    if (target.stage === "store") return undefined;
    const { relay, blobs, hostname, now } = this.#options;
    const release = { taken, target, decision, hostname, now: now() };
    return withDeadline(SMTP_MS, deadline => relayReleased(relay, blobs, release, deadline));
  }

  async #submit(taken: HoldTaken, by: string): Promise<Done> {
    const chain = this.#chain(taken);
    const decided = await withDeadline(HOOKS_MS, deadline => chain.forRecipients(deadline));
    const ready = decided.filter(one => one.decision.action === "deliver");
    const { replies, sentCopy } = ready.length === 0 ? NOTHING : await this.#send(taken, ready, chain.events);
    const answers = ready.map(({ recipient }, i) => ({ recipient, ...(replies[i] ?? NO_REPLY) }));
    const refused = answers.filter(one => !one.taken);
    const objected = decided.filter(one => one.decision.action !== "deliver");
    const kept = [
      ...objected.map(({ recipient, decision }) => ({ recipient, text: refusalText(decision) })),
      ...refused.map(({ recipient, text }) => ({ recipient, text })),
    ];
    const released = answers.filter(one => one.taken);
    const events = [...chain.events, ...this.#releasedEvents(taken, by, released, sentCopy)];
    if (kept.length === 0) await this.#end(taken, by, events);
    else {
      const remaining = kept.map(({ recipient }) => recipient);
      const holder = refused.length === 0 ? firstHolder(objected) : undefined;
      await this.#keep(taken, remaining, kept[0]?.text ?? "", holder, events);
    }
    return { released: released.map(answerOf), kept: kept.map(answerOf), sentCopy };
  }

  #releasedEvents(
    taken: HoldTaken,
    by: string,
    released: readonly { readonly text: string }[],
    sentCopy: ReleasedCopy | undefined,
  ): readonly TimelineEvent[] {
    const [first] = released;
    if (first === undefined) return [];
    const copy = sentCopy === undefined ? {} : { sent_copy: sentCopy };
    const data = { hold: taken.record.id, by, recipients: released.length, reply: first.text, ...copy };
    return [{ at: this.#options.now(), kind: "released", data }];
  }

  async #end(taken: HoldTaken, by: string, events: readonly TimelineEvent[]): Promise<void> {
    try {
      await this.#options.holds.end(taken, "released", by, events);
    } catch (error) {
      throw notRecorded(taken, error);
    }
  }

  /** @param events  takes what is told of the edits */
  async #send(
    taken: HoldTaken,
    ready: readonly DecidedRecipient[],
    events: TimelineEvent[],
  ): Promise<Submitted> {
    const { holds, hostname, server } = this.#options;
    const verdicts = ready.map(({ recipient, decision }) => ({
      recipient: recipient.address.raw,
      orcpt: recipient.orcpt ?? "",
      decision,
    }));
    const { message, session, record } = taken;
    return withDeadline(SMTP_MS, async deadline => {
      const mail = await readyForRelease(this.#options, taken, verdicts, deadline);
      events.push(...mail.events);
      const sent = await signForRelease(this.#options, taken, mail, deadline);
      try {
        const token = await holds.issueToken(record.id, record.point, mail.verdicts);
        const submitted = {
          mailFrom: message.mailFrom,
          recipients: ready.map(one => one.recipient),
          ...(session.dsn === undefined ? {} : { dsn: session.dsn }),
          top: `${SUBMIT_FIELD}: ${token}\r\n${sent.top}`,
          content: sent.content,
        };
        const replies = await submitBySmtp({ server: server(), hostname }, submitted, deadline);
        const isOut = replies.some(reply => reply.taken);
        return { replies, sentCopy: isOut ? await keepSentCopy(this.#options, taken, sent) : undefined };
      } finally {
        await sent.discard();
      }
    });
  }

  async #bounce(taken: HoldTaken): Promise<Bounced> {
    const { holds, hostname, server, now } = this.#options;
    const token = await holds.issueToken(taken.record.id, "pre_receive", []);
    const parts = { taken, top: `${SUBMIT_FIELD}: ${token}\r\n`, hostname, now: now() };
    return withDeadline(SMTP_MS, deadline => submitBounce({ server: server(), hostname }, parts, deadline));
  }

  /** @param decided  set: the hook that decided so holds it from now on; a tempfail is asked again next time */
  async #keep(
    taken: HoldTaken,
    recipients: HeldRecord["recipients"],
    problem: string,
    decided: Decided | undefined,
    events: readonly TimelineEvent[],
  ): Promise<void> {
    const isFinal = decided !== undefined && decided.decision.action !== "tempfail";
    const holder = isFinal
      ? {
          point: decided.point,
          by: decided.decision.by,
          reason: decided.decision.by?.reason ?? decided.decision.reply?.text ?? "",
          decision: decided.decision,
        }
      : undefined;
    const held: TimelineEvent = {
      at: this.#options.now(),
      kind: "held",
      data: { hold: taken.record.id, again: true, reason: problem },
    };
    const kept = {
      recipients,
      problem,
      ...(holder === undefined ? {} : { holder }),
      events: [...events, held],
    };
    if (!(await this.#options.holds.keep(taken, kept))) throw notRecorded(taken, undefined);
  }

  #log(hold: HeldRecord, { released, kept }: Done, by: Approver): void {
    const event = kept.length === 0 ? "released" : released.length === 0 ? "held again" : "released in part";
    this.#options.log.info(event, {
      ...fieldsOf(hold),
      by: by.name,
      released: released.length,
      kept: kept.length,
    });
  }
}

async function withDeadline<T>(ms: number, work: (deadline: Deadline) => Promise<T>): Promise<T> {
  const deadline = deadlineAfter(ms);
  try {
    return await work(deadline);
  } finally {
    deadline.dispose();
  }
}
