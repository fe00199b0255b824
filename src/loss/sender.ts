/**
 * Hands the canaries to Postfix at a steady rate, as a mail server does: what is answered 4xx is tried again, what was answered 250 is
 * Postfix's. Where the connection breaks after the message's end nobody knows, and it is not sent again.
 */
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { submitBySmtp } from "../delivery/smtp-submission.ts";
import { deadlineAfter, sleep } from "../platform/deadline.ts";
import type { Canary, CanaryName } from "./canary.ts";

/** Connections at a time. */
const MAX_CONNECTIONS = 20;
const ANSWER_MS = 60_000;
/** Between two tries of one canary, and how long it is tried. */
const RETRY_MS = 500;
const RETRIES_MS = 120_000;

export interface SentCanary {
  readonly canary: CanaryName;
  /** `uncertain`: no answer to the message's end. `refused`: 4xx until the time was over. */
  readonly state: "accepted" | "uncertain" | "refused";
  /** "" when Postfix did not name it. */
  readonly queueId: string;
  readonly acceptedAt: number;
}

export interface SenderOptions {
  readonly through: string;
  readonly hostname: string;
  readonly from: string;
  readonly ratePerSecond: number;
}

/** @throws {MairustError} `invalid_state`: Postfix refuses a canary for good; the others are sent to their end first */
export async function sendCanaries(
  options: SenderOptions,
  canaries: readonly Canary[],
  onSent: (sent: SentCanary) => void,
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const startedAt = performance.now();
  for (const [i, canary] of canaries.entries()) {
    const waitMs = startedAt + (i * 1000) / options.ratePerSecond - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    while (running.size >= MAX_CONNECTIONS) await Promise.race(running);
    if (failures.length > 0) break;
    const one: Promise<void> = sendOne(options, canary)
      .then(onSent, (error: unknown) => void failures.push(error))
      .finally(() => running.delete(one));
    running.add(one);
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}

async function sendOne(options: SenderOptions, canary: Canary): Promise<SentCanary> {
  const givenUpAt = performance.now() + RETRIES_MS;
  for (;;) {
    const sent = await tryOnce(options, canary);
    if (sent.state !== "refused" || performance.now() > givenUpAt) return sent;
    await sleep(RETRY_MS);
  }
}

async function tryOnce({ through, hostname, from }: SenderOptions, canary: Canary): Promise<SentCanary> {
  const deadline = deadlineAfter(ANSWER_MS);
  const { recipient, messageId, digest } = canary;
  const result = (state: SentCanary["state"], queueId = ""): SentCanary => ({
    canary: { recipient, messageId, digest },
    state,
    queueId,
    acceptedAt: Date.now(),
  });
  try {
    const [reply] = await submitBySmtp(
      { server: through, hostname },
      {
        mailFrom: from,
        // A canary that Postfix gives up shall go nowhere: it is counted here.
        recipients: [{ address: parseMailAddress(canary.recipient), notify: ["NEVER"] }],
        top: "",
        content: chunkOf(canary.content),
      },
      deadline,
    );
    if (reply?.taken === true) return result("accepted", /queued as ([0-9A-Za-z]+)/u.exec(reply.text)?.[1]);
    if (reply?.text.startsWith("5") !== true) return result("refused");
    const publicText = `Postfix refuses mail to ${canary.recipient}: ${reply.text}`;
    throw new MairustError("invalid_state", `Cannot send a canary: ${publicText}`, { publicText });
  } catch (error) {
    if (!(error instanceof MairustError) || error.code !== "store_unavailable") throw error;
    return result(error.context.unknown === true ? "uncertain" : "refused");
  } finally {
    deadline.dispose();
  }
}

async function* chunkOf(content: Buffer): AsyncIterable<Uint8Array> {
  yield content;
}
