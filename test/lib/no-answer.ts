/** An answer that says nothing, for tests that need some of it. */
import type { CheckedAnswer } from "../../src/core/answer.ts";

export const NOTHING: CheckedAnswer = {
  action: "deliver",
  reply: undefined,
  reason: undefined,
  explanation: undefined,
  usage: undefined,
  tagsAdd: [],
  tagsRemove: [],
  systemFlags: 0,
  keywords: [],
  folder: undefined,
  metadata: new Map(),
  headers: [],
  appendText: undefined,
  addBcc: [],
};
