/**
 * FETCH PREVIEW: the stored one, or one that is made now from the start of the first text. A message without a text that can be shown,
 * such as an encrypted one, has the empty preview. Source: RFC 8970 §3, §4.
 */
import { previewOfPart, previewSource } from "../../core/mail-text/part-preview.ts";
import { unpackStructure } from "../../core/mime/packed.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { ReadChunks } from "./fetch-binary.ts";

/**
 * @param row  with `preview`, and with its structure unless `lazy`
 * @returns undefined: lazy, and none is at hand
 * @throws {MairustError} `blob_missing`, `blob_damaged`, `data_invalid`
 */
export async function previewText(
  row: MessageRow,
  lazy: boolean,
  read: ReadChunks,
): Promise<string | undefined> {
  if (row.preview != null) return row.preview;
  return lazy ? undefined : makeNow(row, read);
}

async function makeNow(row: MessageRow, read: ReadChunks): Promise<string> {
  const source = previewSource(unpackStructure(row.structure ?? new Uint8Array(0)).parts);
  if (source === undefined || source.range.end <= source.range.start) return "";
  const chunks: Uint8Array[] = [];
  for await (const chunk of read(source.range)) chunks.push(chunk);
  return previewOfPart(Buffer.concat(chunks), source);
}
