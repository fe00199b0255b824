/** What crosses between the service and the process that makes search texts. Types only. */
import type { Piece } from "../core/search-text/plan.ts";

/** The octets of one message's pieces, one after the other. */
export interface ExtractRequest {
  readonly octets: Uint8Array;
  readonly pieces: readonly PlacedPiece[];
}

export interface PlacedPiece extends Piece {
  /** Where its octets are. */
  readonly at: number;
  readonly length: number;
}

export type ProcessMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "text"; readonly folded: string; readonly grams: Int32Array; readonly cut: boolean };
