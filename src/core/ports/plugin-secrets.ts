/** The secrets that calls by HTTP are signed with, one plugin at a time; `store/plugin-secrets.ts` implements it. */
import type { SigningSecrets } from "../hook-plugin.ts";

/** 32 random bytes; printed as `whsec_` and base64, as Standard Webhooks does. */
export const SECRET_BYTES = 32;

export interface RotateOptions {
  /** 0: the old one signs nothing any more, from now on. */
  readonly graceS: number;
  /** The new secret makes `X-MaiRust-Signature` only once the receiver has proved that it knows it. */
  readonly staged: boolean;
}

export interface NewSecret {
  readonly secret: Uint8Array;
  readonly secretId: string;
  /** It signs alone what carries one signature. */
  readonly active: boolean;
  /** Until then the old one signs too; undefined: there is none. */
  readonly oldUntil: Date | undefined;
}

export interface PluginSecrets {
  /**
   * Read the plugin's secrets, and make the first one where there is none. To be awaited before `current`.
   * @throws {MairustError} `plugin_security` (another key file encrypted it, or it was changed), `store_unavailable`
   */
  ensure(pluginId: string): Promise<void>;
  /** @throws {MairustError} `invalid_state` before `ensure` */
  current(pluginId: string): SigningSecrets;
  /** The receiver knows the staged secret: it signs first from now on. Nothing staged: nothing happens. */
  activate(pluginId: string): Promise<void>;
  /**
   * Make a new secret. One that nobody was ever shown is replaced at once, whatever `options` say.
   * @throws {MairustError} `invalid_state`: the one before is still in its grace, and the new grace is not 0
   */
  rotate(pluginId: string, options: RotateOptions): Promise<NewSecret>;
}
