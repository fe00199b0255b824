/** Every way that a call can fail, under every policy, at every point where mail waits. With real processes: the contract tests. */
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../../../src/core/errors.ts";
import type { ByteRange } from "../../../src/core/ports/blobs.ts";
import { FAILURES_IN_A_ROW } from "../../../src/hooks/breaker.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { checkFailure, costOf, type Failure, MESSAGE, RECIPIENTS, runJudged } from "./failure-matrix.ts";
import { factsOf, MemoryBlob } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, TAGGER } from "./rig.ts";

const ID = "failing";
const answers = (behave: Behaviour) => () => pluginOf(ID, behave, EVERYTHING);
const throws = (code: "plugin_failed" | "too_many", text: string) =>
  answers(() => {
    throw new MairustError(code, text);
  });
const NEVER: Behaviour = () => new Promise(() => {});
const SHORT = { timeout_ms: 15 };

const FAILURES: readonly Failure[] = [
  { name: "a hang", plugin: answers(NEVER), outcome: "timeout", row: SHORT },
  {
    name: "an answer after the time-out",
    // However busy the host is: not before the end of its time was told to the plugin.
    plugin: answers(async (_, { signal }) => {
      await once(signal, "abort");
      await setImmediate();
      return {};
    }),
    outcome: "timeout",
    row: SHORT,
  },
  {
    name: "an answer that a busy loop hears before the end of its time",
    plugin: answers(() => {
      const until = performance.now() + 25;
      while (performance.now() < until);
      return {};
    }),
    outcome: "timeout",
    row: SHORT,
  },
  { name: "a crash", plugin: throws("plugin_failed", "it crashed"), outcome: "error" },
  { name: "a refused connection", plugin: throws("plugin_failed", "refused"), outcome: "error" },
  { name: "too many calls", plugin: throws("too_many", "busy"), outcome: "error" },
  {
    name: "a plugin that is not loaded",
    plugin: () => pluginOf(ID, () => ({}), EVERYTHING, { transport: undefined, failure: "it is refused" }),
    outcome: "error",
  },
  { name: "garbage", plugin: answers(() => "no JSON"), outcome: "malformed" },
  { name: "two answers", plugin: answers(() => "{}{}"), outcome: "malformed" },
  { name: "an unknown action", plugin: answers(() => ({ action: "bounce" })), outcome: "malformed" },
  {
    name: "a contradictory code",
    plugin: answers(() => ({ action: "hold", code: 550 })),
    outcome: "malformed",
  },
  { name: "a wrong call id", plugin: answers(() => ({ call_id: "other" })), outcome: "malformed" },
  { name: "too long an answer", plugin: answers(() => `"${"x".repeat(2 ** 20)}"`), outcome: "malformed" },
  {
    name: "an answer beyond the grant, where that is an error",
    plugin: () => pluginOf(ID, () => ({ folder: "F" }), TAGGER, { onViolation: () => "error" }),
    outcome: "violation",
  },
  {
    name: "a ledger that cannot write",
    plugin: answers(() => ({})),
    outcome: "error",
    more: () => ({
      ledger: {
        record: async ({ hook }) => {
          if (hook === ID) throw new MairustError("disk_full", "Cannot write the ledger: disk full");
        },
      },
    }),
  },
  {
    name: "an open circuit",
    plugin: throws("plugin_failed", "it crashed"),
    outcome: "circuit_open",
    async before(rig, point) {
      for (let i = 0; i < FAILURES_IN_A_ROW; i++) await runJudged(rig, point);
    },
  },
];

for (const failure of FAILURES) {
  test(`${failure.name} is followed by the hook's own policy, everywhere, and harms nobody else`, () =>
    checkFailure(failure));
}

/** Its octets come when they may: meanwhile a call that reads them keeps all the room that it could need. */
class StuckBlob extends MemoryBlob {
  readonly #go: Promise<unknown>;

  constructor(text: string, go: Promise<unknown>) {
    super(Buffer.from(text));
    this.#go = go;
  }

  override async *read(range?: ByteRange): AsyncIterable<Uint8Array> {
    await this.#go;
    yield* super.read(range);
  }
}

test("no room for the payload is followed by on_timeout, and smaller payloads find theirs", async () => {
  let leave = () => {};
  const hog = pluginOf("hog", () => ({}), EVERYTHING);
  const small = costOf(pluginOf("before", () => ({}), TAGGER));
  await checkFailure({
    name: "no room",
    plugin: answers(() => ({})),
    outcome: "timeout",
    row: { timeout_ms: 50 },
    more: () => ({ payloadBytesInFlight: costOf(hog) + small }),
    elsewhere: hog,
    async before(rig, _point, elsewhere) {
      const content = new StuckBlob(MESSAGE, new Promise<void>(go => (leave = go)));
      const deadline = deadlineAfter(20_000);
      const facts = { ...factsOf(MESSAGE), recipients: [...RECIPIENTS], content };
      void rig.runner.run(elsewhere, facts, deadline).finally(() => deadline.dispose());
    },
    after: () => leave(),
  });
});
