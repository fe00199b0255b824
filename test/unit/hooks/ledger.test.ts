/** What leaves for a plugin: written down first, with the context of the trace. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { grantsAsWritten } from "../../../src/core/grants-written.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { HookPoint } from "../../../src/core/ports/hooks.ts";
import type { LedgerEntry } from "../../../src/core/ports/ledger.ts";
import { traceparent } from "../../../src/hooks/traceparent.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { awake } from "./awake.ts";
import { factsOf, theOne } from "./message.ts";
import { EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";

const run = async (rig: Rig, point: HookPoint = "pre_delivery") =>
  theOne(
    await awake(rig.runner.run(point, factsOf("Subject: x\n\nbody"), deadlineAfter(5000), { attempt: 2 })),
  );

/** A plugin that keeps what it was sent. */
function watched(order: string[]) {
  const sent: { payload: Uint8Array; traceparent: string; callId: string }[] = [];
  const plugin = pluginOf("a", () => ({}), EVERYTHING);
  const { transport } = plugin;
  assert.ok(transport);
  const call: typeof transport.call = async (payload, travelling) => {
    order.push("left");
    sent.push({ payload, ...travelling });
    return Buffer.from("{}");
  };
  return {
    plugin: { ...plugin, transport: { ...transport, call, destination: "https://a.example:443" } },
    sent,
  };
}

test("the ledger has the very payload that leaves, before it leaves", async () => {
  const order: string[] = [];
  const entries: LedgerEntry[] = [];
  const { plugin, sent } = watched(order);
  const rig = rigOf([plugin], [rowOf("a")], {
    ledger: {
      async record(entry) {
        order.push("ledger");
        entries.push(entry);
      },
    },
  });
  const decision = await run(rig);
  assert.deepEqual(order, ["ledger", "left"]);
  const [{ payload, ...travelled }] = sent as [(typeof sent)[number]];
  const [{ callId, digest, bytes, ...entry }] = entries as [LedgerEntry];
  assert.equal(digest, createHash("sha256").update(payload).digest("hex"));
  assert.deepEqual([bytes, callId], [payload.byteLength, travelled.callId]);
  assert.equal(decision.events[0]?.data.call_id, callId);
  const { attempt, call_id } = JSON.parse(Buffer.from(payload).toString());
  assert.deepEqual([attempt, call_id], [2, callId]);
  assert.deepEqual(entry, {
    at: new Date("2026-03-01T12:00:01Z"),
    messageId: "0190a000-0000-7000-8000-00000000000a",
    queueId: "4XyZ1234",
    point: "pre_delivery",
    hook: "a",
    pluginId: "a",
    pluginVersion: "1.0.0",
    mode: "enforce",
    attempt: 2,
    fields: decision.events[0]?.data.fields,
    grants: {
      read_headers: true,
      read_body: "preview",
      write_tags: true,
      move_message: true,
      decide: ["reject", "tempfail"],
    },
    destination: "https://a.example:443",
    recipients: 1,
  });
});

test("what the ledger cannot take stays in, and the hook follows on_error", async () => {
  const order: string[] = [];
  const { plugin } = watched(order);
  const rig = rigOf([plugin], [rowOf("a", { on_error: "reject", on_timeout: "allow" })], {
    ledger: { record: () => Promise.reject(new Error("disk full")) },
  });
  const decision = await run(rig);
  assert.deepEqual([decision.action, order], ["reject", []]);
  const { outcome, bytes_sent, fields, problem } = decision.events[0]?.data ?? {};
  assert.deepEqual([outcome, bytes_sent, fields, problem], ["error", 0, [], "disk full"]);
});

test("a call that was given up while the ledger wrote does not leave", async () => {
  const order: string[] = [];
  const { plugin } = watched(order);
  let written = () => {};
  const rig = rigOf([plugin], [rowOf("a", { timeout_ms: 20 })], {
    ledger: {
      record: () =>
        new Promise(resolve => {
          written = resolve;
        }),
    },
  });
  const decision = await run(rig);
  assert.equal(decision.events[0]?.data.outcome, "timeout");
  written();
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(order, []);
});

test("grants are written as they stand in the configuration, without what is not granted", () => {
  const all: PermissionsInput = {
    read_headers: ["from", "subject"],
    read_body: "full",
    read_attachments: "metadata",
    write_flags: true,
    decide: ["hold"],
  };
  assert.deepEqual(grantsAsWritten(grantsOf(all)), all);
  assert.deepEqual(grantsAsWritten(grantsOf()), {});
  assert.deepEqual(grantsAsWritten(grantsOf({ read_headers: [] })), { read_headers: [] });
});

test("the trace is the message's, the span the call's", () => {
  assert.equal(
    traceparent("0190a000-1111-7222-8333-00000000000a", "0190a000-aaaa-7bbb-8ccc-dddddddddddd"),
    "00-0190a0001111722283330000" + "0000000a-8cccdddddddddddd-01",
  );
  const VALID = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/;
  const odd = [
    "",
    "x",
    "TRACE-17",
    "00000000-0000-0000-0000-000000000000",
    "0190a000-1111-7222-0000-000000000000",
  ];
  for (const id of odd) assert.match(traceparent(id, id), VALID, id);
});
