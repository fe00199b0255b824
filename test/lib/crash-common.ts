/** What the crash runs share: a Postfix that tries again soon, kills that are counted, an empty queue, what a scrub finds. */
import type { Postfix } from "../../src/mailhost/postfix.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import type { Killer, KillResult } from "./crash-killer.ts";
import { type Kill, killName } from "./crash-plan.ts";
import type { Sidecar } from "./sidecar.ts";

const QUEUE_MS = 120_000;
const POLL_MS = 100;
/** Lists of the queue that must be empty, one after the other, before it is taken to be empty. */
const EMPTY_LISTS = 4;
const EMPTY_PAUSE_MS = 300;

export const QUICK_RETRIES = {
  minimal_backoff_time: "1s",
  maximal_backoff_time: "2s",
  queue_run_delay: "1s",
  transport_retry_time: "1s",
};

export interface CrashOptions {
  readonly kills: readonly Kill[];
  readonly seed: number;
  /** Kills between two checks. */
  readonly every: number;
  /** No further kills after this time. */
  readonly seconds?: number;
  readonly onKill?: (name: string, reached: boolean, ms: number) => void;
}

/** Kills that were made, by name. */
export class KillCount {
  /** Names of kills whose step was not reached. */
  readonly unreached: string[] = [];
  readonly #byName = new Map<string, number>();
  readonly #onKill: CrashOptions["onKill"];
  #kills = 0;

  constructor(onKill: CrashOptions["onKill"]) {
    this.#onKill = onKill;
  }

  /** @param afterwards  before anybody hears of it */
  async kill(killer: Killer, kill: Kill, afterwards = () => {}): Promise<KillResult> {
    const name = killName(kill);
    const started = performance.now();
    const result = await killer.kill(kill);
    afterwards();
    this.#onKill?.(name, result.reached, Math.round(performance.now() - started));
    if (!result.reached) this.unreached.push(name);
    this.#byName.set(name, (this.#byName.get(name) ?? 0) + 1);
    this.#kills += 1;
    return result;
  }

  report() {
    return {
      kills: this.#kills,
      killsByName: Object.fromEntries([...this.#byName].sort()),
      unreached: this.unreached,
    };
  }
}

/** Flushes until nothing is in it. */
export async function emptyQueue(postfix: Postfix): Promise<void> {
  const end = deadlineAfter(QUEUE_MS);
  try {
    // A message that moves from one queue folder to another while they are listed is in no list: a flush moves all of them.
    for (let empty = 0; empty < EMPTY_LISTS; ) {
      const isEmpty = (await postfix.queue()).length === 0;
      empty = isEmpty ? empty + 1 : 0;
      if (!isEmpty) await postfix.flush();
      await sleep(isEmpty ? EMPTY_PAUSE_MS : POLL_MS, end.signal);
    }
  } finally {
    end.dispose();
  }
}

/** Lines of Postfix's log: mail that it returned to its sender. */
export async function bounced(postfix: Postfix): Promise<readonly string[]> {
  return (await postfix.log()).filter(line => line.includes("status=bounced"));
}

export async function scrubFindings({ mairust }: Sidecar): Promise<readonly string[]> {
  const { code, stdout, stderr } = await mairust(["scrub"]);
  return code === 0 ? [] : [`scrub ended with ${code}: ${stdout}${stderr}`];
}
