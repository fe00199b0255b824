/** REST resource `/api/v1/admin/plugins/{id}/review`. Texts of authors are untrusted: controls are taken out, HTML is not. */
import { type Static, Type } from "typebox";
import { closed, nullable } from "./common.ts";

export const reviewBody = Type.Object(
  {
    plugin: Type.Object(
      { id: Type.String(), name: Type.String(), version: Type.String(), author: Type.String() },
      closed,
    ),
    language: Type.Enum(["en", "ja"]),
    signature: Type.Object(
      {
        state: Type.Enum(["signed", "private", "unsigned", "modified", "revoked"]),
        text: Type.String(),
        detail: Type.String(),
      },
      closed,
    ),
    rating: Type.Integer({ minimum: 1, maximum: 6, description: "of the risk: 1 is very low" }),
    rating_text: Type.String(),
    sentences: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          text: Type.String(),
          note: nullable(Type.String({ description: "the author's reason" })),
        },
        closed,
      ),
    ),
    warnings: Type.Array(Type.Object({ name: Type.String(), text: Type.String() }, closed)),
    limits: Type.Array(
      Type.Object(
        {
          limit: Type.String(),
          mechanism: Type.String(),
          enforcement: Type.Enum(["enforced", "best_effort", "not_enforced", "not_applicable"]),
          evidence: Type.String(),
          text: Type.String(),
        },
        closed,
      ),
    ),
    diff: nullable(
      Type.Object(
        { more: Type.Array(Type.String()), less: Type.Array(Type.String()) },
        { ...closed, description: "against what was approved; null: nothing was" },
      ),
    ),
    lines: Type.Array(Type.String(), { description: "all of it as text" }),
  },
  closed,
);
export type ReviewBody = Static<typeof reviewBody>;

export const pluginReviewRoutes = {
  show: {
    params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) }),
    querystring: Type.Object({ lang: Type.Optional(Type.Enum(["en", "ja"])) }, closed),
    response: { 200: reviewBody },
  },
} as const;
