/** Request bodies that are streamed. */
import type { IncomingMessage } from "node:http";
import { MairustError } from "../core/errors.ts";

/**
 * The bytes of a body, with back-pressure.
 * @throws {MairustError} `data_invalid`: the client went away before the end, so what came is no whole message
 */
export async function* uploadedBytes(request: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    yield* request as AsyncIterable<Uint8Array>;
  } catch (error) {
    const text = "the upload broke off";
    throw new MairustError("data_invalid", `Cannot take a message: ${text}`, {
      publicText: text,
      cause: error,
    });
  }
}
