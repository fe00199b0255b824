/** A planted bug, to see that the runner finds one: memory that is never given back. */
import { octets } from "../lib/target.ts";

export const name = "planted-hoard";
export const seeds = ["a".repeat(30)].map(octets);

const held: string[][] = [];

export function run(input: Uint8Array): void {
  if (input.includes(0x28)) held.push(Array.from({ length: 100_000 }, (_, i) => `${held.length}-${i}`));
}
