/** Reading a text part for people or plugins: its octets, without their transfer encoding. */
import type { DecodedOctets, TextSource } from "./permissions-text.ts";
import { TransferDecoder } from "./permissions-transfer.ts";
import type { MessageContent } from "./ports/hooks.ts";

/**
 * Decodes while it reads, and stops when there is enough: memory is bounded by `maxBytes`, whatever the encoding.
 * @throws {MairustError} `blob_missing`, `blob_damaged`
 */
export async function readDecoded(
  content: Pick<MessageContent, "read">,
  { range, encoding, cut }: TextSource,
  maxBytes: number,
): Promise<DecodedOctets> {
  if (range.end <= range.start) return { octets: new Uint8Array(0), cut };
  const decoder = new TransferDecoder(encoding);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of content.read(range)) {
    const piece = decoder.write(chunk);
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > maxBytes) break;
  }
  pieces.push(decoder.end());
  const all = Buffer.concat(pieces);
  return { octets: all.subarray(0, maxBytes), cut: cut || all.length > maxBytes };
}
