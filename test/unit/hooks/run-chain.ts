import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";
import { factsOf, theOne } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";

export const MESSAGE = "Subject: Hello\nX-Junk: yes\n\nbody";

export async function run(
  rig: Rig,
  facts: MessageFacts = factsOf(MESSAGE),
  chainMs = 60_000,
): Promise<ReturnType<typeof theOne>> {
  const deadline = deadlineAfter(chainMs);
  try {
    return theOne(await awake(rig.runner.run("pre_delivery", facts, deadline)));
  } finally {
    deadline.dispose();
  }
}

export const tagger =
  (tag: string): Behaviour =>
  ({ call_id }) => ({ call_id, tags: { add: [tag] } });
export const hang: Behaviour = (_, deadline) =>
  new Promise((_, reject) => deadline.signal.addEventListener("abort", () => reject(deadline.signal.reason)));
export const rigWith = (behave: Behaviour, row = {}, plugin = {}) =>
  rigOf([pluginOf("a", behave, EVERYTHING, plugin)], [rowOf("a", row)]);
export const lateEvents = (decision: ReturnType<typeof theOne>) =>
  awake(decision.late ?? Promise.resolve([]));
export const data = (decision: ReturnType<typeof theOne>, i = 0): Readonly<Record<string, unknown>> =>
  decision.events[i]?.data ?? {};
