/** One-time ids of mail that the sidecar submits to the MTA itself. `store/submissions.ts` implements it. */
import type { HookPoint } from "./hooks.ts";
import type { CarriedVerdict } from "./verdicts.ts";

export interface Submissions {
  /**
   * Use up the one-time id of a message that the sidecar submitted itself: it is not judged again.
   * @param recipients  raw, for whom the MTA has the message now: they are kept
   * @returns undefined when the id is unknown, used or too old: the message is judged as any other
   * @throws {MairustError} `store_unavailable`
   */
  take(
    token: string,
    queueId: string,
    recipients: readonly string[],
  ): Promise<{ readonly point: HookPoint; readonly verdicts: readonly CarriedVerdict[] } | undefined>;
}
