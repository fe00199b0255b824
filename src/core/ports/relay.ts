/** The next hop of mail in the stages before `store`: an LMTP server, mostly Dovecot's. `delivery/relay/` implements it. */
import type { Deadline } from "../deadline.ts";
import type { Envelope, EnvelopeRecipient } from "../envelope.ts";

/** What the next hop said about one recipient. */
export interface RelayReply {
  /** 2xx: taken for good. */
  readonly code: number;
  /** RFC 3463, "" when the server gave none. */
  readonly enhanced: string;
  /** Without code and enhanced code, lines joined by a space, printable. */
  readonly text: string;
}

/** One transaction at the next hop: recipients whose bytes are the same. */
export interface RelayMessage {
  readonly mailFrom: Envelope["mailFrom"];
  /** As they were given to us, sub-address and doubles included; at least one. */
  readonly recipients: readonly EnvelopeRecipient[];
  readonly dsn: Envelope["dsn"];
  readonly client: Envelope["client"];
  readonly body8bit: boolean;
  readonly smtpUtf8: boolean;
  /** Fields to put on top, with CRLF. */
  readonly top: Uint8Array;
  readonly sizeBytes: number;
  /** A new pass over the bytes. */
  content(): AsyncIterable<Uint8Array>;
}

export interface NextHops {
  /**
   * Hand a message over by one of the kept connections.
   * @param server  `relay.lmtp` of the domain
   * @returns one reply for each recipient, in order, also where the server refused at RCPT
   * @throws {MairustError} `store_unavailable`, `deadline`: nobody has it; with `context.unknown` its end was sent and not answered
   */
  deliver(server: string, message: RelayMessage, deadline: Deadline): Promise<readonly RelayReply[]>;
  /** Connect and greet only. @returns the server's greeting. @throws {MairustError} `store_unavailable`, `deadline` */
  probe(server: string, deadline: Deadline): Promise<string>;
}
