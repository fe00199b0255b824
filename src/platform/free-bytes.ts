/**
 * Gives the memory of large buffers back at once.
 *
 * The collector sees octets outside its heap late and dearly: each ten megabytes of message bytes made it mark the whole heap, which
 * cost three times the processor that reading and sending them did. Detaching the ArrayBuffer frees it without the collector.
 * ECMAScript names that `transfer(0)`; Node 20 has only structured cloning with a transfer list. A closed port clones nothing and
 * sends nothing, but takes what is transferred (HTML, "message port post message steps").
 */

/** Smaller memory is left to the collector. */
const WORTH_BYTES = 8193;

const { port1: taker } = new MessageChannel();
taker.close();

/**
 * Nobody may use `bytes` afterwards, nor anything else in the same ArrayBuffer: all of it is empty then. Only for memory that the
 * caller has alone, or that is one of the pools that small Buffers share: these stay, and cannot be transferred. Their size is
 * 8 KiB in Node 20 and 64 KiB in newer ones.
 */
export function freeBytes({ buffer }: Uint8Array): void {
  const isWorthIt = buffer.byteLength >= WORTH_BYTES && buffer.byteLength !== Buffer.poolSize;
  if (isWorthIt && buffer instanceof ArrayBuffer) taker.postMessage(undefined, [buffer]);
}
