/** The answer to a request with an Idempotency-Key, as it was kept: JSON that knows no dates. */
import { MairustError } from "../core/errors.ts";
import type { OutgoingResult } from "../core/ports/outbox.ts";
import type { SentMail } from "../core/ports/sending.ts";

type Kept = Omit<SentMail, "createdAt" | "results"> & {
  readonly createdAt: string;
  readonly results: readonly (Omit<OutgoingResult, "at"> & { readonly at?: string })[];
};

/** @throws {MairustError} `internal`: it is none of ours */
export function sentAnswerOf(answer: unknown): SentMail {
  if (!isKept(answer)) throw new MairustError("internal", "Cannot read a kept answer: it is none of ours");
  return {
    ...answer,
    id: answer.id,
    hold: answer.hold,
    sentCopy: answer.sentCopy,
    createdAt: new Date(answer.createdAt),
    results: answer.results.map(one => ({ ...one, at: one.at === undefined ? undefined : new Date(one.at) })),
  };
}

function isKept(answer: unknown): answer is Kept {
  return (
    typeof answer === "object" &&
    answer !== null &&
    "messageId" in answer &&
    "results" in answer &&
    "createdAt" in answer
  );
}
