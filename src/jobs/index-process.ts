/** The process that makes what the index behind IMAP's SEARCH keeps: one message at a time, as `extract-process.ts`. */
import type { IndexPiece } from "../core/mail-text/index-plan.ts";
import { type IndexText, indexText } from "../core/mail-text/index-text.ts";
import type { ExtractRequest, ProcessMessage } from "./extract-protocol.ts";

const post = (message: ProcessMessage<IndexText>) => process.send?.(message);

process.on("message", ({ octets, pieces }: ExtractRequest<IndexPiece>) => {
  const all = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  const text = indexText(
    pieces.map(({ at, length, ...piece }) => ({ ...piece, bytes: all.subarray(at, at + length) })),
  );
  post({ kind: "text", ...text });
});
post({ kind: "ready" });
