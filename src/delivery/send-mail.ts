/**
 * Mail that our users send by the API or a command: composed or taken as a whole, its sender checked, judged by the hooks of
 * `pre_send`, signed, and put into the outbox with the copy for its sender's mailbox; from there a job hands it to the MTA.
 *
 * Never an open relay: the address of From, which is the envelope's too, must be one of an account here, its alias or sub-address.
 * What fails how: nothing is kept before the commit that queues it (or holds it); what is thrown before means that nothing will be sent.
 */
import type { Deadline } from "../core/deadline.ts";
import type { MailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";
import type { Directory, ResolvedRecipient } from "../core/ports/directory.ts";
import type { HeldMessage, Holds, NewHold } from "../core/ports/holds.ts";
import type { Outbox, OutgoingRecord } from "../core/ports/outbox.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import type { IdempotencyKeys, MailSender, SendAsked, SentMail } from "../core/ports/sending.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { groupByDecision } from "../core/same-decision.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { holdReason } from "./hold-copy.ts";
import { messageColumns, type ReceivedMessage } from "./received-message.ts";
import { sentAnswerOf } from "./send-answer.ts";
import { type ContentParts, type SentContent, stage, takeContent } from "./send-content.ts";
import {
  editSent,
  type JudgeParts,
  judgeSent,
  refusedEvent,
  type SentJudgement,
  whyRefused,
} from "./send-judge.ts";

/** Mails that are composed and judged at a time on this node. */
const MAX_AT_ONCE = 16;
/** For reading a message and storing it, besides its hooks. */
const REST_MS = 120_000;
/** Of keys of this use. */
const SCOPE = "send";

export interface SenderOptions extends ContentParts, JudgeParts {
  readonly directory: Directory;
  readonly holds: Holds;
  readonly outbox: Outbox;
  readonly signer: DkimSigner;
  readonly keys: IdempotencyKeys;
  /** The hold of a message that was held before the process ended. */
  readonly heldAs: (id: MessageId) => Promise<string | undefined>;
  readonly newMessageId: () => MessageId;
  /** `milter.chain_timeout_ms`: as long as an MTA would wait. */
  readonly chainTimeoutMs: () => number;
}

export function createMailSender(options: SenderOptions): MailSender {
  const engine = new SendEngine(options);
  return { send: asked => engine.send(asked) };
}

class SendEngine {
  readonly #options: SenderOptions;
  #running = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  async send(asked: SendAsked): Promise<SentMail> {
    if (this.#running >= MAX_AT_ONCE) {
      const text = `${MAX_AT_ONCE} mails are being sent at this moment`;
      throw new MairustError("too_many", `Cannot send: ${text}`, { publicText: text });
    }
    this.#running += 1;
    const deadline = deadlineAfter(this.#options.chainTimeoutMs() + REST_MS);
    try {
      return await this.#take(asked, deadline);
    } finally {
      deadline.dispose();
      this.#running -= 1;
    }
  }

  async #take(asked: SendAsked, deadline: Deadline): Promise<SentMail> {
    const id = this.#options.newMessageId();
    const content = await takeContent(this.#options, asked.mail, id, deadline);
    const readers: Promise<void>[] = [];
    try {
      const sender = await this.#senderOf(content);
      if (asked.dryRun) return checked(content);
      const { idempotency } = asked;
      if (idempotency === undefined) return await this.#send(content, sender, deadline, readers);
      const digest = idempotency.digest ?? content.digest;
      return await this.#once(idempotency.key, digest, content.message.id, known =>
        this.#send(withId(content, known), sender, deadline, readers),
      );
    } finally {
      // Hooks that nobody waited for may still read it.
      void Promise.allSettled(readers).then(() => content.message.staged.discard());
    }
  }

  async #once(
    key: string,
    digest: string,
    id: MessageId,
    work: (id: MessageId) => Promise<SentMail>,
  ): Promise<SentMail> {
    const { keys } = this.#options;
    const use = await keys.begin(SCOPE, key, digest, id);
    if (use.kind === "answered") return sentAnswerOf(use.answer);
    try {
      const done = use.kind === "resumed" ? await this.#doneBefore(use.messageId) : undefined;
      const sent = done ?? (await work(use.messageId));
      await keys.finish(SCOPE, key, sent);
      return sent;
    } catch (error) {
      if (!(await this.#mayBeDone(use.messageId, error)))
        await keys.release(SCOPE, key).catch(() => undefined);
      throw error;
    }
  }

  /**
   * With the database cut off nobody knows whether the commit is done, or will be in a moment: the key stays, and who asks after its
   * lease finds by the id what was done.
   */
  async #mayBeDone(id: MessageId, error: unknown): Promise<boolean> {
    if (error instanceof MairustError && error.code === "store_unavailable") return true;
    return this.#doneBefore(id).then(
      done => done !== undefined,
      () => true,
    );
  }

  async #doneBefore(id: MessageId): Promise<SentMail | undefined> {
    const { outbox, heldAs } = this.#options;
    const record = await outbox.findByMessage(id);
    if (record !== undefined) return queuedMail(record, id, 0);
    const hold = await heldAs(id);
    return hold === undefined ? undefined : heldMail(hold, id, { from: "", recipients: [], sizeBytes: 0 });
  }

  /** @throws {MairustError} `not_permitted` */
  async #senderOf({ from, sender }: SentContent): Promise<ResolvedRecipient> {
    const found = await this.#options.directory.findAccount(from);
    if (found === undefined) throw notOurs(from);
    if (sender !== undefined) {
      const second = await this.#options.directory.findAccount(sender);
      if (second?.account.id !== found.account.id) throw notOurs(sender);
    }
    return found;
  }

  /** @param readers  takes what settles when no hook reads the message any more */
  async #send(
    content: SentContent,
    sender: ResolvedRecipient,
    deadline: Deadline,
    readers: Promise<void>[],
  ): Promise<SentMail> {
    const { now, recordEvents, log } = this.#options;
    const { id } = content.message;
    const received = receivedEvent(content, sender);
    const judged = await judgeSent(this.#options, content, sender, deadline);
    readers.push(judged.settled);
    const { combined } = judged;
    const refused = whyRefused(judged, id);
    if (refused !== undefined) {
      recordEvents(id, "", [received, ...judged.events, ...refusedEvent(judged, now())]);
      log.info("not sent", { id, from: content.from.raw, status: refused.code });
      throw refused;
    }
    const events = [received, ...judged.events];
    if (combined.kind === "hold") return this.#hold(content, sender, judged, events);
    if (combined.kind !== "accept") throw new MairustError("internal", `Cannot send "${id}": no decision`);
    const edited = await editSent(this.#options, content, judged, combined, deadline);
    const told = [...events, ...edited.events];
    if (edited.bytes === undefined) return this.#queue(content, content.message, sender, edited.bcc, told);
    const changed = await stage(this.#options, id, content.message.receivedAt, edited.bytes, deadline);
    try {
      return await this.#queue(content, changed, sender, edited.bcc, told);
    } finally {
      await changed.staged.discard();
    }
  }

  async #queue(
    { from, recipients }: SentContent,
    message: ReceivedMessage,
    sender: ResolvedRecipient,
    bcc: readonly string[],
    events: readonly TimelineEvent[],
  ): Promise<SentMail> {
    const { outbox, signer, log } = this.#options;
    const { id, staged } = message;
    const top = await signer.sign(sender.domain.name, staged);
    const blob = await staged.persist();
    const all = [...recipients, ...bcc.map(raw => ({ ...from, ...addressOf(raw) }))];
    const queued = await outbox.queue({
      purpose: "send",
      mailFrom: from.raw,
      recipients: all.map(address => ({ address })),
      content: { kind: "message", message: heldMessage(message, blob, from, events), top },
      messageId: id,
      sentCopy: { account: sender.account, isKept: sender.stage === "store" },
    });
    log.info("queued", { id, outbox: queued.id, from: from.raw, recipients: all.length });
    return queuedMail(await outbox.get(queued.id), id, blob.sizeBytes);
  }

  async #hold(
    content: SentContent,
    sender: ResolvedRecipient,
    { verdicts, combined }: SentJudgement,
    events: readonly TimelineEvent[],
  ): Promise<SentMail> {
    const { message, from, recipients } = content;
    const blob = await message.staged.persist();
    const holder = verdicts.find(({ decision }) => decision.action === "hold")?.decision.by;
    const decided = verdicts.flatMap(({ decision }, i) => {
      const address = recipients[i];
      return address === undefined ? [] : [{ decision, address }];
    });
    const holds = groupByDecision(decided).map(({ decision, items }): NewHold => {
      const by = decision.by ?? holder;
      return {
        point: "pre_send",
        recipients: items.map(({ address }) => ({ address })),
        account: undefined,
        ...{ by, reason: holdReason(by), decision },
        authUser: sender.account.address,
        prefix: new Uint8Array(),
        session: {},
        events: [],
      };
    });
    if (combined.kind !== "hold" || holds.length === 0)
      throw new MairustError("internal", `Cannot hold "${message.id}": no hook holds it`);
    const [held] = await this.#options.holds.hold(heldMessage(message, blob, from, events), holds);
    const facts = {
      from: from.raw,
      recipients: recipients.map(({ raw }) => raw),
      sizeBytes: blob.sizeBytes,
    };
    return heldMail(held?.heldId ?? "", message.id, facts);
  }
}

