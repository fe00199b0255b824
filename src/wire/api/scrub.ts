/** `POST /api/v1/admin/scrub`: the lines of its answer (application/x-ndjson), and what may be asked. */
import { type Static, Type } from "typebox";
import { MAX_SCRUB_MB_PER_S } from "./codes.ts";
import { closed } from "./common.ts";

export const scrubQuery = Type.Object(
  {
    /** Sizes and the database only, nothing is hashed. */
    quick: Type.Optional(Type.Boolean()),
    /** MB hashed per second at most. */
    mb_per_s: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_SCRUB_MB_PER_S })),
    /** Go on after this blob. */
    after: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
  },
  closed,
);

export const scrubCounts = Type.Object(
  {
    blobs: Type.Integer(),
    hashed_bytes: Type.Integer(),
    messages: Type.Integer(),
    mailboxes: Type.Integer(),
    accounts: Type.Integer(),
    unreferenced_blobs: Type.Integer(),
    collecting_blobs: Type.Integer(),
    extra_files: Type.Integer(),
    extra_bytes: Type.Integer(),
    young_files: Type.Integer(),
    strange_files: Type.Integer(),
    temporary_files: Type.Integer(),
    findings: Type.Integer(),
  },
  closed,
);
export type ScrubCountsBody = Static<typeof scrubCounts>;

/** One line. The last one is `done`, or `failed`; without either the answer was broken off. */
export const scrubLine = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("finding"),
      finding: Type.String({ examples: ["blob_missing"] }),
      subject: Type.String(),
      detail: Type.String(),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("progress"),
      after: Type.Union([Type.String(), Type.Null()]),
      counts: scrubCounts,
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal("done"), counts: scrubCounts }, closed),
  Type.Object({ kind: Type.Literal("failed"), code: Type.String(), detail: Type.String() }, closed),
]);
export type ScrubLine = Static<typeof scrubLine>;

export const scrubRoutes = { run: { querystring: scrubQuery } } as const;
