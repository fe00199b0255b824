/**
 * How much the threads that check senders take on at a time (message path, step 2). What is over waits, within its own deadline; what
 * is over that has no result, at once.
 */
import { availableParallelism } from "node:os";
import { MAX_HEADER_BYTES } from "./sender-auth-body.ts";

export interface CheckLimits {
  /** A thread costs some 25 MB once it was needed. More than there are processors check nothing faster. */
  readonly threads: number;
  /**
   * Heap of a thread; the octets of messages are beside it. They are freed with what is young there: little of it, many times. Far beyond
   * what the limits below leave room for: where it is full, some versions of Node.js end the whole process.
   */
  readonly heapMb: number;
  readonly youngMb: number;
  /** Messages on one thread at a time. Nearly all of them wait for DNS, which costs a thread nothing but their headers. */
  readonly messagesPerThread: number;
  /** Octets that those headers may have together; a message counts as its size, and as the longest header at most. */
  readonly headerBytesPerThread: number;
  /** Messages that one thread reads at a time. A large one has a place of its own, so that it does not hold up the others. */
  readonly readsPerThread: number;
  readonly largeReadsPerThread: number;
  readonly largeBytes: number;
  /** A piece of a message on its way, and how many of one message a thread may have that it did not take yet. */
  readonly pieceBytes: number;
  readonly piecesAhead: number;
  /** Messages that wait for a thread. */
  readonly waiting: number;
  /** Of a message's time: with less left a thread would work at it for nothing, and those behind it would come too late as well. */
  readonly waitShare: number;
  /** How often it is looked whether a thread moves. */
  readonly lookMs: number;
  /** Looks in a row at which a thread is still in the same step, or has not let go of a message: it is given up. */
  readonly stuckLooks: number;
  /** The same while it starts: the library is large, and a busy machine is slow. */
  readonly startLooks: number;
}

export const CHECK_LIMITS: CheckLimits = {
  threads: Math.min(4, Math.max(2, availableParallelism())),
  heapMb: 512,
  youngMb: 2,
  messagesPerThread: 128,
  headerBytesPerThread: 16 * MAX_HEADER_BYTES,
  readsPerThread: 4,
  largeReadsPerThread: 1,
  largeBytes: 512 * 1024,
  pieceBytes: 64 * 1024,
  piecesAhead: 8,
  waiting: 500,
  waitShare: 0.5,
  lookMs: 250,
  stuckLooks: 8,
  startLooks: 120,
};

/** Octets of messages that are in flight over all threads at most: posted, and not taken yet. */
export function bytesInFlight(limits: CheckLimits): number {
  const { threads, readsPerThread, largeReadsPerThread, pieceBytes, piecesAhead } = limits;
  return threads * (readsPerThread + largeReadsPerThread) * piecesAhead * pieceBytes;
}
