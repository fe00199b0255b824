/** The next hop of mail in the stages before `store`: an LMTP server, mostly Dovecot's. `delivery/relay/` implements it. */
import type { Deadline } from "../deadline.ts";
import type { Envelope, EnvelopeRecipient } from "../envelope.ts";

/** What the next hop said about one recipient. */
export interface RelayReply {
  /** 2xx: taken for good; else 4xx or 5xx. */
  readonly code: number;
  /** RFC 3463, "" when the server gave none. */
  readonly enhanced: string;
  /** Without code and enhanced code, lines joined by a space, printable. */
  readonly text: string;
  /** The message was taken with what its sender wants to be told (RFC 3461): the next hop sees to it. */
  readonly passesDsn?: true;
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
  /** Of `content`. */
  readonly sizeBytes: number;
  /** A new pass over the bytes. */
  content(): AsyncIterable<Uint8Array>;
  /** Called at most once, before the octet goes out with which the server may have taken it. */
  onEnd?(): void;
  /** That octet was handed to the system. */
  onSent?(): void;
}

export interface NextHops {
  /**
   * Hand a message over by one of the kept connections.
   * @param server    `relay.lmtp` of the domain
   * @param deadline  until the message's end is sent; the answer to that is waited for a while beyond it, because it decides
   * @returns one reply for each recipient, in order, also where the server refused at RCPT; undefined: the message's end was sent and
   *          no answer came for this one, so nobody knows
   * @throws {MairustError} `store_unavailable`, `deadline`, `too_many`, and what reading the content threw: nobody has it
   */
  deliver(
    server: string,
    message: RelayMessage,
    deadline: Deadline,
  ): Promise<readonly (RelayReply | undefined)[]>;
  /** Connect and greet only. @returns the server's greeting. @throws {MairustError} `store_unavailable`, `deadline` */
  probe(server: string, deadline: Deadline): Promise<string>;
}

/** Holds what goes to all next hops, for who tells one of them to begin anew: Dovecot's reload ends LMTP in the midst of a message. */
export interface RelayPause {
  /**
   * From now on no transaction begins; mail waits within its own deadline. Ends by itself after `forMs`.
   * @returns true: none is under way any more; false: one still is at the deadline, and others are held all the same
   */
  pause(forMs: number, deadline: Deadline): Promise<boolean>;
  /** Go on. Nothing happens when nothing is held. */
  resume(): void;
}
