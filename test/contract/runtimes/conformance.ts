/**
 * What every plugin transport must do, whatever it is made of: the same answers and the same errors. The plugin behind it is
 * `fixtures/behaving-plugin.mjs` (worker, spawn) or `fixtures/http-plugin.ts` (TCP, UNIX socket), which behave alike.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { checkAnswer } from "../../../src/core/answer.ts";
import type { Deadline } from "../../../src/core/deadline.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { jsonLine } from "../../../src/core/permissions-json.ts";
import type { PluginTransport } from "../../../src/core/ports/plugin-transport.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";

export const FIXTURE_ID = "com.example.behaving";
export const CALL = callId("0190a000-0000-7000-8000-000000000001");
const grants = grantsOf({ read_headers: true, write_tags: true, decide: ["reject", "tempfail"] });

/** A payload without anything granted. */
export function payload(behaviour: string, settings: Record<string, unknown> = {}): Uint8Array {
  return Buffer.from(
    jsonLine({
      ...{ api: "mairust.hook/1", call_id: CALL, hook: "pre_delivery", mode: "enforce", attempt: 1 },
      ...{ deadline_ms: 20_000, plugin: { id: FIXTURE_ID, version: "1.0.0" } },
      ...{ received_at: "2026-03-01T12:00:00.000Z", size_bytes: 1000 },
      settings: { do: behaviour, ...settings },
    }),
  );
}

/** How the plugin of a transport is told what to do, and how it says something back. */
export interface Dialect {
  readonly payload: (behaviour: string, settings?: Record<string, unknown>) => Uint8Array;
  /** Of a payload, what "echo" answers when all of it arrived. */
  readonly echoOf: (payload: Uint8Array) => number;
  /** What it said, in an answer as the transport gives it. */
  readonly said: (answer: object) => unknown;
  /** Its answers name their call. */
  readonly namesCalls: boolean;
}

export const OURS: Dialect = {
  payload,
  echoOf: sent => Buffer.from(sent).toString().length,
  said: answer => ("explanation" in answer ? answer.explanation : ""),
  namesCalls: true,
};

/** Call with a time-out. */
export async function ask(
  transport: PluginTransport,
  behaviour: string,
  settings: Record<string, unknown> = {},
  timeoutMs = 20_000,
  dialect = OURS,
): Promise<Uint8Array> {
  const deadline = deadlineAfter(timeoutMs);
  const made = dialect.payload(behaviour, settings);
  try {
    const sent = transport.encode?.(made).payload ?? made;
    return await transport.call(sent, { callId: CALL, traceparent: "" }, deadline);
  } finally {
    deadline.dispose();
  }
}

/** Longest wait for what a call's end is to cut. */
const CUT_OFF_MS = 60_000;

/** Call, and end its time when the condition holds: not before there is what it is to cut, however long that takes. */
export async function cutOff(
  transport: PluginTransport,
  behaviour: string,
  isThere: () => boolean,
): Promise<Uint8Array> {
  const over = new AbortController();
  const deadline: Deadline = {
    remainingMs: () => (over.signal.aborted ? 0 : CUT_OFF_MS),
    signal: over.signal,
  };
  const call = transport.call(payload(behaviour), { callId: CALL, traceparent: "" }, deadline);
  call.catch(() => undefined);
  for (const end = performance.now() + CUT_OFF_MS; !isThere() && performance.now() < end; ) await sleep(10);
  over.abort(new MairustError("deadline", "Cannot finish in time: the test ended it"));
  return call;
}

export async function explanation(
  transport: PluginTransport,
  behaviour: string,
  settings: Record<string, unknown> = {},
  dialect = OURS,
): Promise<string> {
  const bytes = await ask(transport, behaviour, settings, 20_000, dialect);
  const answer: unknown = JSON.parse(Buffer.from(bytes).toString());
  return typeof answer === "object" && answer !== null ? String(dialect.said(answer) ?? "") : "";
}

export function hasCode(code: string): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof MairustError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

async function checked(
  transport: PluginTransport,
  behaviour: string,
  dialect: Dialect,
  settings: Record<string, unknown> = {},
  timeoutMs = 20_000,
) {
  return checkAnswer(
    await ask(transport, behaviour, settings, timeoutMs, dialect),
    { callId: CALL, pluginId: FIXTURE_ID },
    grants,
    "pre_delivery",
  );
}

/** `failed` is what leads to a hook's `on_error`, wherever it was found. */
async function outcome(
  transport: PluginTransport,
  behaviour: string,
  dialect: Dialect,
): Promise<"ok" | "failed" | "deadline"> {
  try {
    return (await checked(transport, behaviour, dialect)).kind === "ok" ? "ok" : "failed";
  } catch (error) {
    assert.ok(error instanceof MairustError, String(error));
    return error.code === "deadline" ? "deadline" : "failed";
  }
}

export interface ConformanceOptions {
  /** The plugin is written with an SDK, which writes every answer itself: broken ones cannot be asked for. */
  readonly sdk?: boolean;
}

