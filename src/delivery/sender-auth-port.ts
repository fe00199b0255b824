/** What goes over the port of a thread that checks senders (message path, step 2). `id` is the message: many are on a thread at a time. */
import type { CheckedSubject, Findings } from "./sender-auth-findings.ts";

export type ToThread =
  | { readonly kind: "check"; readonly id: number; readonly subject: CheckedSubject }
  | { readonly kind: "bytes"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: "end"; readonly id: number }
  /** Nobody waits for it any more. */
  | { readonly kind: "drop"; readonly id: number }
  | { readonly kind: "rows"; readonly id: number; readonly ask: number; readonly rows: readonly unknown[] }
  | { readonly kind: "no_rows"; readonly id: number; readonly ask: number; readonly code: string }
  /** Is a step, and nothing else. */
  | { readonly kind: "look" };

/** Of one message. The last is `done` or `broke`, of a dropped one too. */
export type FromMessage =
  /** A piece was taken. */
  | { readonly kind: "more"; readonly id: number }
  /** The rest of it is not wanted. */
  | { readonly kind: "enough"; readonly id: number }
  | {
      readonly kind: "ask";
      readonly id: number;
      readonly ask: number;
      readonly name: string;
      readonly type: string;
    }
  | { readonly kind: "done"; readonly id: number; readonly findings: Findings }
  | { readonly kind: "broke"; readonly id: number; readonly why: string };

export type FromThread = { readonly kind: "ready" } | FromMessage;

/**
 * Words of the memory that both sides see: how many steps the thread has begun (one for each message over the port), and for whom the
 * newest is. They tell which message a thread was at that ends, or does not go on.
 */
export const STEPS = 0;
export const STEP_ID = 1;
export const SHARED_BYTES = 2 * Int32Array.BYTES_PER_ELEMENT;
/** Of `STEP_ID`: nobody's. */
export const NO_ID = 0;

export interface ThreadData {
  readonly shared: SharedArrayBuffer;
}
