/** What a hook may ask for and this version cannot do yet. Checked for rows of the configuration and of manifests alike. */
import type { HookConfig } from "../wire/config/schema.ts";
import type { HookPoint } from "./ports/hooks.ts";

/** Points where this version calls plugins. */
export const BUILT_POINTS: ReadonlySet<HookPoint> = new Set<HookPoint>([
  "pre_receive",
  "pre_delivery",
  "pre_send",
]);

/** @returns what is missing, each as the subject of "… is not built in this version" */
export function missingForHook(row: HookConfig): readonly string[] {
  const missing: string[] = [];
  if (!BUILT_POINTS.has(row.point)) missing.push(`hook point ${row.point}`);
  if (row.mode === "canary") missing.push("mode canary");
  return missing;
}
