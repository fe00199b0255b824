/** What the tests of releases share: mail that is held, and hooks that do what a test says and note what they are asked. */
import { DELIVER } from "../../../src/core/merge.ts";
import type { NewHold } from "../../../src/core/ports/holds.ts";
import type { ChainOptions, HookDecision, HookPoint, HookRunner } from "../../../src/core/ports/hooks.ts";
import { ADMIN, BY, type HeldMailRig } from "./held-mail.ts";

export const TEXT = "From: a@example.org\r\nSubject: x\r\n\r\n.dot\r\nbody\r\n";
export const AFTER = { priority: BY.priority, name: BY.name };
export const ask = (id: string, to?: string) => ({ id, to, by: ADMIN, dryRun: false });

/** Holds messages of {@link TEXT}, no two with the same bytes. */
export function holder(rig: () => HeldMailRig) {
  let texts = 0;
  return async (hold: NewHold) => {
    const message = await rig().message(`X-N: ${texts++}\r\n${TEXT}`);
    const [result] = await rig().holds.hold(message, [hold]);
    return { message, id: result?.heldId ?? "" };
  };
}

interface Call {
  readonly point: HookPoint;
  readonly after: ChainOptions["after"];
  readonly tags: readonly string[];
  readonly recipients: readonly string[];
  readonly text: string;
}

/** Notes what it is asked, reads the whole message, and decides as the test says. */
export function hooksThat(decide: (point: HookPoint, recipient: string) => Partial<HookDecision>) {
  const calls: Call[] = [];
  const hooks: HookRunner = {
    has: () => true,
    needs: () => ({ headers: true, body: true, hold: true }),
    async run(point, facts, _deadline, options = {}) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of facts.content.read()) chunks.push(chunk);
      calls.push({
        point,
        after: options.after,
        tags: facts.tags,
        recipients: facts.recipients,
        text: Buffer.concat(chunks).toString("latin1"),
      });
      const each = new Map(
        facts.recipients.map(one => [one, { ...DELIVER, tags: facts.tags, ...decide(point, one) }]),
      );
      return { each, events: [] };
    },
  };
  return { hooks, calls };
}

export const objection = (action: "reject" | "hold" | "tempfail", name: string): Partial<HookDecision> => ({
  action,
  by: { priority: 200, name, pluginId: name, reason: `${name} objects` },
  ...(action === "hold" ? {} : { reply: { code: 550, enhanced: "5.7.1", text: "no" } }),
});
