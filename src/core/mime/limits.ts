/**
 * Named limits of the MIME code. Past each of them a message loses detail (an opaque leaf, a missing ENVELOPE value),
 * never the delivery: the bytes are stored and given back exactly whatever the structure says.
 *
 * Sources: docs spec mail-path §2 (limits); Dovecot's `mime_parts` guard in message-parser.c, which has the same shape.
 */

/** What an operator may set (`limits.mime_depth`, `limits.mime_parts`). */
export interface MimeLimits {
  /** Levels of multiparts and messages that may have children. */
  readonly depth: number;
  /** Ordinary parts of one message, root included. */
  readonly parts: number;
}

/** Levels of multiparts and messages that may have children; what lies deeper is an opaque leaf. */
export const MIME_DEPTH_MAX = 300;

/** Ordinary parts of one message, root included; what follows the last one is one opaque leaf. */
export const MIME_PARTS_MAX = 3000;

export const DEFAULT_MIME_LIMITS: MimeLimits = { depth: MIME_DEPTH_MAX, parts: MIME_PARTS_MAX };

/** Levels of a stored structure that are read: more than `limits.mime_depth` can be set to; deeper bytes are damaged. */
export const STORED_DEPTH_MAX = 1100;

/** Octets of a boundary that are compared. RFC 2046 §5.1.1 allows 70; longer ones occur and are cut here. */
export const BOUNDARY_BYTES_MAX = 256;

/** Octets kept of one header field's value, and of one header line while it is incomplete. */
export const FIELD_BYTES_MAX = 64 * 1024;

/** Octets of field values kept over the whole message: bounds memory however many parts there are. */
export const FIELDS_BYTES_TOTAL = 2 * 1024 * 1024;

/** Octets of the root header block that are handed out with the structure. */
export const HEADER_KEEP_BYTES = 64 * 1024;

/** Delivered-To values kept (newest first). */
export const DELIVERED_TO_MAX = 100;

/** Parameters kept of one Content-Type or Content-Disposition field. */
export const PARAMETERS_MAX = 64;

/** Octets of a media type, subtype, encoding or disposition token; a longer one is as good as unreadable. */
export const TOKEN_BYTES_MAX = 128;

/** Languages kept of one Content-Language field. */
export const LANGUAGES_MAX = 16;

/** Addresses rendered per ENVELOPE field. */
export const ENVELOPE_ADDRESSES_MAX = 2000;

/** Octets of a string that goes out as an IMAP quoted string; a longer one goes as a literal. */
export const QUOTED_BYTES_MAX = 1000;

/** UTF-8 octets of a decoded attachment name. */
export const FILENAME_BYTES_MAX = 255;

/** Characters of a message id or thread key. */
export const MESSAGE_ID_CHARS_MAX = 512;
