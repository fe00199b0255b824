/** How much of a message's time its hooks get (message path, steps 4 to 6): a hook that is cut must not take the commit's time with it. */
import type { Deadline } from "../core/deadline.ts";
import { deadlineAfter, type TimedDeadline } from "../platform/deadline.ts";

/** Kept for what is written after the hooks, at most. */
const COMMIT_RESERVE_MS = 5_000;
/** And never more than this share of what is left. */
const COMMIT_RESERVE_SHARE = 0.25;

/** @param whole  by which the message must be answered. @returns to be disposed of */
export function hooksDeadline(whole: Deadline): TimedDeadline {
  const remainingMs = whole.remainingMs();
  const reserveMs = Math.min(COMMIT_RESERVE_MS, remainingMs * COMMIT_RESERVE_SHARE);
  return deadlineAfter(remainingMs - reserveMs, whole);
}
