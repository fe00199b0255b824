import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { MilterNeeds } from "../../../../src/core/ports/milter.ts";
import { negotiate, type SocketKind } from "../../../../src/protocols/milter/negotiation.ts";
import { MilterProtocolError } from "../../../../src/protocols/milter/protocol-error.ts";
import { POSTFIX_ACTIONS, POSTFIX_STEPS } from "../../../lib/milter-packets.ts";

const NOTHING: MilterNeeds = {
  headers: false,
  body: false,
  hold: false,
  recipients: false,
  replaceBody: false,
  quarantine: false,
};
const POSTFIX = { version: 6, actions: POSTFIX_ACTIONS, steps: POSTFIX_STEPS };
/** SMFI_V2_PROT. */
const OLD = { version: 2, actions: 0x3f, steps: 0x7f };

const NO_REPLY = 0x0f_f080;
const TABLE: ReadonlyArray<
  readonly [needs: Partial<MilterNeeds>, socket: SocketKind, actions: number, steps: number]
> = [
  // NOUNKNOWN, HDR_LEADSPC always; NOBODY, NOHDRS, NOEOH when nothing is read.
  [{}, "unix", 0x100, NO_REPLY | 0x100100 | 0x200 | 0x70],
  [{}, "tcp", 0x100, 0x100100 | 0x400 | 0x70],
  [{ headers: true }, "unix", 0x111, NO_REPLY | 0x100100 | 0x200 | 0x10],
  [{ headers: true }, "tcp", 0x111, 0x100100 | 0x400 | 0x10],
  [{ body: true }, "unix", 0x111, NO_REPLY | 0x100100 | 0x200],
  [{ headers: true, body: true }, "tcp", 0x111, 0x100100 | 0x400],
  [{ hold: true }, "unix", 0x111, NO_REPLY | 0x100100 | 0x200],
  [{ headers: true, recipients: true }, "tcp", 0x11d, 0x100100 | 0x400 | 0x10],
  [{ headers: true, replaceBody: true, quarantine: true }, "tcp", 0x133, 0x100100 | 0x400 | 0x10],
];

test("negotiate() asks Postfix for what is needed and no more", () => {
  for (const [needs, socket, actions, steps] of TABLE) {
    const agreed = negotiate(POSTFIX, { ...NOTHING, ...needs }, socket);
    const found = [agreed.version, agreed.actions.toString(16), agreed.steps.toString(16)];
    assert.deepEqual(
      found,
      [6, actions.toString(16), steps.toString(16)],
      `${JSON.stringify(needs)} ${socket}`,
    );
  }
});

test("negotiate() goes down to version 2 and then answers everything, without macro lists", () => {
  const agreed = negotiate(OLD, { ...NOTHING, headers: true }, "unix");
  assert.deepEqual(agreed, { version: 2, actions: 0x11, steps: 0x10, symbols: [] });
});

test("negotiate() speaks its own newest version to a newer MTA", () => {
  assert.equal(negotiate({ ...POSTFIX, version: 7 }, NOTHING, "tcp").version, 6);
});

test("negotiate() names the macros of each stage, as Postfix forgets those of a stage without list", () => {
  const { symbols } = negotiate(POSTFIX, NOTHING, "tcp");
  assert.deepEqual(symbols.map(([stage]) => stage).sort(), [0, 1, 2, 3, 4, 5, 6]);
  const names = new Set(symbols.flatMap(([, list]) => list));
  assert.deepEqual([...names].sort(), [
    "i",
    "j",
    "{auth_authen}",
    "{auth_type}",
    "{cert_subject}",
    "{client_addr}",
    "{client_name}",
    "{daemon_name}",
    "{mail_addr}",
    "{rcpt_addr}",
    "{tls_version}",
  ]);
});

test("negotiate() refuses version 1 and an MTA that allows no edit that is needed", () => {
  const fault = (error: unknown) => error instanceof MilterProtocolError && error.fault === "negotiation";
  assert.throws(() => negotiate({ ...OLD, version: 1 }, NOTHING, "unix"), fault);
  assert.throws(
    () => negotiate({ ...POSTFIX, actions: 0x1ef }, { ...NOTHING, headers: true }, "unix"),
    fault,
  );
  assert.throws(
    () => negotiate({ ...POSTFIX, actions: 0x1f7 }, { ...NOTHING, recipients: true }, "unix"),
    fault,
  );
  assert.doesNotThrow(() => negotiate({ ...POSTFIX, actions: 0 }, NOTHING, "unix"));
  assert.doesNotThrow(() => negotiate({ ...POSTFIX, actions: 0 }, { ...NOTHING, quarantine: true }, "unix"));
});

test("negotiate() never asks for what was not offered", () => {
  const mask = fc.integer({ min: 0, max: 0x7fff_ffff });
  const needs = fc.record({
    headers: fc.boolean(),
    body: fc.boolean(),
    hold: fc.boolean(),
    recipients: fc.boolean(),
    replaceBody: fc.boolean(),
    quarantine: fc.boolean(),
  });
  const property = (actions: number, steps: number, need: MilterNeeds, socket: SocketKind) => {
    const agreed = negotiate({ version: 6, actions: actions | 0x1f, steps }, need, socket);
    assert.equal(agreed.actions & ~(actions | 0x1f), 0);
    assert.equal(agreed.steps & ~steps, 0);
    if (socket === "tcp") assert.equal(agreed.steps & NO_REPLY, 0);
    if (need.body || need.hold) assert.equal(agreed.steps & 0x70, 0);
  };
  fc.assert(fc.property(mask, mask, needs, fc.constantFrom<SocketKind>("unix", "tcp"), property));
});
