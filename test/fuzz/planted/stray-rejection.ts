/** A planted bug, to see that the runner finds one: a promise that rejects and that nobody waits for. */
import { octets } from "../lib/target.ts";

export const name = "planted-stray-rejection";
export const seeds = ["a".repeat(30)].map(octets);

export function run(input: Uint8Array): void {
  if (input.includes(0x28)) void Promise.reject(new TypeError("nobody waits"));
}
