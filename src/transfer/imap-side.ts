/**
 * One of the two servers that `verify` compares, read as any client reads it: LIST, EXAMINE, FETCH. Memory: a few numbers and one
 * digest per message of one mailbox, and one piece of a message.
 */
import { createHash } from "node:crypto";
import type { FetchMessageObject, ImapFlow } from "imapflow";
import type { ImapLogin } from "../wire/transfer-calls.ts";
import { ComparableDigest, withoutNul } from "./comparable.ts";
import { closeImap, connectImap, explainImap, type ImapMailbox, listMailboxes } from "./imap-login.ts";

/** Messages whose bytes one FETCH asks for. */
const FETCH_MESSAGES = 200;
/** Larger ones are read in pieces of this size. */
const PIECE_BYTES = 1024 * 1024;
export interface ImapMessage {
  readonly uid: number;
  /** Lower case, sorted, without \Recent. */
  readonly flags: string;
  /** Seconds since 1970. */
  readonly date: number;
  readonly sizeBytes: number;
  /** SHA-256 of header or message with NUL as 0x80: Dovecot shows it so (RFC 3501 allows no NUL), others do not. */
  digest: string;
}

export interface OpenedImapMailbox {
  readonly uidValidity: number;
  readonly messages: readonly ImapMessage[];
}

export class ImapSide {
  readonly #client: ImapFlow;
  readonly #login: ImapLogin;
  #newDigest: () => MessageDigest = () => new ExactDigest();

  private constructor(client: ImapFlow, login: ImapLogin) {
    this.#client = client;
    this.#login = login;
  }

  /** @throws {MairustError} `auth_failed`, `store_unavailable` naming the server */
  static async connect(login: ImapLogin): Promise<ImapSide> {
    return new ImapSide(await connectImap(login), login);
  }

  close(): Promise<void> {
    return closeImap(this.#client);
  }

  /** What can be selected. */
  list(): Promise<readonly ImapMailbox[]> {
    return this.#do("list mailboxes", () => listMailboxes(this.#client, this.#login));
  }

  /**
   * Every message of a mailbox with its digest.
   * @param ignoreTrace  leave out of the digests what a server puts on top of each message
   * @param onMessage    after each digest, with the octets that were read
   */
  async read(
    path: string,
    mode: "headers" | "full",
    ignoreTrace: boolean,
    onMessage: (bytes: number) => void,
  ): Promise<OpenedImapMailbox> {
    return this.#do(`read "${path}"`, async () => {
      const opened = await this.#client.mailboxOpen(path, { readOnly: true });
      this.#newDigest = () => (ignoreTrace ? new TracelessDigest() : new ExactDigest());
      const messages = opened.exists === 0 ? [] : await this.#overview();
      if (mode === "headers") await this.#digestHeaders(messages, onMessage);
      else await this.#digestBodies(messages, onMessage);
      return { uidValidity: Number(opened.uidValidity), messages };
    });
  }

  async #overview(): Promise<ImapMessage[]> {
    const messages: ImapMessage[] = [];
    for await (const found of this.#client.fetch("1:*", {
      uid: true,
      flags: true,
      size: true,
      internalDate: true,
    }))
      messages.push({
        uid: found.uid,
        flags: flagText(found.flags),
        date: Math.floor(new Date(found.internalDate ?? 0).getTime() / 1000),
        sizeBytes: found.size ?? 0,
        digest: "",
      });
    return messages.sort((one, other) => one.uid - other.uid);
  }

  async #digestHeaders(messages: readonly ImapMessage[], onMessage: (bytes: number) => void): Promise<void> {
    await this.#fetchEach(messages, { uid: true, headers: true }, (message, found) => {
      message.digest = this.#digestOf(found.headers);
      onMessage(found.headers?.length ?? 0);
    });
  }

  async #digestBodies(messages: readonly ImapMessage[], onMessage: (bytes: number) => void): Promise<void> {
    const small = messages.filter(message => message.sizeBytes <= PIECE_BYTES);
    await this.#fetchEach(small, { uid: true, source: true }, (message, found) => {
      message.digest = this.#digestOf(found.source);
      onMessage(found.source?.length ?? 0);
    });
    for (const message of messages.filter(one => one.sizeBytes > PIECE_BYTES)) {
      message.digest = await this.#digestInPieces(message);
      onMessage(message.sizeBytes);
    }
  }

  async #fetchEach(
    messages: readonly ImapMessage[],
    query: { uid: true; headers?: true; source?: true },
    use: (message: ImapMessage, found: FetchMessageObject) => void,
  ): Promise<void> {
    for (let at = 0; at < messages.length; at += FETCH_MESSAGES) {
      const page = new Map(messages.slice(at, at + FETCH_MESSAGES).map(message => [message.uid, message]));
      for await (const found of this.#client.fetch([...page.keys()].join(","), query, { uid: true })) {
        const message = page.get(found.uid);
        if (message !== undefined) use(message, found);
      }
    }
  }

  async #digestInPieces(message: ImapMessage): Promise<string> {
    const digest = this.#newDigest();
    for (let start = 0; ; ) {
      const source = { start, maxLength: PIECE_BYTES };
      const found = await this.#client.fetchOne(String(message.uid), { uid: true, source }, { uid: true });
      const piece = found === false || found === undefined ? undefined : found.source;
      if (piece === undefined || piece.length === 0) break;
      digest.update(piece);
      start += piece.length;
      if (piece.length < PIECE_BYTES) break;
    }
    return digest.end();
  }

  #digestOf(bytes: Buffer = Buffer.alloc(0)): string {
    const digest = this.#newDigest();
    digest.update(bytes);
    return digest.end();
  }

  async #do<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explainImap(error, this.#login, what);
    }
  }
}

const flagText = (flags: ReadonlySet<string> | undefined): string =>
  [...(flags ?? [])]
    .map(flag => flag.toLowerCase())
    .filter(flag => flag !== "\\recent")
    .sort()
    .join(" ");

interface MessageDigest {
  update(piece: Buffer): void;
  end(): string;
}

class ExactDigest implements MessageDigest {
  readonly #hash = createHash("sha256");

  update(piece: Buffer): void {
    this.#hash.update(withoutNul(piece));
  }

  end(): string {
    return this.#hash.digest("hex");
  }
}

class TracelessDigest implements MessageDigest {
  readonly #comparable = new ComparableDigest();

  update(piece: Buffer): void {
    this.#comparable.update(piece);
  }

  end(): string {
    return this.#comparable.result().digest;
  }
}
