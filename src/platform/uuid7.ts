/** UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, then random bits. Ids made later sort later, so index inserts stay at the right edge. */
import { randomFillSync } from "node:crypto";

/** Random bytes drawn at once: one system call for many ids. */
const POOL_BYTES = 4096;
/** Bytes of randomness one id takes. */
const RANDOM_BYTES = 10;

/** @returns a generator with its own pool of random bytes */
export function uuid7Generator(now: () => number = Date.now): () => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return () => {
    if (used + RANDOM_BYTES > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const id = Buffer.alloc(16);
    id.writeUIntBE(now(), 0, 6);
    pool.copy(id, 6, used, used + RANDOM_BYTES);
    used += RANDOM_BYTES;
    id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x70, 6);
    id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
    const hex = id.toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
}

/** @returns the lowest UUIDv7 of a time: those made from then on are not below it. @param ms  since 1970; negative counts as 0 */
export function uuid7Floor(ms: number): string {
  const hex = Math.max(0, Math.trunc(ms)).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}
