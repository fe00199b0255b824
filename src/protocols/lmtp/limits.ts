/**
 * Every bound of the LMTP listener in one place. What an administrator may set comes with `LmtpServerConfig`;
 * these are the rest, overridable per server so that tests can reach them.
 */

export interface LmtpLimits {
  /** A command line without its CRLF; longer: `500 5.5.2`. RFC 5321 §4.5.3.1.4 asks for 512, ORCPT and ENVID for more (RFC 3461 §4). */
  readonly commandLineBytes: number;
  /** Text between the angle brackets. RFC 5321 §4.5.3.1.3 says 256; Postfix passes longer ones (SRS, VERP) on. */
  readonly addressBytes: number;
  /** RCPT TO accepted in one transaction; more: `452 4.5.3` (RFC 5321 §4.5.3.1.8 asks for at least 100). */
  readonly recipients: number;
  /** One recipient check; longer: `451 4.3.0`. Postfix waits 300 s for a reply to RCPT (lmtp_rcpt_timeout). */
  readonly recipientCheckMs: number;
  /** Silence of the peer. RFC 5321 §4.5.3.2.7 asks a server for at least five minutes. */
  readonly idleMs: number;
  /** How many idle periods we may owe the peer an answer (a recipient check or a write that hangs) before the connection is given up. */
  readonly busyPeriods: number;
  /** From 354 to the final dot, so that a trickling peer cannot hold a connection for ever. */
  readonly uploadMs: number;
  /** What the intake gets on top of the transaction's deadline to hand out its outcomes. */
  readonly finishGraceMs: number;
  /** Syntax errors between two delivered messages; more: `421`. */
  readonly protocolErrors: number;
  /** Connections over the cap that may wait for their `421` to be read; more are cut at once. */
  readonly refusedSockets: number;
  /** How long a refused connection may linger. */
  readonly refusedLingerMs: number;
}

export const DEFAULT_LIMITS: LmtpLimits = {
  commandLineBytes: 4096,
  addressBytes: 1024,
  recipients: 1000,
  recipientCheckMs: 10_000,
  idleMs: 300_000,
  busyPeriods: 2,
  uploadMs: 3_600_000,
  finishGraceMs: 5_000,
  protocolErrors: 20,
  refusedSockets: 100,
  refusedLingerMs: 5_000,
};

/** Input taken from the socket while a handler is busy: one full read (64 KiB) passes without pausing the socket, a second does not. */
export const INPUT_BUFFER_BYTES = 65_537;
/** Replies collected before they are written although the event loop has not come round. */
export const REPLY_BUFFER_BYTES = 16_384;
/** Text of one reply line after the codes (mail-path.md §3). */
export const REPLY_TEXT_BYTES = 200;
/** Command lines handled in a row before other connections get their turn. */
export const COMMANDS_PER_TURN = 100;
