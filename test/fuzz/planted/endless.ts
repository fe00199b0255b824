/** A planted bug, to see that the runner finds one: a loop without an end. */
import { octets } from "../lib/target.ts";

export const name = "planted-endless";
export const seeds = ["a".repeat(30)].map(octets);

export function run(input: Uint8Array): void {
  for (let at = 0; at < input.length; ) if (input[at] !== 0x28) at += 1;
}
