/** Changes of inputs, octet by octet and piece by piece. Pure but for the random numbers. */
import type { Random } from "./random.ts";

/** Octets that mean something to one of the decoders. */
const TELLING = [
  0, 9, 10, 13, 27, 32, 34, 40, 41, 42, 44, 45, 46, 58, 59, 60, 61, 62, 63, 64, 92, 123, 125, 127, 128, 192,
  255,
];
/** Numbers at the edges of what programs count with. */
const NUMBERS = [
  "0",
  "1",
  "9",
  "255",
  "65535",
  "65536",
  "2147483647",
  "2147483648",
  "4294967295",
  "4294967296",
  "99999999999999999999",
  "-1",
];
const REPEATS_MAX = 64;
const CHANGES_MAX = 6;

export interface MutationContext {
  readonly words: readonly string[];
  readonly maxBytes: number;
  /** Another input, to take pieces from. */
  readonly other: Uint8Array;
}

type Change = (input: Buffer, random: Random, context: MutationContext) => Buffer;

/** Octets `[from, from + length)`, both chosen. */
function range(input: Buffer, random: Random): { from: number; to: number } {
  const from = random.int(input.length + 1);
  return { from, to: Math.min(input.length, from + 1 + random.small(32)) };
}

function splice(input: Buffer, from: number, to: number, piece: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, from), piece, input.subarray(to)]);
}

const CHANGES: readonly Change[] = [
  (input, random) => {
    const at = random.int(input.length);
    if (at < input.length) input[at] = (input[at] ?? 0) ^ (1 << random.int(8));
    return input;
  },
  (input, random) => {
    if (input.length > 0) input[random.int(input.length)] = random.pick(TELLING);
    return input;
  },
  (input, random) => {
    if (input.length > 0) input[random.int(input.length)] = random.int(256);
    return input;
  },
  (input, random) => splice(input, ...at(input, random), Buffer.from([random.pick(TELLING)])),
  (input, random) => splice(input, ...at(input, random), Buffer.from([random.int(256)])),
  (input, random) => {
    const { from, to } = range(input, random);
    return splice(input, from, to, EMPTY);
  },
  (input, random, { words }) =>
    words.length === 0
      ? input
      : splice(input, ...at(input, random), Buffer.from(random.pick(words), "latin1")),
  (input, random, { words }) => {
    const { from, to } = range(input, random);
    return words.length === 0 ? input : splice(input, from, to, Buffer.from(random.pick(words), "latin1"));
  },
  (input, random) => {
    const { from, to } = range(input, random);
    const piece = input.subarray(from, to);
    const times = 1 + random.small(REPEATS_MAX);
    return splice(input, from, from, Buffer.concat(Array.from({ length: times }, () => piece)));
  },
  (input, random) => {
    const { from, to } = range(input, random);
    return splice(input, ...at(input, random), Buffer.from(input.subarray(from, to)));
  },
  (input, random, { other }) => {
    const from = random.int(other.length + 1);
    const piece = other.subarray(from, from + 1 + random.small(other.length - from));
    const { from: start, to } = range(input, random);
    return splice(input, start, random.oneIn(2) ? to : start, piece);
  },
  (input, random) => input.subarray(0, random.int(input.length + 1)),
  (input, random) => {
    const numbers = [...input.toString("latin1").matchAll(/\d+/gu)];
    if (numbers.length === 0) return input;
    const number = random.pick(numbers);
    return splice(input, number.index, number.index + number[0].length, Buffer.from(random.pick(NUMBERS)));
  },
];

const EMPTY = Buffer.alloc(0);

function at(input: Buffer, random: Random): [number, number] {
  const position = random.int(input.length + 1);
  return [position, position];
}

/** @returns a changed copy of at most `context.maxBytes` octets */
export function mutate(input: Uint8Array, random: Random, context: MutationContext): Uint8Array {
  let changed = Buffer.from(input);
  // One change alone keeps what was reached so far.
  for (let left = random.oneIn(2) ? 1 : 1 + random.small(CHANGES_MAX); left > 0; left--) {
    changed = Buffer.from(random.pick(CHANGES)(changed, random, context));
  }
  return changed.subarray(0, context.maxBytes);
}
