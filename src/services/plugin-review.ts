/** Use case: what a plugin asks for, for whoever is to say yes or no. */
import type { Review, ReviewLanguage } from "../core/ports/plugin-review.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} `not_found` */
export function reviewPlugin(ports: ServicePorts, plugin: string, language: ReviewLanguage): Promise<Review> {
  return ports.pluginReviews.review(plugin, language);
}
