/** Use case: give the service another master key. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import type { KeyRotation } from "../core/ports/key-admin.ts";
import { type Actor, audited } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} see `KeyAdmin.rotate` */
export function rotateKey(ports: ServicePorts, options: ChangeOptions & Actor): Promise<KeyRotation> {
  const entry = { actor: options.who, action: "key.rotate", object: "key_file", detail: {} };
  return audited(ports, entry, options, () => ports.keys.rotate(options));
}