const withId = (content: SentContent, id: MessageId): SentContent => ({
  ...content,
  message: { ...content.message, id },
});

/** Of a hook's list, which was checked when it answered. */
function addressOf(raw: string): MailAddress {
  const at = raw.lastIndexOf("@");
  return { raw, local: raw.slice(0, at), domain: raw.slice(at + 1) };
}

function heldMessage(
  message: ReceivedMessage,
  blob: BlobRecord,
  from: MailAddress,
  events: readonly TimelineEvent[],
): HeldMessage {
  return { ...messageColumns(message, blob), queueId: "", mailFrom: from.raw, events };
}

function receivedEvent({ message, from, recipients }: SentContent, sender: ResolvedRecipient): TimelineEvent {
  return {
    at: message.receivedAt,
    kind: "received",
    data: {
      ...{ by: "API", direction: "outbound", mail_from: from.raw, recipients: recipients.length },
      ...{ size_bytes: message.staged.sizeBytes, auth_user: sender.account.address },
    },
  };
}

function checked({ message, from, recipients }: SentContent): SentMail {
  return {
    ...{ id: undefined, messageId: message.id, state: "checked", hold: undefined, mailFrom: from.raw },
    results: recipients.map(({ raw }) => ({ recipient: raw, state: "waiting", reply: "", at: undefined })),
    ...{ sentCopy: undefined, sizeBytes: message.staged.sizeBytes, createdAt: message.receivedAt },
  };
}

function queuedMail(record: OutgoingRecord, id: MessageId, sizeBytes: number): SentMail {
  const { state, mailFrom, results, sentCopy, createdAt } = record;
  return {
    id: record.id,
    messageId: id,
    state,
    hold: undefined,
    mailFrom,
    results,
    sentCopy,
    sizeBytes,
    createdAt,
  };
}

function heldMail(
  hold: string,
  id: MessageId,
  {
    from,
    recipients,
    sizeBytes,
  }: { readonly from: string; readonly recipients: readonly string[]; readonly sizeBytes: number },
): SentMail {
  const results = recipients.map(
    recipient => ({ recipient, state: "waiting", reply: "held for approval", at: undefined }) as const,
  );
  const common = { id: undefined, messageId: id, state: "held", hold, mailFrom: from } as const;
  return { ...common, results, sentCopy: undefined, sizeBytes, createdAt: new Date() };
}

function notOurs({ raw }: MailAddress): MairustError {
  const text = `${raw} is no address of an account here; mail is sent only for our own`;
  return new MairustError("not_permitted", `Cannot send: ${text}`, { publicText: text });
}
