/** Limits of import, export and verify that both ends keep; without the schema library, because commands read them. */

/** Most messages that one request may ask about. */
export const MAX_KNOWN_ITEMS = 1000;
/** Most messages of one batch. */
export const MAX_BATCH_MESSAGES = 500;
/** Longest source key, in characters: twice a file name. */
export const MAX_KEY_CHARS = 512;
/** Files and differences that a report names one by one. */
export const MAX_REPORTED = 1000;
