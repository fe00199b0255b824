/** A limit of octets per second that several workers share. */
import type { RateLimit } from "../wire/transfer-calls.ts";
import { sleep } from "./deadline.ts";

/** What may be moved at once after a pause, in seconds of the rate. */
const BURST_S = 0.25;

/** @param bytesPerSecond  undefined: as fast as it goes */
export function rateLimit(bytesPerSecond: number | undefined): RateLimit {
  if (bytesPerSecond === undefined) return { take: async () => undefined };
  let freeAt = performance.now();
  return {
    async take(bytes) {
      const now = performance.now();
      freeAt = Math.max(freeAt, now - BURST_S * 1000) + (bytes / bytesPerSecond) * 1000;
      if (freeAt > now) await sleep(freeAt - now);
    },
  };
}
