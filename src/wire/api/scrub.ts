/** `GET /api/v1/admin/scrub`: lines of JSON as they are found, the last one the summary. */
import { type Static, Type } from "typebox";

export const scrubQuery = Type.Object(
  { quick: Type.Optional(Type.Boolean()) },
  { additionalProperties: false },
);

export interface FindingBody {
  readonly kind: string;
  readonly subject: string;
  readonly detail: string;
}

export interface ScrubSummaryBody {
  readonly blobs: number;
  readonly hashed: number;
  readonly messages: number;
  readonly findings: number;
  readonly files_without_row: number;
}

/** One line. `failed`: the service could not go on; nothing follows. */
export type ScrubLine =
  | { readonly progress: { readonly done: number; readonly total: number } }
  | { readonly finding: FindingBody }
  | { readonly summary: ScrubSummaryBody }
  | { readonly failed: string };

export type ScrubQuery = Static<typeof scrubQuery>;
export const scrubRoutes = { scrub: { querystring: scrubQuery } } as const;
