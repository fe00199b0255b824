/** What the use cases work on. `compose.ts` fills it once; every service function takes it first. */
import type { AccountAdmin, MessageAdmin, SystemControl } from "../core/admin-ports.ts";
import type { BlobStore, Directory, MessageAdder } from "../core/ports.ts";

export interface ServicePorts {
  readonly accounts: AccountAdmin;
  readonly messages: MessageAdmin;
  readonly directory: Directory;
  readonly blobs: BlobStore;
  readonly adder: MessageAdder;
  readonly system: SystemControl;
  /** `limits.message_bytes` now in effect. */
  readonly maxMessageBytes: () => number;
}
