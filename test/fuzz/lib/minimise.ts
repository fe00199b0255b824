/** Makes a failing input small: takes pieces out, then makes octets plain, as long as it fails in the same way. */

/** Runs spent on one finding. */
const RUNS_MAX = 3000;
const PLAIN = 0x61;

/**
 * @param failsAlike  whether an input fails in the same way as the one given
 * @returns           the smallest found; the input itself when nothing can go
 */
export async function minimise(
  input: Uint8Array,
  failsAlike: (input: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let best = input;
  let runs = 0;
  const attempt = async (candidate: Uint8Array): Promise<boolean> => {
    runs += 1;
    if (runs > RUNS_MAX || !(await failsAlike(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.length; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (!(await attempt(shorter))) at += size;
    }
  }
  for (let at = 0; at < best.length; at++) {
    if (best[at] === PLAIN) continue;
    const plainer = Uint8Array.from(best);
    plainer[at] = PLAIN;
    await attempt(plainer);
  }
  return best;
}
