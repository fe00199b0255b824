/** What crosses between the service and a process that makes texts of messages. Types only. */

/** A stretch of a message and where its octets are. */
export type Placed<Piece> = Piece & { readonly at: number; readonly length: number };

/** The octets of one message's pieces, one after the other. */
export interface ExtractRequest<Piece> {
  readonly octets: Uint8Array;
  readonly pieces: readonly Placed<Piece>[];
}

export type ProcessMessage<Text> = { readonly kind: "ready" } | ({ readonly kind: "text" } & Text);
