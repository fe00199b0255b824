/**
 * What every plugin transport must do, whatever it is made of: the same answers and the same errors. The plugin behind it is
 * `fixtures/behaving-plugin.mjs` (worker, spawn) or `fixtures/http-plugin.ts` (TCP, UNIX socket), which behave alike.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { checkAnswer } from "../../../src/core/answer.ts";
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

/** Call with a time-out. */
export async function ask(
  transport: PluginTransport,
  behaviour: string,
  settings: Record<string, unknown> = {},
  timeoutMs = 20_000,
): Promise<Uint8Array> {
  const deadline = deadlineAfter(timeoutMs);
  try {
    return await transport.call(payload(behaviour, settings), { callId: CALL, traceparent: "" }, deadline);
  } finally {
    deadline.dispose();
  }
}

export async function explanation(
  transport: PluginTransport,
  behaviour: string,
  settings: Record<string, unknown> = {},
): Promise<string> {
  const answer: unknown = JSON.parse(Buffer.from(await ask(transport, behaviour, settings)).toString());
  return typeof answer === "object" && answer !== null && "explanation" in answer
    ? String(answer.explanation)
    : "";
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
  settings: Record<string, unknown> = {},
  timeoutMs = 20_000,
) {
  return checkAnswer(
    await ask(transport, behaviour, settings, timeoutMs),
    { callId: CALL, pluginId: FIXTURE_ID },
    grants,
    "pre_delivery",
  );
}

/** `failed` is what leads to a hook's `on_error`, wherever it was found. */
async function outcome(transport: PluginTransport, behaviour: string): Promise<"ok" | "failed" | "deadline"> {
  try {
    return (await checked(transport, behaviour)).kind === "ok" ? "ok" : "failed";
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
  { sdk = false }: ConformanceOptions = {},
): void {
  const testRaw: (title: string, body: () => Promise<void>) => void = sdk ? () => {} : test;
  describe(`${name} as a plugin transport`, () => {
    let transport = make();
    before(async () => {
      transport = make();
      await transport.start(deadlineAfter(10_000));
    });
    after(() => transport.stop(deadlineAfter(5000)));
    // A good call first: failures of the test before must not slow this one down.
    beforeEach(async () => {
      for (let tries = 0; tries < 50; tries++) {
        const answer = await ask(transport, "empty").catch(() => undefined);
        if (answer !== undefined) return;
        await sleep(100);
      }
    });

    test("an empty answer means deliver", async () => {
      const result = await checked(transport, "empty");
      assert.equal(result.kind === "ok" && result.answer.action, "deliver");
    });
    test("the payload arrives whole, also one of 4 MiB", async () => {
      const filler = "é".repeat(2 * 1024 * 1024);
      const sent = payload("echo", { filler });
      assert.equal(
        Number(await explanation(transport, "echo", { filler })),
        Buffer.from(sent).toString().length,
      );
    });
    test("an answer of just under 1 MiB arrives", async () => {
      assert.equal(
        (await explanation(transport, "full", { bytes: 1024 * 1024 - 200 })).length,
        1024 * 1024 - 200,
      );
    });
    test("an answer of more than 1 MiB is a failure of the plugin", async () => {
      await assert.rejects(ask(transport, "full", { bytes: 1024 * 1024 }), hasCode("plugin_failed"));
    });
    testRaw("output without end is a failure of the plugin, long before the time-out", async () => {
      await assert.rejects(ask(transport, "flood"), hasCode("plugin_failed"));
    });
    testRaw("a second answer voids the first", async () => {
      // Where answers are lines the transport sees it, where they are whole outputs the check of the answer does: on_error both.
      assert.equal(await outcome(transport, "twice"), "failed");
    });
    test("a crash is a failure of the plugin, and the next call is answered", async () => {
      await assert.rejects(ask(transport, "crash"), hasCode("plugin_failed"));
      assert.equal((await checked(transport, "empty")).kind, "ok");
    });
    testRaw("an answer that breaks off is a failure of the plugin", async () => {
      await assert.rejects(ask(transport, "half"), hasCode("plugin_failed"));
      assert.equal((await checked(transport, "empty")).kind, "ok");
    });
    test("a payload of 16 MiB arrives, one byte more is not sent", async () => {
      const envelope = payload("echo", { filler: "" }).byteLength;
      const filler = "x".repeat(16 * 1024 * 1024 - envelope);
      assert.equal(await explanation(transport, "echo", { filler }), String(16 * 1024 * 1024));
      await assert.rejects(ask(transport, "echo", { filler: `${filler}x` }), hasCode("plugin_failed"));
    });
    test("text of every script comes back as it was sent", async () => {
      const text = 'é 会議 😀 \u2028 \u0000 \ud7ff \ue000 \ufffd \u0001\n\r\t\\"';
      assert.equal(await explanation(transport, "unicode", { text }), text);
    });
    test("a hang ends with the deadline, and the next call is answered", async () => {
      await assert.rejects(ask(transport, "hang", {}, 150), hasCode("deadline"));
      assert.equal((await checked(transport, "empty")).kind, "ok");
    });
    test("an answer that comes late is not the answer to the next call", async () => {
      await assert.rejects(ask(transport, "slow", { ms: 200 }, 100), hasCode("deadline"));
      const result = await checked(transport, "count");
      assert.ok(result.kind === "ok" && /^\d$/.test(result.answer.explanation ?? ""), JSON.stringify(result));
    });
    for (const behaviour of ["garbage", "garbage_first", "nothing", "latin1", "bom", "list", "wrong_id"]) {
      testRaw(`the answer "${behaviour}" is malformed`, async () => {
        assert.equal((await checked(transport, behaviour)).kind, "malformed");
      });
    }
    test("health is ok", async () => {
      assert.equal((await transport.health()).status, "ok");
    });
    test("many calls at once are all answered, in their own time", async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => checked(transport, "echo", {}, 120_000)),
      );
      assert.ok(answers.every(answer => answer.kind === "ok"));
    });
  });

  test(`${name}: a call after stop fails, and stop may find calls running`, async () => {
    const transport = make();
    await transport.start(deadlineAfter(10_000));
    const running = assert.rejects(ask(transport, "hang"), hasCode("plugin_failed"));
    await transport.stop(deadlineAfter(100));
    await running;
    await assert.rejects(ask(transport, "empty"), MairustError);
  });
}
