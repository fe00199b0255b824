/** `/api/v1/admin/key`: another master key. */
import { rotateKey } from "../../services/keys.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type KeyRotationBody, keyRoutes as routes } from "../../wire/api/keys.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";

export function keyRoutesOf(app: App, ports: ServicePorts): void {
  app.post(
    "/api/v1/admin/key/rotate",
    { schema: routes.rotate },
    async (request): Promise<KeyRotationBody> => {
      const { keyId, secrets, settings, dkimKeys, traceUntil } = await rotateKey(ports, changeBy(request));
      return { key_id: keyId, secrets, settings, dkim_keys: dkimKeys, trace_until: traceUntil.toISOString() };
    },
  );
}
