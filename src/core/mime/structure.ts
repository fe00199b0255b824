/**
 * What the scanner knows of a message: the tree of parts with exact octet offsets, and the facts of the root header
 * that delivery needs before `250`. Types only.
 *
 * Raw header text is a `ByteText`: a string in which every character is one octet (latin1), so that nothing of a broken
 * charset is lost before somebody decodes it.
 */

/** One character per octet, 0x00..0xFF. Decode with `decodeHeaderValue`. */
export type ByteText = string;

export interface Parameter {
  /** Lower case; ends in `*` when the value is RFC 2231 extended (`charset'language'%XX…`). Continuations are joined. */
  readonly name: string;
  readonly value: ByteText;
}

export interface Disposition {
  /** Lower case, e.g. `attachment`. */
  readonly type: string;
  readonly params: readonly Parameter[];
}

/** Unfolded values of the fields an ENVELOPE is made of (RFC 3501 §7.4.2); undefined: the field is absent. */
export interface EnvelopeFields {
  /** Of repeated Date, Subject, In-Reply-To and Message-ID fields the last counts. */
  readonly date: ByteText | undefined;
  readonly subject: ByteText | undefined;
  /** Repeated address fields are joined by a comma: hiding a second From would let it pass unseen. */
  readonly from: ByteText | undefined;
  readonly sender: ByteText | undefined;
  readonly replyTo: ByteText | undefined;
  readonly to: ByteText | undefined;
  readonly cc: ByteText | undefined;
  readonly bcc: ByteText | undefined;
  readonly inReplyTo: ByteText | undefined;
  readonly messageId: ByteText | undefined;
}

/**
 * One node. Offsets are octets from the start of the scanned bytes: header `[headerStart, bodyStart)` with its empty line,
 * body `[bodyStart, bodyEnd)` exactly as `BODY[n]` returns it. Children lie within the body.
 */
export interface MimePart {
  /** `multipart` has ≥ 1 child, `message` exactly one (the message inside), `leaf` none. */
  readonly kind: "leaf" | "multipart" | "message";
  /** Effective type in lower case: what cannot be entered is `application/octet-stream` or `text/plain`. */
  readonly type: string;
  readonly subtype: string;
  /** What the Content-Type field said, `type/subtype` in lower case; undefined when absent or unreadable. */
  readonly declaredType: string | undefined;
  readonly params: readonly Parameter[];
  readonly contentId: ByteText | undefined;
  readonly description: ByteText | undefined;
  /** As written, e.g. `base64`; undefined: 7bit. */
  readonly encoding: ByteText | undefined;
  readonly md5: ByteText | undefined;
  readonly disposition: Disposition | undefined;
  readonly language: readonly string[];
  readonly location: ByteText | undefined;
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** LFs in the body; only for text and message parts, where IMAP asks for it. */
  readonly lines: number | undefined;
  readonly children: readonly MimePart[];
  /** On the root, and on the child of a `message` part. */
  readonly envelope: EnvelopeFields | undefined;
}

export interface Attachment {
  /** Position in the list, from 0. */
  readonly index: number;
  /** IMAP part number, e.g. `[2, 1]`. */
  readonly path: readonly number[];
  /** Decoded, without directory parts, controls and bidi marks; undefined when there is none. */
  readonly filename: string | undefined;
  /** Declared type, `type/subtype`. */
  readonly mediaType: string;
  /** Octets of the part as it stands in the message (still encoded). */
  readonly sizeBytes: number;
  /** Lower case, `attachment` or `inline` mostly. */
  readonly disposition: string | undefined;
  /** Without angle brackets. */
  readonly contentId: string | undefined;
}

export interface MessageStructure {
  readonly root: MimePart;
  readonly sizeBytes: number;
  /** Octets of the root header block, its empty line included. */
  readonly headerSizeBytes: number;
  /** The whole root header block, or undefined when it is larger than `HEADER_KEEP_BYTES`. */
  readonly headerBytes: Uint8Array | undefined;
  /** The first `HEADER_KEEP_BYTES` of the root header block: equals `headerBytes` when that is there. */
  readonly headerHead: Uint8Array;
  /** Nodes of the tree. */
  readonly partCount: number;
  /** True when depth, parts or header budget cut detail away. */
  readonly truncated: boolean;
  /** All Received fields of the root header. */
  readonly receivedCount: number;
  /** `id` token of the topmost Received field: the peer's queue id. */
  readonly receivedId: string | undefined;
  /** Values of all Delivered-To fields, top to bottom, trimmed. */
  readonly deliveredTo: readonly ByteText[];
  /** The first `<…>` of Message-ID, without brackets; safe as text (no controls). */
  readonly messageId: string | undefined;
  /** The root's ENVELOPE fields, raw. */
  readonly envelope: EnvelopeFields;
  readonly references: ByteText | undefined;
  readonly attachments: readonly Attachment[];
  /** First id of References, else In-Reply-To's, else the own Message-ID. */
  readonly threadKey: string | undefined;
}
