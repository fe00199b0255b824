/** What an administrator reads before a plugin gets its rights; `plugins/review.ts` makes it. */
import type { SignatureState } from "./plugin-packages.ts";
import type { LimitReport } from "./sandbox.ts";

export const REVIEW_LANGUAGES = ["en", "ja"] as const;
export type ReviewLanguage = (typeof REVIEW_LANGUAGES)[number];

export type WarningName =
  | "read_body"
  | "read_attachments"
  | "reject"
  | "add_recipients"
  | "send_mail"
  | "network"
  | "remote"
  | "not_enforced";

export interface ReviewSentence {
  /** `read_body`, `point.pre_send`, `network` …: for programs, the same in every language. */
  readonly name: string;
  readonly text: string;
  /** The author's reason for a right, made harmless. */
  readonly note: string | undefined;
}

export interface Review {
  readonly plugin: {
    readonly id: string;
    readonly name: string;
    readonly version: string;
    readonly author: string;
  };
  readonly language: ReviewLanguage;
  readonly signature: {
    readonly state: SignatureState;
    readonly text: string;
    readonly detail: string;
  };
  readonly rating: number;
  readonly ratingText: string;
  readonly sentences: readonly ReviewSentence[];
  readonly warnings: readonly { readonly name: WarningName; readonly text: string }[];
  readonly limits: readonly (LimitReport & { readonly text: string })[];
  /** Undefined: nothing was approved yet. */
  readonly diff: { readonly more: readonly string[]; readonly less: readonly string[] } | undefined;
  /** All of it as text. */
  readonly lines: readonly string[];
}

export interface PluginReviews {
  /**
   * Of the version that waits for consent, where one does; else of the one that is here.
   * @throws {MairustError} `not_found`
   */
  review(plugin: string, language: ReviewLanguage): Promise<Review>;
}
