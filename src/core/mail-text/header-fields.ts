/** A header block as TEXT of a SEARCH sees it: every field as `Name: value`, decoded (RFC 2047), apart from the others. Pure. */
import { decodeHeaderValue, headerFieldsInSteps, headerValuePieces } from "../mime/header.ts";
import { atOnce, type Steps } from "../steps.ts";
import type { TextSink } from "./sink.ts";

/** Octets of a value that is decoded at once: most are, and steps cost more than they do. */
const SMALL_VALUE = 1024;

export function feedHeader(block: Uint8Array, sink: TextSink): void {
  atOnce(feedHeaderInSteps(block, sink));
}

/** As {@link feedHeader}; each step gives the sink a few thousand characters at most. */
export function* feedHeaderInSteps(block: Uint8Array, sink: TextSink): Steps<void> {
  for (const field of headerFieldsInSteps(block)) {
    if (sink.done) return;
    if (field === undefined) {
      yield;
      continue;
    }
    sink.add(`${field.nameRaw}: `);
    yield* feedValue(field.value, sink);
    sink.cut();
  }
}

/** Give a value to `sink`, decoded. @param value  raw octets after the colon */
export function* feedValue(value: Uint8Array, sink: TextSink): Steps<void> {
  if (value.length <= SMALL_VALUE) return sink.add(decodeHeaderValue(value));
  for (const piece of headerValuePieces(value)) {
    sink.add(piece);
    yield;
  }
}
