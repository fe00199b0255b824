/** STORE and UID STORE: flags are read-only. Source: RFC 3501 §6.4.6; `read-only.ts`. */
import type { InMailbox } from "./context.ts";
import type { StoreCommand } from "./parse-store.ts";
import { refuseWrite } from "./read-only.ts";
import type { Completion } from "./reply.ts";

export async function store(context: InMailbox, command: StoreCommand): Promise<Completion> {
  return refuseWrite(context.config, command.kind);
}
