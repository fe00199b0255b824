/**
 * The job that the commit of a message, or its release, leaves when hooks stand at `post_receive` (message path, step 8): a chain for
 * each account that has a copy, and what the plugins want is applied to that account's copies.
 *
 * At least once. What hooks answered is applied before it is written down that they did; those that failed are called again, alone,
 * when the queue's back-off has passed, until the attempts are used up. A message that is gone, or copies that are, leave nothing to do.
 * Failures: `plugin_failed` (hooks failed), `store_unavailable`, `blob_missing`, `blob_damaged`: the job is run again.
 */
import { MairustError } from "../../core/errors.ts";
import { messageId } from "../../core/ids.ts";
import { HEADER_KEEP_BYTES } from "../../core/mime/limits.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type {
  ChainOptions,
  HookDecision,
  HookDecisions,
  HookRunner,
  MessageChanges,
  MessageContent,
  MessageFacts,
} from "../../core/ports/hooks.ts";
import type { JobData } from "../../core/ports/jobs.ts";
import type { StoredCopy, StoredMessage, StoredMessages } from "../../core/ports/message-changes.ts";
import type { MessageStore } from "../../core/ports/store.ts";
import type { TimelineEvent } from "../../core/ports/timeline.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { TAG_PATTERN } from "../../wire/answer.ts";
import type { JobHandler, JobRun } from "../worker.ts";

export const POST_RECEIVE_JOB = "post_receive";

/** Messages at a time on this node. */
const CONCURRENCY = 8;
/** Accounts of one message at a time. */
const ACCOUNTS_AT_ONCE = 4;
/** For all hooks of one account, one after the other; the longest time-out of one is 120 s. What it cuts is run again. */
const CHAIN_MS = 600_000;
const TAG = new RegExp(TAG_PATTERN, "u");

export interface PostReceiveOptions {
  readonly messages: StoredMessages;
  readonly blobs: BlobStore;
  readonly hooks: () => HookRunner;
  readonly recordEvents: MessageStore["recordEvents"];
  readonly now: () => Date;
}

export function createPostReceiveHandler(options: PostReceiveOptions): JobHandler {
  return {
    kind: POST_RECEIVE_JOB,
    concurrency: CONCURRENCY,
    async run(run) {
      const message = await findMessage(options, run);
      if (message !== undefined) await new MessageRun(options, run, message).all();
    },
  };
}

async function findMessage(
  { messages, blobs }: PostReceiveOptions,
  { job }: JobRun,
): Promise<StoredMessage | undefined> {
  if (job.messageId === undefined)
    throw new MairustError("data_invalid", `Cannot run job ${job.id}: it names no message`);
  const found = await messages.find(messageId(job.messageId));
  const message = found === undefined ? undefined : { ...found, copies: copiesFor(found, job.payload) };
  if (message === undefined || message.header !== undefined || message.copies.length === 0) return message;
  const end = Math.min(message.headerBytes, HEADER_KEEP_BYTES);
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobs.get(message.digest, { start: 0, end })) chunks.push(chunk);
  return { ...message, header: Buffer.concat(chunks) };
}

/**
 * A release and a relay name whose copies they made; other copies of the message had their hooks when they were stored. A copy that was
 * relayed has a job of its own.
 */
function copiesFor({ copies }: StoredMessage, { accounts, relayed }: JobData): readonly StoredCopy[] {
  return copies.filter(copy => {
    if (copy.relayed !== undefined) return Array.isArray(relayed) && relayed.includes(copy.relayed);
    return !Array.isArray(accounts) || accounts.includes(copy.account);
  });
}

/** Of what is left to do. */
const keyOf = ({ account, relayed }: StoredCopy) =>
  relayed === undefined ? String(account) : `relayed:${relayed}`;

/** What is left to do, by account id: these hooks, or nothing. An account that is not named had no run yet. */
type Left = Map<string, readonly string[]>;

class MessageRun {
  readonly #options: PostReceiveOptions;
  readonly #run: JobRun;
  readonly #message: StoredMessage;
  readonly #content: MessageContent;
  readonly #left: Left;
  /** Calls in shadow: they hold up nothing but the end of this job. */
  readonly #shadows: Promise<void>[] = [];
  /** Of the last failure of each hook. */
  readonly #problems = new Map<string, string>();

  constructor(options: PostReceiveOptions, run: JobRun, message: StoredMessage) {
    const { digest, sizeBytes } = message;
    this.#options = options;
    this.#run = run;
    this.#message = message;
    // The same object for every account: headers and preview are read once, and a call for a whole domain is made once.
    this.#content = { digest, sizeBytes, read: range => options.blobs.get(digest, range) };
    this.#left = readCheckpoint(run.job.checkpoint);
  }

