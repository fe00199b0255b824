/**
 * Every bound of the milter listener in one place. What an administrator may set comes with `MilterServerConfig`;
 * these are the rest, overridable per server so that tests can reach them.
 */

export interface MilterLimits {
  /** Recipients of one message; more: `452 4.5.3` at its end. Postfix takes 1000 by SMTP, more by sendmail(1). */
  readonly recipients: number;
  /** Arguments of MAIL and RCPT of one message; more: the same. */
  readonly envelopeBytes: number;
  /** X-MaiRust fields taken out of one message; more: `554 5.6.0`. Each costs Postfix a rewrite of its queue file. */
  readonly reservedFields: number;
  /** All packets of one decision. They go out in one write. */
  readonly editBytes: number;
  /** Edits of one decision. */
  readonly edits: number;
  /** Between signs of life while a decision is awaited (mail-path.md §1). */
  readonly progressMs: number;
  /** What the decider gets on top of its deadline to give its answer. */
  readonly finishGraceMs: number;
  /**
   * Silence of the MTA. Postfix holds the connection as long as its SMTP client's, and says nothing while a message comes in; libmilter
   * waits for two hours.
   */
  readonly idleMs: number;
  /** How long a connection that we end may take to read its last answer. */
  readonly lingerMs: number;
}

export const DEFAULT_LIMITS: MilterLimits = {
  recipients: 10_000,
  envelopeBytes: 1_048_576,
  reservedFields: 200,
  editBytes: 67_108_864,
  edits: 1000,
  progressMs: 5_000,
  finishGraceMs: 1_000,
  idleMs: 7_200_000,
  lingerMs: 5_000,
};

/** Header fields gathered before they are handed on. */
export const HEADER_CHUNK_BYTES = 16_384;
/** Of a macro's or a reserved field's value, a host name or a HELO name; the rest is cut off. */
export const VALUE_CHARS = 1024;
/** One edit packet: what any MTA takes (Postfix: twice MILTER_CHUNK_SIZE, sendmail once). */
export const EDIT_PACKET_BYTES = 65_535;
/** An address that is added or removed. */
export const ADDRESS_BYTES = 1024;
/** Text of one reply line after the codes (mail-path.md §3). */
export const REPLY_TEXT_BYTES = 200;
/** Lines of one reply (MAXREPLIES of libmilter). */
export const REPLY_LINES = 32;
/** Answers that the MTA has not read; beyond it nothing more is read from it. */
export const OUTPUT_BUFFER_BYTES = 65_536;
