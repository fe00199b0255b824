/** S1 at the place where payloads are made: grants that read × points, for one message of `canary-mail.ts`. */
import assert from "node:assert/strict";
import { callId } from "../../../src/core/ids.ts";
import { project } from "../../../src/core/permissions.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { HookPoint, MessageFacts } from "../../../src/core/ports/hooks.ts";
import { MessageViews } from "../../../src/hooks/message-views.ts";
import { HOOK_POINTS } from "../../../src/wire/config/hooks.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { Haystack, isGranted, leaksIn, missingIn, READ_GRANTS, type Secret } from "../../lib/canaries.ts";
import { canaryFacts, canaryProvenance } from "../../lib/canary-facts.ts";
import type { CanaryMail } from "../../lib/canary-mail.ts";

/** So many parts take seconds for every grant at every point: here at one point each, all of them in the contract tests. */
export const HEAVY = "2000 parts";

/** The bytes that leave, as the hook manager makes them. */
export async function sent(
  mail: CanaryMail,
  views: MessageViews,
  facts: MessageFacts,
  input: PermissionsInput,
  point: HookPoint,
): Promise<Buffer> {
  const { around } = mail;
  const grants = grantsOf(input);
  const state = {
    recipients: facts.recipients,
    account: around.account,
    tags: facts.tags,
    provenance: canaryProvenance(mail),
  };
  const payload = project(await views.view(facts, grants), state, grants, {
    callId: callId("0190a000-0000-7000-8000-000000000001"),
    point,
    mode: "enforce",
    attempt: 1,
    deadlineMs: 2000,
    pluginId: "com.example.p",
    pluginVersion: "1.0.0",
    settings: {},
  });
  const isTold = input.read_headers !== undefined && input.read_headers !== false;
  assert.deepEqual(
    payload.auth,
    isTold ? facts.senderAuth : undefined,
    "our own checks, and what mail says of itself is none",
  );
  return Buffer.from(JSON.stringify(payload));
}

export async function checkCanaries(
  mail: CanaryMail,
  points: "all" | "a point for each grant",
): Promise<void> {
  const facts = canaryFacts(mail);
  // One for all grants: what is kept for one plugin must not reach another.
  const views = new MessageViews();
  for (const [i, grants] of READ_GRANTS.entries()) {
    // Grants come in fours that differ in attachments alone: each level meets each point.
    const [point] = HOOK_POINTS.slice((i + Math.floor(i / 4)) % HOOK_POINTS.length);
    for (const one of points === "all" || point === undefined ? HOOK_POINTS : [point]) {
      const bytes = new Haystack(await sent(mail, views, facts, grants, one));
      const allowed = (need: Secret["need"]) => isGranted(need, grants, one);
      const where = JSON.stringify({ grants, point: one });
      assert.deepEqual(leaksIn(bytes, mail.secrets, allowed), [], `beyond the grant: ${where}`);
      assert.deepEqual(missingIn(bytes, mail.secrets, allowed), [], `granted and not there: ${where}`);
    }
  }
}