  /** @throws {MairustError} `plugin_failed`: hooks are left */
  async all(): Promise<void> {
    try {
      await this.#accounts();
    } finally {
      await this.#endShadows();
    }
    if (this.#problems.size > 0) this.#again();
    const relayed = this.#message.copies.flatMap(copy => copy.relayed ?? []);
    if (relayed.length > 0) await this.#options.messages.dropRelayed(relayed);
  }

  async #accounts(): Promise<void> {
    const { signal } = this.#run;
    const todo = this.#message.copies.filter(copy => this.#left.get(keyOf(copy))?.length !== 0);
    for (let at = 0; at < todo.length; at += ACCOUNTS_AT_ONCE) {
      signal.throwIfAborted();
      const results = await Promise.allSettled(
        todo.slice(at, at + ACCOUNTS_AT_ONCE).map(copy => this.#one(copy)),
      );
      const isLast = at + ACCOUNTS_AT_ONCE >= todo.length;
      const broken = results.find(result => result.status === "rejected");
      // A job that ends well forgets its checkpoint: most need none.
      if (!isLast || broken !== undefined || this.#problems.size > 0)
        await this.#run.saveCheckpoint({ left: Object.fromEntries(this.#left) });
      if (broken !== undefined) throw broken.reason;
    }
  }

  /** Their own time-outs bound them; a service that stops does not wait. */
  async #endShadows(): Promise<void> {
    const deadline = deadlineAfter(CHAIN_MS, this.#run.signal);
    await within(Promise.all(this.#shadows), deadline).catch(() => undefined);
    deadline.dispose();
  }

  #again(): never {
    const { job, signal } = this.#run;
    signal.throwIfAborted();
    if (job.attempts >= job.maxAttempts) this.#record([this.#givenUp()]);
    const problems = [...this.#problems].map(([hook, problem]) => `hook "${hook}": ${problem}`).join("; ");
    throw new MairustError(
      "plugin_failed",
      `Cannot finish the hooks of ${this.#message.messageId}: ${problems}`,
    );
  }

  async #one(copy: StoredCopy): Promise<void> {
    const { job, signal } = this.#run;
    const only = this.#left.get(keyOf(copy));
    const options: ChainOptions = {
      attempt: job.attempts,
      ...(only === undefined ? {} : { only: new Set(only) }),
    };
    const deadline = deadlineAfter(CHAIN_MS, signal);
    try {
      const facts = factsOf(this.#message, this.#content, copy);
      const decisions = await this.#options.hooks().run(POST_RECEIVE_JOB, facts, deadline, options);
      await this.#apply(copy, facts.tags, decisions);
      const failed = decisions.failed ?? [];
      for (const { hook, problem } of failed) this.#problems.set(hook, problem);
      this.#left.set(
        keyOf(copy),
        failed.map(({ hook }) => hook),
      );
      if (decisions.late !== undefined)
        this.#shadows.push(decisions.late.then(events => this.#record(events)));
    } finally {
      deadline.dispose();
    }
  }

  async #apply(copy: StoredCopy, tags: readonly string[], { each, events }: HookDecisions): Promise<void> {
    const decision = each.get(copy.address);
    const changes = decision === undefined ? undefined : changesOf(decision, tags);
    if (decision === undefined || changes === undefined) return this.#record(events);
    if (copy.relayed !== undefined) {
      const problems = ["the message was relayed: nothing of it is here to be changed"];
      return this.#record([...events, this.#notApplicable(copy, decision.provenance, problems)]);
    }
    const { wishes = [] } = decision;
    const request = { messageId: this.#message.messageId, accounts: [copy.account], changes, wishes, events };
    const by = decision.provenance;
    const [result] = await this.#options.messages.apply({ ...request, by, job: POST_RECEIVE_JOB });
    if (result?.outcome === "no_copy") this.#record([this.#notApplicable(copy, by, ["the copy is gone"])]);
  }

  #notApplicable(
    { address }: StoredCopy,
    by: HookDecision["provenance"],
    problems: readonly string[],
  ): TimelineEvent {
    const data = { job: POST_RECEIVE_JOB, by, result: "not_applicable", problems };
    return { at: this.#options.now(), kind: "job", recipient: address, data };
  }

  #givenUp(): TimelineEvent {
    const failed = [...this.#problems].map(([hook, problem]) => ({ hook, problem }));
    const data = { job: POST_RECEIVE_JOB, result: "failed", attempts: this.#run.job.attempts, failed };
    return { at: this.#options.now(), kind: "job", data };
  }

  #record(events: readonly TimelineEvent[]): void {
    const { messageId, queueId } = this.#message;
    if (events.length > 0) this.#options.recordEvents(messageId, queueId, events);
  }
}

/** What an earlier version wrote in another form counts as nothing. */
function readCheckpoint({ left }: JobData): Left {
  if (typeof left !== "object" || left === null) return new Map();
  return new Map(
    Object.entries(left).flatMap(([account, hooks]) =>
      Array.isArray(hooks) ? [[account, hooks.filter(hook => typeof hook === "string")] as const] : [],
    ),
  );
}

/** What hooks may be told (after their grants) of a message that this account has. */
function factsOf(message: StoredMessage, content: MessageContent, copy: StoredCopy): MessageFacts {
  return {
    messageId: message.messageId,
    receivedAt: message.receivedAt,
    sizeBytes: message.sizeBytes,
    queueId: message.queueId,
    direction: "inbound",
    stage: copy.stage,
    mailFrom: message.mailFrom,
    recipients: [copy.address],
    observed: new Set(),
    domainRecipients: message.copies.filter(one => one.domain === copy.domain).map(one => one.address),
    account: copy.address,
    client: message.client,
    ...(message.senderAuth === undefined ? {} : { senderAuth: message.senderAuth }),
    authUser: undefined,
    tls: undefined,
    header: message.header ?? new Uint8Array(),
    threadKey: message.threadKey,
    tags: copy.keywords.filter(word => TAG.test(word)),
    structure: message.structure,
    content,
  };
}

/**
 * @param tags  that the copies had when the chain ran: a decision has all tags, kept ones too
 * @returns undefined when nothing is to be changed
 */
function changesOf(decision: HookDecision, tags: readonly string[]): MessageChanges | undefined {
  const { folder, flags, metadata } = decision;
  const tagsAdd = decision.tags.filter(tag => !tags.includes(tag));
  const tagsRemove = tags.filter(tag => !decision.tags.includes(tag));
  const words = tagsAdd.length + tagsRemove.length + flags.keywords.length + Object.keys(metadata).length;
  if (words === 0 && flags.system === 0 && folder === undefined) return undefined;
  return { tagsAdd, tagsRemove, systemFlags: flags.system, keywords: flags.keywords, folder, metadata };
}
