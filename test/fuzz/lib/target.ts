/**
 * What a fuzz target is. One module per decoder or state machine in `test/fuzz/`; it exports these names, `targets.ts`
 * lists them. A target decides itself what is wrong: whatever `run` throws is a finding.
 */
import type { Random } from "./random.ts";

export interface FuzzTarget {
  readonly name: string;
  /** Valid and nearly valid inputs: where mutation starts. */
  readonly seeds: readonly Uint8Array[];
  /** Octets of an input; mutation cuts at it. Default {@link INPUT_BYTES_MAX}. */
  readonly maxBytes?: number;
  /** Pieces that mutation inserts as a whole: keywords, delimiters, numbers at limits. Octets as characters. */
  readonly words?: readonly string[];
  /** A whole input by the grammar of the thing. */
  readonly generate?: (random: Random) => Uint8Array;
  /** Throws, or rejects, when the input breaks an invariant; documented errors of the code under test it takes itself. */
  readonly run: (input: Uint8Array) => void | Promise<void>;
}

export const INPUT_BYTES_MAX = 4096;

/** Octets of a text in which each character is one octet. */
export function octets(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** An invariant that does not hold. */
export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant: ${what}`);
}
