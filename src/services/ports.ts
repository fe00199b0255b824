/** What the use cases work on. `compose.ts` fills it once; every service function takes it first. */
import type { AccountAdmin, MessageAdmin, SystemControl } from "../core/admin-ports.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { MessageAdder } from "../core/ports/message-adder.ts";
import type { Scrubber } from "../core/ports/scrub.ts";

export interface ServicePorts {
  readonly accounts: AccountAdmin;
  readonly messages: MessageAdmin;
  readonly directory: Directory;
  readonly blobs: BlobStore;
  readonly adder: MessageAdder;
  readonly scrubber: Scrubber;
  readonly system: SystemControl;
  /** `limits.message_bytes` now in effect. */
  readonly maxMessageBytes: () => number;
}
