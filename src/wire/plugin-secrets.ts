/** Limits of rotating a plugin's secret, for the command line, the API and the store. No schema library: `--help` must not load it. */

/** How long the old secret goes on signing beside the new one, in seconds. */
export const DEFAULT_GRACE_S = 86_400;
export const MAX_GRACE_S = 604_800;
