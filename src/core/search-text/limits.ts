/** Named limits of search text. Past each of them a message is found by less of its text, never stored or read differently. */

/** Version of the text that this code makes; a higher one makes every text again. */
export const SEARCH_TEXT_VERSION = 1;

/** UTF-8 octets of the folded text of one message. */
export const TEXT_BYTES_MAX = 1024 * 1024;

/** Different grams of one message: the text ends where they are used up, so that index and text always agree. */
export const GRAMS_MAX = 65_536;

/** Encoded octets of text parts and headers that are read of one message. */
export const INPUT_BYTES_MAX = 8 * 1024 * 1024;

/** Octets of one header block. */
export const HEADER_BYTES_MAX = 256 * 1024;

/** Text parts of one message. */
export const TEXT_PARTS_MAX = 500;

/** Headers of parts that are read: for attachment names, and for subject and addresses of messages inside. */
export const PART_HEADERS_MAX = 3000;

/** Combining marks in a row that are kept: normalising longer runs takes quadratic time (UAX #15 stream-safe text: 30). */
export const COMBINING_MAX = 30;

/** Octets that are looked at to guess the charset of a text. */
export const GUESS_BYTES = 64 * 1024;

/** Grams that one search asks the index for; more of them hardly narrow it any further. */
export const QUERY_GRAMS_MAX = 24;
