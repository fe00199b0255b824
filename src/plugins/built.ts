/**
 * What a valid manifest or grant may ask for and this version cannot do yet: refused by name when the plugin is enabled,
 * never ignored. Who builds a thing deletes its line.
 */
import type { Grants } from "../core/permissions-grants.ts";
import type { Manifest } from "../wire/manifest.ts";

type Check<T> = readonly [asks: (value: T) => boolean, what: string];

const MANIFEST: ReadonlyArray<Check<Manifest>> = [
  [({ entry }) => entry.type !== "hook", "plugins of type service or ui"],
  [({ entry }) => entry.type === "hook" && entry.protocol !== "script", "every protocol but script"],
  [({ entry }) => entry.mode === "spawn", 'entry.mode "spawn"'],
  [({ entry }) => entry.callback_api === true, "the callback API"],
  [
    ({ entry }) => entry.health_cmd !== undefined || entry.health_endpoint !== undefined,
    "health_cmd and health_endpoint",
  ],
  [({ limits }) => limits?.persistent_dir === true, "limits.persistent_dir"],
  [manifest => manifest.caps !== undefined, "[caps]"],
  [manifest => manifest.budget !== undefined, "[budget]"],
  [manifest => manifest.api !== undefined, "[api]"],
  [manifest => manifest.events !== undefined, "[events]"],
  [manifest => manifest.actions !== undefined, "[actions]"],
  [manifest => manifest.jobs !== undefined, "[jobs]"],
  [manifest => manifest.ui !== undefined, "[ui]"],
];

const GRANTS: ReadonlyArray<Check<Grants>> = [
  [grants => grants.read_body === "full", 'the grant read_body = "full"'],
  [grants => grants.read_attachments !== "none", "the grant read_attachments"],
  [grants => grants.decide.has("hold"), 'the grant decide "hold"'],
  [grants => grants.write_flags, "the grant write_flags"],
  [grants => grants.write_metadata, "the grant write_metadata"],
  [grants => grants.write_headers, "the grant write_headers"],
  [grants => grants.append_text, "the grant append_text"],
  [grants => grants.add_recipients, "the grant add_recipients"],
  [grants => grants.send_mail, "the grant send_mail"],
];

/** @returns what is missing, each as the subject of "… is not built in this version" */
export function missingInThisVersion(manifest: Manifest, grants: Grants): readonly string[] {
  const missing = (asks: boolean, what: string) => (asks ? [what] : []);
  return [
    ...MANIFEST.flatMap(([asks, what]) => missing(asks(manifest), what)),
    ...GRANTS.flatMap(([asks, what]) => missing(asks(grants), what)),
  ];
}

/** Limits that a plain child process does not enforce: named in the log when such a plugin starts. */
export function unenforcedLimits({ limits }: Manifest): readonly string[] {
  return ["cpu_ms", "memory_mb", "network"].filter(
    name => limits !== undefined && Object.hasOwn(limits, name),
  );
}
