/** The fuzz targets by name: one module per decoder or state machine. */

const NAMES = [
  "lmtp-framing",
  "lmtp-commands",
  "lmtp-session",
  "imap-parser",
  "imap-session",
  "milter",
  "mime-scanner",
  "mime-decoders",
  "packed-structure",
  "blob-header",
  "manifest",
  "plugin-answer",
  "plugin-payload",
  "config-toml",
  "search-grammar",
  "package-reader",
  "package-manifest",
] as const;

export type TargetName = (typeof NAMES)[number];

export const TARGETS: readonly TargetName[] = NAMES;

/** URL of a target's module. */
export function targetModule(name: TargetName): string {
  return import.meta.resolve(`./${name}.js`);
}
