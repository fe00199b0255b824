/** The process that makes search texts: one message at a time. Its owner (`extractor.ts`) ends it when it takes too long or too much. */
import { extractSearchText, type SearchText } from "../core/search-text/extract.ts";
import type { Piece } from "../core/search-text/plan.ts";
import type { ExtractRequest, ProcessMessage } from "./extract-protocol.ts";

const post = (message: ProcessMessage<SearchText>) => process.send?.(message);

process.on("message", ({ octets, pieces }: ExtractRequest<Piece>) => {
  const { folded, grams, cut } = extractSearchText(
    pieces.map(({ at, length, ...piece }) => ({ ...piece, bytes: octets.subarray(at, at + length) })),
  );
  post({ kind: "text", folded, grams, cut });
});
post({ kind: "ready" });
