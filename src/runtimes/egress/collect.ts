/** Bytes from the front of a connection, until they say enough: bounded by who reads them, and in time. */
import type { Socket } from "node:net";
import { Refusal } from "./refusal.ts";

/** Clients send what is read here in a few pieces; one that sends octet by octet takes more of our time than of its own. */
export const MAX_PIECES = 64;

/**
 * @param start  bytes that were read before
 * @param found  called with all bytes so far; undefined: go on. It bounds them by throwing
 * @throws {Refusal} `bad_request`: the peer ended before; what `found` throws; the signal's reason
 */
export async function collect<T>(
  socket: Socket,
  start: Buffer,
  found: (bytes: Buffer) => T | undefined,
  signal: AbortSignal,
): Promise<{ readonly value: T; readonly bytes: Buffer }> {
  let bytes = start;
  for (let pieces = 0; ; pieces++) {
    const value = bytes.length > 0 ? found(bytes) : undefined;
    if (value !== undefined) return { value, bytes };
    if (pieces > MAX_PIECES) throw new Refusal("bad_request", "it came in too many pieces");
    const more = await nextChunk(socket, signal);
    if (more === undefined) throw new Refusal("bad_request", "the connection ended too soon");
    bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
  }
}

/** @returns undefined: the peer sends no more */
function nextChunk(socket: Socket, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      signal.removeEventListener("abort", onAbort);
      done();
    };
    const onReadable = () => {
      const chunk: unknown = socket.read();
      if (Buffer.isBuffer(chunk)) settle(() => resolve(chunk));
    };
    const onEnd = () => settle(() => resolve(undefined));
    const onAbort = () => settle(() => reject(signal.reason));
    if (signal.aborted) return reject(signal.reason);
    if (socket.readableEnded || socket.destroyed) return resolve(undefined);
    socket.on("readable", onReadable).on("end", onEnd).on("close", onEnd);
    signal.addEventListener("abort", onAbort, { once: true });
    onReadable();
  });
}
