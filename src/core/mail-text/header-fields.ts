/** A header block as TEXT of a SEARCH sees it: every field as `Name: value`, decoded (RFC 2047), apart from the others. Pure. */
import { headerFieldsInSteps, headerValuePieces } from "../mime/header.ts";
import { atOnce, type Steps } from "../steps.ts";
import type { TextSink } from "./sink.ts";

export function feedHeader(block: Uint8Array, sink: TextSink): void {
  atOnce(feedHeaderInSteps(block, sink));
}

/** As {@link feedHeader}; each step gives the sink a few thousand characters at most. */
export function* feedHeaderInSteps(block: Uint8Array, sink: TextSink): Steps<void> {
  for (const field of headerFieldsInSteps(block)) {
    yield;
    if (sink.done) return;
    if (field === undefined) continue;
    sink.add(`${field.nameRaw}: `);
    for (const piece of headerValuePieces(field.value)) {
      sink.add(piece);
      yield;
    }
    sink.cut();
  }
}
