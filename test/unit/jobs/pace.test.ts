import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { messageId } from "../../../src/core/ids.ts";
import type { LeasedJob } from "../../../src/core/ports/jobs.ts";
import { Pace } from "../../../src/jobs/pace.ts";
import { createStandingJob } from "../../../src/jobs/standing-job.ts";
import { silentLog } from "../../lib/database.ts";

function startPace() {
  const clock = { ms: 0 };
  const pace = new Pace(() => clock.ms);
  const mail = (commits: number, everyMs: number) => {
    for (let i = 0; i < commits; i++) {
      clock.ms += everyMs;
      pace.mailCame();
    }
  };
  return { clock, pace, mail };
}

test("jobs do not rest for a trickle of mail", () => {
  const { pace, mail } = startPace();
  mail(1, 0);
  pace.worked(1000);
  assert.equal(pace.restMs, 0);
  mail(100, 1000);
  pace.worked(1000);
  assert.equal(pace.restMs, 0);
});

test("while mail comes in, all jobs of a node together rest nine times as long as they worked", () => {
  const { clock, pace, mail } = startPace();
  mail(100, 10);
  pace.worked(100);
  assert.equal(pace.restMs, 900);
  clock.ms += 50;
  pace.worked(100);
  assert.equal(pace.restMs, 1750, "what another job worked comes on top");
  pace.worked(1_000_000);
  assert.equal(pace.restMs, 30_000, "but nobody rests for ever");
});

test("a rest ends when no mail comes in any more", () => {
  const { clock, pace, mail } = startPace();
  mail(100, 10);
  pace.worked(3000);
  clock.ms += 5000;
  assert.equal(pace.restMs, 0);
});

test("a standing job begins no batch while it is to rest, and does when the rest is over", async () => {
  const { clock, pace, mail } = startPace();
  const id = messageId("01900000-0000-7000-8000-000000000001");
  let looks = 0;
  const stop = new AbortController();
  let onMade: (ids: readonly string[]) => void = () => undefined;
  const made = new Promise<readonly string[]>(resolve => {
    onMade = resolve;
  });
  const job = createStandingJob({
    kind: "test",
    walk: {
      walk: async () => {
        looks += 1;
        return looks === 1 ? { missing: [id], last: id } : { missing: [], last: undefined };
      },
      setCompleteBelow: async () => undefined,
    },
    openMaker: () => ({ make: async ids => onMade(ids), giveUp: async () => undefined }),
    log: silentLog,
    now: Date.now,
    pace,
  });
  mail(100, 10);
  pace.worked(10);
  const running = job.run({
    job: { id: 1, checkpoint: {} } as unknown as LeasedJob,
    progress: () => undefined,
    signal: stop.signal,
    saveCheckpoint: async () => undefined,
  });
  for (let i = 0; i < 100; i++) await setImmediate();
  assert.equal(looks, 0);
  clock.ms += 90;
  assert.deepEqual(await made, [id]);
  stop.abort(new Error("end"));
  await assert.rejects(running, /end/u);
});
