/** What a hook may ask for and this version cannot do yet. Checked for rows of the configuration and of manifests alike. */
import type { HookConfig } from "../wire/config/schema.ts";

/** @returns what is missing, each as the subject of "… is not built in this version" */
export function missingForHook(row: HookConfig): readonly string[] {
  return row.mode === "canary" ? ["mode canary"] : [];
}
