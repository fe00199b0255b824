/** Request bodies that are streamed. */
import type { IncomingMessage } from "node:http";
import { MairustError } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";

/** How long a client that was refused may go on sending before it is cut off. */
const LINGER_MS = 5_000;

/**
 * Read what a refused client still sends. Closing at once would make its next write fail and take the answer away from it before
 * it was read (RFC 9112 §9.6).
 */
export function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  request.resume();
  void sleep(LINGER_MS, undefined, false).then(() => {
    if (!request.complete) socket.destroy();
  });
}

/**
 * The bytes of a body, with back-pressure.
 * @throws {MairustError} `data_invalid`: the client went away before the end, so what came is no whole message
 */
export async function* uploadedBytes(request: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    // Who stops early refuses the message, and the rest is still to be read: see `discardRest`.
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const text = "the upload broke off";
    throw new MairustError("data_invalid", `Cannot take a message: ${text}`, {
      publicText: text,
      cause: error,
    });
  }
}
