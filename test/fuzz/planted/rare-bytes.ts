/** A planted bug, to see that the runner finds one: a parser that throws at four octets in a row that no seed has. */
import { octets } from "../lib/target.ts";

export const name = "planted-rare-bytes";
export const maxBytes = 12;
export const seeds = ["abc"].map(octets);

/** Each octet opens a block of its own: the way that coverage shows. */
export function run(input: Uint8Array): void {
  for (let at = 0; at < input.length; at++) {
    if (input[at] !== 0x4d) continue;
    if (input[at + 1] !== 0x52) continue;
    if (input[at + 2] !== 0x07) continue;
    if (input[at + 3] === 0xb1) throw new RangeError("Cannot read property of undefined");
  }
}
