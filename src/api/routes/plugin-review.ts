/** `/api/v1/admin/plugins/{id}/review`: in the language of the query, of `Accept-Language`, or English. */
import type { Review } from "../../core/ports/plugin-review.ts";
import { reviewPlugin } from "../../services/plugin-review.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type ReviewBody, pluginReviewRoutes as routes } from "../../wire/api/plugin-review.ts";
import type { App } from "../app-type.ts";
import { languageOf } from "../problem.ts";

export function pluginReviewRoutesOf(app: App, ports: ServicePorts): void {
  app.get("/api/v1/admin/plugins/:id/review", { schema: routes.show }, async (request, reply) => {
    const language = request.query.lang ?? languageOf(request.headers["accept-language"]);
    reply.header("content-language", language);
    return reviewBodyOf(await reviewPlugin(ports, request.params.id, language));
  });
}

const reviewBodyOf = (review: Review): ReviewBody => ({
  plugin: { ...review.plugin },
  language: review.language,
  signature: { ...review.signature },
  rating: review.rating,
  rating_text: review.ratingText,
  sentences: review.sentences.map(({ name, text, note }) => ({ name, text, note: note ?? null })),
  warnings: review.warnings.map(one => ({ ...one })),
  limits: review.limits.map(one => ({ ...one })),
  diff: review.diff === undefined ? null : { more: [...review.diff.more], less: [...review.diff.less] },
  lines: [...review.lines],
});