/** @param make  a transport that is not started yet */
export function transportConformance(
  name: string,
  make: () => PluginTransport,
  dialect = OURS,
  { sdk = false }: ConformanceOptions = {},
): void {
  const testRaw: (title: string, body: () => Promise<void>) => void = sdk ? () => {} : test;
  const askIt = (
    transport: PluginTransport,
    behaviour: string,
    settings: Record<string, unknown> = {},
    timeoutMs = 20_000,
  ) => ask(transport, behaviour, settings, timeoutMs, dialect);
  const explain = (transport: PluginTransport, behaviour: string, settings: Record<string, unknown> = {}) =>
    explanation(transport, behaviour, settings, dialect);
  describe(`${name} as a plugin transport`, () => {
    let transport = make();
    before(async () => {
      transport = make();
      await transport.start(deadlineAfter(10_000));
    });
    after(() => transport.stop(deadlineAfter(5000)));
    /** The next call is answered, at the latest after the pause that failures before this one earned: some are noticed late. */
    const next = async (behaviour: string) => {
      for (let tries = 0; ; tries++) {
        try {
          return await checked(transport, behaviour, dialect);
        } catch (error) {
          if (tries === 200 || !/no process runs/u.test(String(error))) throw error;
          await sleep(100);
        }
      }
    };
    // A good call first: failures of the test before must not slow this one down.
    beforeEach(async () => {
      for (let tries = 0; tries < 50; tries++) {
        const answer = await askIt(transport, "empty").catch(() => undefined);
        if (answer !== undefined) return;
        await sleep(100);
      }
    });

    test("an empty answer means deliver", async () => {
      const result = await checked(transport, "empty", dialect);
      assert.equal(result.kind === "ok" && result.answer.action, "deliver");
    });
    test("the payload arrives whole, also one of 4 MiB", async () => {
      const filler = "é".repeat(2 * 1024 * 1024);
      const sent = dialect.payload("echo", { filler });
      assert.equal(Number(await explain(transport, "echo", { filler })), dialect.echoOf(sent));
    });
    test("an answer of just under 1 MiB arrives", async () => {
      assert.equal(
        (await explain(transport, "full", { bytes: 1024 * 1024 - 200 })).length,
        1024 * 1024 - 200,
      );
    });
    test("an answer of more than 1 MiB is a failure of the plugin", async () => {
      await assert.rejects(askIt(transport, "full", { bytes: 1024 * 1024 }), hasCode("plugin_failed"));
    });
    testRaw("output without end is a failure of the plugin, long before the time-out", async () => {
      await assert.rejects(askIt(transport, "flood"), hasCode("plugin_failed"));
    });
    testRaw("a second answer voids the first", async () => {
      // Where answers are lines the transport sees it, where they are whole outputs the check of the answer does: on_error both.
      assert.equal(await outcome(transport, "twice", dialect), "failed");
    });
    test("a crash is a failure of the plugin, and the next call is answered", async () => {
      await assert.rejects(askIt(transport, "crash"), hasCode("plugin_failed"));
      assert.equal((await next("empty")).kind, "ok");
    });
    testRaw("an answer that breaks off is a failure of the plugin", async () => {
      await assert.rejects(askIt(transport, "half"), hasCode("plugin_failed"));
      assert.equal((await next("empty")).kind, "ok");
    });
    test("a payload of 16 MiB arrives, one byte more is not sent", async () => {
      const envelope = dialect.payload("echo", { filler: "" }).byteLength;
      const filler = "x".repeat(16 * 1024 * 1024 - envelope);
      const echoed = dialect.echoOf(dialect.payload("echo", { filler }));
      assert.equal(await explain(transport, "echo", { filler }), String(echoed));
      await assert.rejects(askIt(transport, "echo", { filler: `${filler}x` }), hasCode("plugin_failed"));
    });
    test("text of every script comes back as it was sent", async () => {
      const text = 'é 会議 😀 \u2028 \u0000 \ud7ff \ue000 \ufffd \u0001\n\r\t\\"';
      assert.equal(await explain(transport, "unicode", { text }), text);
    });
    test("a hang ends with the deadline, and the next call is answered", async () => {
      await assert.rejects(askIt(transport, "hang", {}, 150), hasCode("deadline"));
      assert.equal((await next("empty")).kind, "ok");
    });
    test("an answer that comes late is not the answer to the next call", async () => {
      await assert.rejects(askIt(transport, "slow", { ms: 200 }, 100), hasCode("deadline"));
      const result = await next("count");
      assert.ok(
        result.kind === "ok" && /^\d$/.test(String(dialect.said(result.answer))),
        JSON.stringify(result),
      );
    });
    for (const behaviour of [
      "garbage",
      "garbage_first",
      "nothing",
      "latin1",
      "bom",
      "list",
      ...(dialect.namesCalls ? ["wrong_id"] : []),
    ]) {
      testRaw(`the answer "${behaviour}" is malformed`, async () => {
        assert.equal((await checked(transport, behaviour, dialect)).kind, "malformed");
      });
    }
    test("health is ok", async () => {
      assert.equal((await transport.health()).status, "ok");
    });
    test("many calls at once are all answered, in their own time", async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => checked(transport, "echo", dialect, {}, 120_000)),
      );
      assert.ok(answers.every(answer => answer.kind === "ok"));
    });
  });

  test(`${name}: a call after stop fails, and stop may find calls running`, async () => {
    const transport = make();
    await transport.start(deadlineAfter(10_000));
    const running = assert.rejects(askIt(transport, "hang"), hasCode("plugin_failed"));
    await transport.stop(deadlineAfter(100));
    await running;
    await assert.rejects(askIt(transport, "empty"), MairustError);
  });
}
