/**
 * What a valid manifest or grant may ask for and this version cannot do yet: refused by name when the plugin is enabled,
 * never ignored. Who builds a thing deletes its line. Grants have theirs in `wire/config/not-built.ts`, where `config check` finds
 * them too.
 */
import { findNotBuilt } from "../wire/config/not-built.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionsInput } from "../wire/permissions.ts";
import { isCalledByHttp } from "./endpoint.ts";

type Check = readonly [asks: (manifest: Manifest) => boolean, what: string];

const MANIFEST: readonly Check[] = [
  [({ entry }) => entry.type !== "hook", "plugins of type service or ui"],
  [
    ({ entry }) => entry.type === "hook" && entry.protocol !== "script" && !isCalledByHttp(entry),
    "every protocol but http, unix and script",
  ],
  [manifest => manifest.caps !== undefined, "[caps]"],
  [manifest => manifest.budget !== undefined, "[budget]"],
  [manifest => manifest.api !== undefined, "[api]"],
  [manifest => manifest.events !== undefined, "[events]"],
  [manifest => manifest.actions !== undefined, "[actions]"],
  [manifest => manifest.jobs !== undefined, "[jobs]"],
  [manifest => manifest.ui !== undefined, "[ui]"],
  [manifest => manifest.logging !== undefined, "[logging]"],
];

/** @returns what is missing, each as the subject of "… is not built in this version" */
export function missingInThisVersion(manifest: Manifest, grants: PermissionsInput): readonly string[] {
  return [
    ...MANIFEST.flatMap(([asks, what]) => (asks(manifest) ? [what] : [])),
    ...Object.entries(grants).flatMap(([name, value]) => {
      const refusal = findNotBuilt(["plugin", manifest.id, "grants", name], value);
      return refusal === undefined ? [] : [refusal.missing];
    }),
  ];
}
