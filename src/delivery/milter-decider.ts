/**
 * Decides about mail before the MTA accepts it (message path, steps 1 to 5): pre_receive for mail from outside, pre_send for mail
 * that is sent, with all recipients, at the end of the message. Here: who is asked for what, and what goes on after the answers;
 * `milter-message.ts` is one message.
 *
 * Where no hook stands at the message's point, and no sender is checked, nothing is kept and nothing is written; only the trace field is
 * added.
 *
 * Source: mail-path.md §1
 */
import type { Deadline } from "../core/deadline.ts";
import type { MessageId } from "../core/ids.ts";
import type { MilterDecider, MilterEnvelope, MilterMessage, MilterNeeds } from "../core/ports/milter.ts";
import { within } from "../platform/deadline.ts";
import { MilterAuth } from "./milter-auth.ts";
import {
  HeaderContent,
  type MilterContent,
  NoContent,
  SparedContent,
  WholeContent,
} from "./milter-content.ts";
import { DecidedMessage } from "./milter-message.ts";
import { type MilterDeciderOptions, POINT_OF } from "./milter-options.ts";

export class HookDecider implements MilterDecider {
  readonly #options: MilterDeciderOptions;
  /** Of messages that were answered: shadow calls. Each is bounded by the hooks' own time-outs. */
  readonly #background = new Set<Promise<void>>();

  constructor(options: MilterDeciderOptions) {
    this.#options = options;
  }

  needs(): MilterNeeds {
    const { hooks, senderAuth } = this.#options;
    const needs = [hooks.needs("pre_receive"), hooks.needs("pre_send")];
    return {
      // Always: X-MaiRust fields from outside are removed without hooks too.
      headers: true,
      // Asked for before anybody knows where the mail comes from.
      body: senderAuth.readsBody || needs.some(one => one.body || one.appendText === true),
      hold: needs.some(one => one.hold),
      recipients: needs.some(one => one.addRecipients),
      replaceBody: needs.some(one => one.appendText),
      quarantine: false,
    };
  }

  open(envelope: MilterEnvelope): MilterMessage {
    const { newMessageId, now } = this.#options;
    const id = newMessageId();
    const receivedAt = now();
    const hasHooks = this.#options.hooks.has(POINT_OF[envelope.direction]);
    const auth = new MilterAuth(this.#options.senderAuth, envelope);
    const isKept = hasHooks || auth.isOn;
    const kept = isKept ? this.#content(envelope, id, receivedAt, auth.readsBody) : new NoContent();
    const content = hasHooks ? kept : new SparedContent(kept, this.#options.log);
    return new DecidedMessage(this.#options, envelope, {
      id,
      receivedAt,
      content,
      hasHooks,
      isKept,
      auth,
      background: work => this.#track(work),
    });
  }

  /** Wait for what goes on after the answers, until the deadline. Never rejects. */
  async drain(deadline: Deadline): Promise<void> {
    await within(Promise.all(this.#background), deadline).catch(() => undefined);
  }

  #content(envelope: MilterEnvelope, id: MessageId, receivedAt: Date, isRead: boolean): MilterContent {
    const { blobs, hooks, limits, log } = this.#options;
    const { mime, messageBytes } = limits();
    const { body, hold, appendText = false } = hooks.needs(POINT_OF[envelope.direction]);
    return envelope.content === "whole" && (isRead || body || hold || appendText)
      ? new WholeContent({ blobs, id, receivedAt, limits: mime, log }, messageBytes)
      : new HeaderContent(mime);
  }

  /** @param work  never rejects */
  #track(work: Promise<void>): void {
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
  }
}
