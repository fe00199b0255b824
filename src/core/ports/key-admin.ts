/** The master key of the service, as somebody replaces it; `compose/key-admin.ts`. */
import type { ChangeOptions } from "../admin-ports.ts";

export interface KeyRotation {
  /** Says nothing about the key: which one it is, in messages about records that another key sealed. */
  readonly keyId: string;
  /** Records that were sealed again. */
  readonly secrets: number;
  readonly settings: number;
  readonly dkimKeys: number;
  /** Until then fields of mail that the old key signed are known. */
  readonly traceUntil: Date;
}

export interface KeyAdmin {
  /**
   * With `dryRun` nothing is changed, and `keyId` is that of the key of now.
   * @throws {MairustError} `plugin_security`: a record that cannot be read now; `config_invalid`: the files cannot be written;
   * `store_unavailable`
   */
  rotate(options: ChangeOptions): Promise<KeyRotation>;
}
