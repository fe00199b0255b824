/** What plugins want changed of copies, one by one: for the journal. */
import type { HOOK_POINTS } from "../../wire/config/hooks.ts";

/**
 * What one answer wants changed of a copy, and whose it is. Kept beside what was changed, so that it can be undone by plugin, version
 * and time.
 */
export interface HookWish {
  readonly point: (typeof HOOK_POINTS)[number];
  readonly hook: string;
  readonly pluginId: string;
  readonly pluginVersion: string;
  readonly callId: string;
  readonly tagsAdd: readonly string[];
  readonly tagsRemove: readonly string[];
  /** OR of FLAG_ bits to set. */
  readonly systemFlags: number;
  readonly keywords: readonly string[];
  readonly folder: string | undefined;
  /** Namespaced. */
  readonly metadata: readonly string[];
}
