/** A review as text for people, line by line. Pure. */
import type { Review } from "../core/ports/plugin-review.ts";
import { REVIEW_TEXTS } from "./review-texts.ts";

export function linesOf(review: Omit<Review, "lines">): readonly string[] {
  const { headings } = REVIEW_TEXTS[review.language];
  const { id, name, version, author } = review.plugin;
  const by = author === "" ? "" : ` — ${author}`;
  const list = (heading: string, items: readonly string[]) =>
    items.length === 0 ? [] : ["", `${heading}:`, ...items.map(item => `- ${item}`)];
  const { diff } = review;
  return [
    `${headings.plugin}: ${name} (${id}) ${version}${by}`,
    `${headings.signature}: ${review.signature.text} (${review.signature.detail})`,
    `${headings.rating}: ${review.rating}/6 (${review.ratingText})`,
    "",
    `${headings.rights}:`,
    ...review.sentences.flatMap(({ text, note }) => [
      `- ${text}`,
      ...(note === undefined ? [] : [`  ${headings.note}: “${note}”`]),
    ]),
    ...list(
      headings.warnings,
      review.warnings.map(({ text }) => text),
    ),
    ...list(
      headings.limits,
      review.limits.map(({ text, mechanism }) => (mechanism === "" ? text : `${text} (${mechanism})`)),
    ),
    ...(diff === undefined ? ["", headings.first] : []),
    ...(diff !== undefined && diff.more.length === 0 ? ["", headings.same] : []),
    ...list(headings.more, diff?.more ?? []),
    ...list(headings.less, diff?.less ?? []),
  ];
}
