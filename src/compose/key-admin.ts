/** The master key on the running service: one rotation at a time. */
import type { KeyAdmin } from "../core/ports/key-admin.ts";
import { type ResealParts, rotateMasterKey, SECRETS_PURPOSE, tryRotation } from "../store/reseal.ts";
import { createTurns } from "./turns.ts";

export function keyAdmin(parts: ResealParts): KeyAdmin {
  const turns = createTurns();
  return {
    rotate: ({ dryRun }) =>
      turns(async () => {
        const { secrets, settings, dkimKeys } = await (dryRun ? tryRotation(parts) : rotateMasterKey(parts));
        const keyId = parts.master.ids(SECRETS_PURPOSE).current;
        const traceUntil = new Date(parts.now().getTime() + parts.traceLifetimeS * 1000);
        if (!dryRun) parts.log.info("key_rotated", { key_id: keyId, secrets, settings, dkim_keys: dkimKeys });
        return { keyId, secrets, settings, dkimKeys, traceUntil };
      }),
  };
}
