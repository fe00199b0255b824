/** What all REST resources share: problem documents (RFC 9457), pages, and the query members of lists and changes. */
import { type Static, type TSchema, Type } from "typebox";
import { API_ERROR_CODES, MAX_PAGE_ITEMS } from "./codes.ts";

export const closed = { additionalProperties: false } as const;

/** RFC 3339 in UTC, as `Date.toISOString()` writes it. */
export const timestamp = Type.String({ examples: ["2026-11-21T01:02:03.000Z"] });

export const nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

export const problemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    code: Type.Enum([...API_ERROR_CODES]),
    trace_id: Type.String(),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            /** JSON pointer into the request, the key of a configuration error, or the code of a precondition. */
            pointer: Type.String(),
            detail: Type.String(),
          },
          closed,
        ),
      ),
    ),
  },
  { ...closed, description: "RFC 9457 problem details" },
);
export type Problem = Static<typeof problemSchema>;

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_ITEMS })),
  cursor: Type.Optional(Type.String({ maxLength: 1000 })),
};

/** `dry_run=true`: answer what would happen, change nothing. */
export const changeQuery = Type.Object({ dry_run: Type.Optional(Type.Boolean()) }, closed);
export type ChangeQuery = Static<typeof changeQuery>;

export const pageOf = <S extends TSchema>(item: S) =>
  Type.Object({ items: Type.Array(item), next_cursor: nullable(Type.String()) }, closed);

/** A page as the client reads it. */
export interface PageBody<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}
