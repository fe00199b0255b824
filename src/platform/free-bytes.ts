/**
 * Gives the memory of large buffers back at once.
 *
 * The collector sees octets outside its heap late and dearly: each ten megabytes of message bytes made it mark the whole heap, which
 * cost three times the processor that reading and sending them did. Detaching the ArrayBuffer frees it without the collector.
 * ECMAScript names that `transfer(0)`; Node 20 has only structured cloning with a transfer list. A closed port clones nothing and
 * sends nothing, but takes what is transferred (HTML, "message port post message steps").
 */

/** Smaller memory is left to the collector, as is what Buffers share (`Buffer.poolSize` is 8 KiB). */
const WORTH_BYTES = 8193;

const { port1: taker } = new MessageChannel();
taker.close();

/**
 * Nobody may use `bytes` afterwards, nor anything else in the same ArrayBuffer: all of it is empty then. Only for memory that the
 * caller has alone.
 */
export function freeBytes({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= WORTH_BYTES && buffer instanceof ArrayBuffer)
    taker.postMessage(undefined, [buffer]);
}
