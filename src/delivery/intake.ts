/**
 * What happens to a message that LMTP took (message path, steps 6 and 7): who it is for, what the hooks say for each of them,
 * one blob and one commit for all, one outcome per RCPT in order.
 *
 * Nothing here answers `stored` before blob and rows are durable. Whatever goes wrong for a recipient becomes a `failed` outcome
 * with its error; the reply code follows from it at the edge. No error is ever a drop.
 */
import type { Deadline } from "../core/deadline.ts";
import type { Envelope, EnvelopeRecipient, MailAddress } from "../core/envelope.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { IntakeStream, MessageIntake, RecipientOutcome } from "../core/ports/intake.ts";
import { within } from "../platform/deadline.ts";
import { InFlightDeliveries } from "./in-flight.ts";
import type { IntakeOptions } from "./intake-options.ts";
import { MessageReceiver } from "./received-message.ts";
import { Transaction } from "./transaction.ts";

export class Intake implements MessageIntake {
  readonly #options: IntakeOptions;
  readonly #inFlight = new InFlightDeliveries();
  /** Of messages that were answered: late commits, shadow calls. Each is bounded by the store's and the hooks' own time-outs. */
  readonly #background = new Set<Promise<void>>();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  async checkRecipient(recipient: EnvelopeRecipient, _mailFrom: MailAddress): Promise<ResolvedRecipient> {
    const resolved = await this.#options.directory.resolveRecipient(recipient.address);
    const { account, domain, stage } = resolved;
    if (stage !== "store") {
      // The next hop has its own quotas.
      if (domain.relayLmtp !== undefined) return resolved;
      const text = `domain "${domain.name}" is in stage ${stage} and has no relay.lmtp`;
      this.#options.log.error("no next hop", { to: recipient.address.raw, domain: domain.name, stage });
      throw new MairustError("config_invalid", `Cannot relay mail for "${account.address}": ${text}`, {
        retry: "later",
        publicText: "no next hop is configured for this domain",
      });
    }
    // The exact check is at commit, under lock; this one only saves the transfer.
    if (account.quotaBytes > 0 && account.usedBytes >= account.quotaBytes) {
      throw new MairustError("over_quota", `Cannot deliver to "${account.address}": the quota is used up`, {
        publicText: "mailbox is full",
      });
    }
    return resolved;
  }

  /** Wait for what goes on after the answers, until the deadline. Never rejects. */
  async drain(deadline: Deadline): Promise<void> {
    await within(Promise.all(this.#background), deadline).catch(() => undefined);
  }

  open(envelope: Envelope, resolved: readonly ResolvedRecipient[]): IntakeStream {
    const { blobs, newMessageId, now, limits, log } = this.#options;
    const receiver = new MessageReceiver({
      blobs,
      id: newMessageId(),
      receivedAt: now(),
      limits: limits().mime,
      log,
    });
    const stream = {
      queueId: envelope.client.ident ?? "",
      write: (chunk: Uint8Array) => receiver.write(chunk),
      abort: () => receiver.abort(),
      finish: async (deadline: Deadline) => {
        const { outcomes, queueId } = await this.#finish(receiver, envelope, resolved, deadline);
        stream.queueId = queueId;
        return outcomes;
      },
    };
    return stream;
  }

  async #finish(
    receiver: MessageReceiver,
    envelope: Envelope,
    resolved: readonly ResolvedRecipient[],
    deadline: Deadline,
  ): Promise<{ readonly outcomes: readonly RecipientOutcome[]; readonly queueId: string }> {
    try {
      const message = await within(receiver.finish(), deadline);
      const transaction = new Transaction(this.#options, this.#inFlight, envelope, resolved, message);
      const outcomes = await transaction.run(deadline);
      const rest = transaction.settled.then(() => message.staged.discard());
      this.#background.add(rest);
      void rest.finally(() => this.#background.delete(rest));
      return { outcomes, queueId: transaction.queueId };
    } catch (error) {
      await receiver.abort();
      const failure = toMairustError(error, "take the message");
      const queueId = envelope.client.ident ?? "";
      for (const { account } of resolved) {
        this.#options.log.error("message not taken", {
          queue_id: queueId,
          id: receiver.id,
          to: account.address,
          status: "deferred",
          error: failure,
        });
      }
      return { outcomes: resolved.map(() => ({ kind: "failed", error: failure, id: receiver.id })), queueId };
    }
  }
}
