/** A header block as TEXT of a SEARCH sees it: every field as `Name: value`, decoded (RFC 2047), apart from the others. Pure. */
import { decodeHeaderValue, headerFields } from "../mime/header.ts";
import type { TextSink } from "./sink.ts";

export function feedHeader(block: Uint8Array, sink: TextSink): void {
  for (const field of headerFields(block)) {
    if (sink.done) return;
    sink.add(`${field.nameRaw}: ${decodeHeaderValue(field.value)}`);
    sink.cut();
  }
}
