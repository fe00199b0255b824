/**
 * Two speeds (`late = "apply"`): calls that go on after their time-out, because the policy let the mail go, and what becomes of
 * their answers. Both are bounded; a call for which there is no place ends with its time-out like any other.
 */
import { isTransient, MairustError, messageOf, toMairustError } from "../core/errors.ts";
import type { LateAnswer, LateAnswers } from "../core/ports/hooks.ts";
import { sleep } from "../platform/deadline.ts";

/** Most calls that go on after their time-out at a time; an answer that is on its way to the store counts too. */
export const MAX_LATE_CALLS = 1024;
/** Their share of the room for payloads: the rest stays with mail that waits. */
const LATE_SHARE = 0.5;
/** Tries to hand over an answer: 1, 2, 4, 8 and 16 s apart. */
const HAND_OVER_TRIES = 6;
const HAND_OVER_DELAY_MS = 1000;

export class LateCalls {
  readonly #limitBytes: number;
  readonly #handOver: LateAnswers;
  readonly #delayMs: number;
  #calls = 0;
  #bytes = 0;

  /**
   * @param roomBytes  the room for payloads
   * @param handOver   takes the answers
   */
  constructor(roomBytes: number, handOver: LateAnswers, delayMs = HAND_OVER_DELAY_MS) {
    this.#limitBytes = roomBytes * LATE_SHARE;
    this.#handOver = handOver;
    this.#delayMs = delayMs;
  }

  /**
   * @param bytes  of the call's payload
   * @returns      ends the stay, call it once; undefined: there is no place
   */
  enter(bytes: number): (() => void) | undefined {
    if (this.#calls >= MAX_LATE_CALLS || this.#bytes + bytes > this.#limitBytes) return undefined;
    this.#calls++;
    this.#bytes += bytes;
    return () => {
      this.#calls--;
      this.#bytes -= bytes;
    };
  }

  /**
   * Hand an answer over; tried again while the store is away.
   * @throws {MairustError} the answer is lost: too many wait, or the tries are used up
   */
  async handOver(answer: LateAnswer): Promise<void> {
    const leave = this.enter(0);
    if (leave === undefined) throw new MairustError("too_many", "Cannot keep a late answer: too many wait");
    try {
      for (let tries = 1; ; tries++) {
        try {
          return await this.#handOver(answer);
        } catch (error) {
          const known = toMairustError(error, "keep it");
          if (tries >= HAND_OVER_TRIES || !isTransient(known)) throw lost(known);
        }
        await sleep(this.#delayMs * 2 ** (tries - 1), undefined, false);
      }
    } finally {
      leave();
    }
  }
}

function lost(cause: MairustError): MairustError {
  return new MairustError("internal", `Cannot keep a late answer: ${messageOf(cause)}`, { cause });
}
