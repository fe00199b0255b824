/** A planted bug, to see that the runner finds one: work that grows with the cube of how many dots stand in the input. */
import { octets } from "../lib/target.ts";

export const name = "planted-quadratic";
export const maxBytes = 1000;
export const seeds = ["a.b", "x.".repeat(40)].map(octets);

export function run(input: Uint8Array): void {
  const dots = input.filter(octet => octet === 0x2e).length;
  let steps = 0;
  for (let i = 0; i < dots; i++) for (let j = 0; j < dots * dots; j++) steps = (steps + i * j) | 0;
  if (steps === 0.5) throw new Error("never");
}
