/**
 * One run of the loss proof: canaries in rounds, a kill in each round where one is asked for, an empty queue, and every canary looked
 * for. It outlives the service and changes nothing but its own canaries.
 */
import { messageOf } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import type { LossOptions, LossProof, LossReport, LossRound, LossRow } from "../wire/loss-calls.ts";
import { makeCanary } from "./canary.ts";
import { type JudgedCanary, judge } from "./judge.ts";
import { planRounds } from "./plan.ts";
import { PostfixQueue } from "./postfix-queue.ts";
import { type CanaryReader, imapReader, storeReader } from "./readers.ts";
import { type SentCanary, sendCanaries } from "./sender.ts";
import { ServiceWatch } from "./service-watch.ts";

/** Between two looks at Postfix's queue. */
const QUEUE_POLL_MS = 1_000;
/** Looks that must find nothing, one after the other: a message that moves from one part of the queue to another may be in no list. */
const EMPTY_LOOKS = 2;

export const lossProof: LossProof = {
  plan: planRounds,
  async queueProblem(postfix) {
    try {
      await new PostfixQueue(postfix).waiting(new Set());
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  },
  run: options => new Proof(options).run(),
};

class Proof {
  readonly #options: LossOptions;
  readonly #queue: PostfixQueue | undefined;
  readonly #watch: ServiceWatch;
  readonly #sent: { readonly step: LossRow["step"]; readonly sent: SentCanary }[] = [];
  readonly #kills = new Map<LossRow["step"], number>();
  readonly #notes: string[] = [];
  #number = 0;

  constructor(options: LossOptions) {
    this.#options = options;
    this.#queue = options.postfix === undefined ? undefined : new PostfixQueue(options.postfix);
    this.#watch = new ServiceWatch(options.calls, options.restartMs);
  }

  async run(): Promise<LossReport> {
    const { run, rounds, calls, onProgress } = this.#options;
    const startedAt = performance.now();
    try {
      for (const [i, round] of rounds.entries()) {
        onProgress(`round ${i + 1} of ${rounds.length}: ${roundText(round)}`);
        await this.#round(round);
      }
    } finally {
      await calls.disarm();
    }
    onProgress("waiting until Postfix has delivered all of them");
    const waiting = await this.#drain();
    onProgress("looking for all of them");
    const reader = await this.#reader();
    const judged = await this.#look(reader, waiting);
    await this.#clean(reader, waiting.size);
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    return { run, ...judge(judged, this.#kills), notes: this.#notes, seconds };
  }

  async #round({ kill, messages }: LossRound): Promise<void> {
    const { ratePerSecond } = this.#options;
    const step = kill ?? "none";
    const send = () => this.#send(step, messages);
    if (kill === undefined) {
      this.#kills.set(step, 0);
      return send();
    }
    const windowMs = (messages * 1000) / ratePerSecond;
    const isKilled = await this.#watch.kill(kill, send, () => this.#push(), windowMs);
    this.#kills.set(step, (this.#kills.get(step) ?? 0) + (isKilled ? 1 : 0));
    if (!isKilled)
      this.#notes.push(`no delivery came to the step "${kill}": the service was not ended there`);
  }

  async #send(step: LossRow["step"], messages: number): Promise<void> {
    const { run, hostname, from, recipients } = this.#options;
    const canaries = Array.from({ length: messages }, () => {
      this.#number += 1;
      const recipient = recipients[this.#number % recipients.length] ?? "";
      return makeCanary({ run, number: this.#number, hostname, from, recipient, now: new Date() });
    });
    await sendCanaries(this.#options, canaries, sent => void this.#sent.push({ step, sent }));
  }

  #ids(): ReadonlySet<string> {
    return new Set(this.#sent.map(({ sent }) => sent.queueId).filter(id => id !== ""));
  }

  async #push(): Promise<void> {
    if (this.#queue === undefined) return;
    await this.#queue.flush(await this.#queue.waiting(this.#ids()));
  }

  /** @returns queue ids that are still there when the time is over */
  async #drain(): Promise<ReadonlySet<string>> {
    const givenUpAt = performance.now() + this.#options.drainMs;
    if (this.#queue === undefined) return this.#drainBlind(givenUpAt);
    const ids = this.#ids();
    for (let empty = 0; ; ) {
      const waiting = await this.#queue.waiting(ids);
      empty = waiting.size === 0 ? empty + 1 : 0;
      if (empty === EMPTY_LOOKS) return new Set();
      if (waiting.size > 0 && performance.now() > givenUpAt) return new Set(waiting.keys());
      await this.#queue.flush(waiting);
      await sleep(QUEUE_POLL_MS);
    }
  }

  /** Nobody can tell what Postfix still has: wait until all are there, or the time is over. */
  async #drainBlind(givenUpAt: number): Promise<ReadonlySet<string>> {
    const left = new Set(this.#sent.filter(({ sent }) => sent.state === "accepted"));
    for (;;) {
      const reader = await this.#reader();
      for (const one of left) if ((await reader.find(one.sent.canary)).length > 0) left.delete(one);
      if (left.size === 0 || performance.now() > givenUpAt) return new Set();
      await sleep(QUEUE_POLL_MS);
    }
  }

  async #reader(): Promise<CanaryReader> {
    const { calls, imap, recipients, run } = this.#options;
    await this.#watch.ready();
    if (imap === undefined) return storeReader(calls);
    return imapReader(new Map(recipients.map(recipient => [recipient, imap(recipient)])), run);
  }

  async #look(reader: CanaryReader, waiting: ReadonlySet<string>): Promise<readonly JudgedCanary[]> {
    const judged: JudgedCanary[] = [];
    for (const { step, sent } of this.#sent) {
      const copies = await reader.find(sent.canary);
      const isHeld = copies.length === 0 && (await this.#options.calls.isHeld(sent.canary.messageId));
      judged.push({ step, sent, copies, isHeld, isWaiting: waiting.has(sent.queueId) });
    }
    return judged;
  }

  async #clean(reader: CanaryReader, waiting: number): Promise<void> {
    if (this.#options.keep) return;
    if (waiting > 0)
      this.#notes.push(
        `${waiting} canaries are still in Postfix's queue and will be delivered: nothing was deleted`,
      );
    else {
      const problem = await reader.remove();
      if (problem !== undefined) this.#notes.push(problem);
    }
  }
}

function roundText({ kill, messages }: LossRound): string {
  if (kill === undefined) return `${messages} canaries`;
  return kill === "random"
    ? `${messages} canaries, the service is killed at any time`
    : `${messages} canaries, the service is killed when a delivery is ${kill}`;
}
