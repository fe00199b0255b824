/** How an input is cut for a session: small chunks at first, then ever larger ones, so that a long input takes few turns. */
export function chunkSizes(input: Uint8Array): readonly number[] {
  const sizes: number[] = [];
  const first = 1 + ((input[input.length >> 1] ?? 0) % 9);
  for (let left = input.length, i = 0; left > 0; i++) {
    // 1 now and then: the splits that matter are between CR and LF.
    const size = i % 3 === 1 ? 1 : first + (i >> 2) * 4;
    sizes.push(size);
    left -= size;
  }
  return sizes;
}
