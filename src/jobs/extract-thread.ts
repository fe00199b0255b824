/** The thread that makes search texts: one message at a time. Its owner (`extractor.ts`) ends it when it takes too long or too much. */
import { parentPort } from "node:worker_threads";
import { extractSearchText } from "../core/search-text/extract.ts";
import type { ExtractRequest, ThreadMessage } from "./extract-protocol.ts";

const post = (message: ThreadMessage, handedOver: ArrayBuffer[] = []) =>
  parentPort?.postMessage(message, handedOver);

parentPort?.on("message", ({ octets, pieces }: ExtractRequest) => {
  const { folded, grams, cut } = extractSearchText(
    pieces.map(({ at, length, ...piece }) => ({ ...piece, bytes: new Uint8Array(octets, at, length) })),
  );
  post({ kind: "text", folded, grams, cut }, [grams.buffer as ArrayBuffer]);
});
post({ kind: "ready" });
