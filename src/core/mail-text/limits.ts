/** Named limits of the index behind IMAP's SEARCH. Past each of them a message may hold any text: it is read instead. */

/** Of the grams that this code makes; a higher one makes all of them again. */
const GRAMS_VERSION = 1;

/** Octets of headers and text parts that are read of one message. */
export const INPUT_BYTES_MAX = 8 * 1024 * 1024;

/** Octets of the root header; SEARCH reads at least as many. */
export const ROOT_HEADER_BYTES_MAX = 256 * 1024;

/** Octets that its deliveries put in front of one message, to some hundred recipients. */
export const PREFIX_BYTES_MAX = 256 * 1024;

/** Headers inside and text parts of one message. */
export const SEGMENTS_MAX = 3000;

/** Different grams of one message. */
export const GRAMS_MAX = 65_536;

/** Grams that one text is looked up by; more of them hardly narrow it any further. */
export const QUERY_GRAMS_MAX = 16;

/** Octets of one part that its preview is made of. */
export const PREVIEW_BYTES_MAX = 65_536;

/**
 * What was folded by another version of Unicode may hold what the text that is searched for does not hold now.
 *
 * @param unicode  as in `process.versions`: "15.1"
 * @returns        1..32767
 */
export function indexVersion(unicode: string): number {
  const [major = 0, minor = 0] = unicode.split(".").map(Number);
  return GRAMS_VERSION * 1000 + major * 10 + minor;
}
