/**
 * Bodies of one opened folder of an IMAP server: small messages in pages that are fetched ahead, large ones in pieces, so that memory
 * holds two pages and a piece whatever the folder holds. Nothing is marked as read (BODY.PEEK[]).
 *
 * A message that the server refuses, or over which it closes the connection, is a result with a reason; the others go on.
 */
import type { FetchMessageObject } from "imapflow";
import type { RateLimit } from "../wire/transfer-calls.ts";
import { type ReadFlags, readFlags } from "./imap-flags.ts";
import { replyOf } from "./imap-login.ts";
import { ConnectionLost, type ImapSession } from "./imap-session.ts";
import { FileChanged, type LoadedFile } from "./message-file.ts";

/** Fetched whole up to this size. */
const SMALL_BYTES = 256 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** What one FETCH of small messages asks for. */
const PAGE_MESSAGES = 100;
const PAGE_BYTES = 2 * 1024 * 1024;
/** Connections that one message may cost. */
const TRIES = 3;

export interface FolderMessage extends ReadFlags {
  readonly uid: number;
  readonly sizeBytes: number;
  readonly date: Date;
}

interface Fetched extends ReadFlags {
  readonly source: Buffer;
}

export class ImapPages<M extends FolderMessage> {
  readonly #session: ImapSession;
  readonly #messages: readonly M[];
  readonly #rate: RateLimit;
  readonly #places = new Map<number, number>();
  /** What is asked for and was not taken yet. */
  readonly #asked = new Map<number, Promise<ReadonlyMap<number, Fetched>>>();
  readonly #taken = new Set<number>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param messages  in the order in which they will be asked for */
  constructor(session: ImapSession, messages: readonly M[], rate: RateLimit) {
    this.#session = session;
    this.#messages = messages;
    this.#rate = rate;
    for (const [place, { uid }] of messages.entries()) this.#places.set(uid, place);
  }

  async load(message: M): Promise<LoadedFile> {
    if (message.sizeBytes > SMALL_BYTES) return this.#large(message);
    const page = this.#asked.get(message.uid) ?? this.#askFrom(message);
    this.#asked.delete(message.uid);
    const found = (await page).get(message.uid);
    return found === undefined ? this.#alone(message) : this.#small(message, found);
  }

  /** A page that begins with it, after the pages before. */
  #askFrom(first: M): Promise<ReadonlyMap<number, Fetched>> {
    const page: M[] = [];
    let bytes = 0;
    const from = this.#places.get(first.uid) ?? this.#messages.length;
    for (let at = from; at < this.#messages.length && page.length < PAGE_MESSAGES; at += 1) {
      const message = this.#messages[at] as M;
      const isWanted = message === first || !this.#taken.has(message.uid);
      if (message.sizeBytes > SMALL_BYTES || !isWanted) continue;
      if (page.length > 0 && bytes + message.sizeBytes > PAGE_BYTES) break;
      page.push(message);
      bytes += message.sizeBytes;
      // Asked for a second time it comes by itself.
      if (this.#taken.has(message.uid)) break;
      this.#taken.add(message.uid);
    }
    const fetched = this.#last.then(() => this.#fetch(page));
    this.#last = fetched.catch(() => undefined);
    for (const { uid } of page) this.#asked.set(uid, fetched);
    fetched.catch(() => undefined);
    return fetched;
  }

  /** Without those that did not come. */
  async #fetch(page: readonly M[]): Promise<ReadonlyMap<number, Fetched>> {
    const found = new Map<number, Fetched>();
    const set = page.map(message => message.uid).join(",");
    try {
      await this.#session.run(
        "read messages",
        async client => {
          const query = { uid: true, flags: true, source: true } as const;
          for await (const one of client.fetch(set, query, { uid: true })) keep(found, one);
        },
        1,
      );
    } catch (error) {
      if (!(error instanceof ConnectionLost) && !isReply(error)) throw error;
    }
    return found;
  }

  async #alone(message: M): Promise<LoadedFile> {
    const found = new Map<number, Fetched>();
    try {
      const isThere = await this.#session.run(
        "read a message",
        async client => {
          const query = { uid: true, flags: true, source: true } as const;
          const one = await client.fetchOne(String(message.uid), query, { uid: true });
          if (one !== false && one !== undefined) keep(found, one);
          if (found.size > 0) return true;
          const uids = await client.search({ uid: String(message.uid) }, { uid: true });
          // No list is no proof that it is gone.
          return !Array.isArray(uids) || uids.length > 0;
        },
        TRIES,
      );
      const one = found.get(message.uid);
      if (one !== undefined) return this.#small(message, one);
      if (!isThere) return { kind: "vanished" };
      return { kind: "bad", reason: "unfetchable", detail: "the server lists it and does not give it" };
    } catch (error) {
      if (error instanceof ConnectionLost) {
        // A server that is away as a whole is no matter of this message.
        await this.#session.run("reach the server", client => client.noop());
        return { kind: "bad", reason: "unfetchable", detail: "the server closes the connection over it" };
      }
      if (!isReply(error)) throw error;
      return { kind: "bad", reason: "unfetchable", detail: replyOf(error) };
    }
  }

  #small({ date }: M, { source, flags, keywords }: Fetched): LoadedFile {
    const rate = this.#rate;
    return {
      kind: "message",
      ...{ date, sizeBytes: source.length, flags: { flags, keywords } },
      async *chunks() {
        await rate.take(source.length);
        if (source.length > 0) yield source;
      },
      close: async () => undefined,
    };
  }

  #large(message: M): LoadedFile {
    const { date, sizeBytes, flags, keywords } = message;
    const flagsThen = { flags, keywords };
    const close = async () => undefined;
    return { kind: "message", date, sizeBytes, flags: flagsThen, chunks: () => this.#pieces(message), close };
  }

  async *#pieces({ uid }: M): AsyncIterable<Buffer> {
    for (let start = 0; ; ) {
      const piece = await this.#piece(uid, start);
      if (piece.length > 0) yield piece;
      start += piece.length;
      if (piece.length < PIECE_BYTES) return;
    }
  }

  /** @throws {FileChanged} the server does not give it */
  async #piece(uid: number, start: number): Promise<Buffer> {
    const query = { uid: true, source: { start, maxLength: PIECE_BYTES } } as const;
    try {
      const found = await this.#session.run(
        "read a piece of a message",
        client => client.fetchOne(String(uid), query, { uid: true }),
        TRIES,
      );
      const piece = found === false || found === undefined ? undefined : found.source;
      if (piece === undefined && start === 0) throw new FileChanged("the server does not give it");
      // An empty piece past the end may come as NIL.
      const bytes = piece ?? Buffer.alloc(0);
      await this.#rate.take(bytes.length);
      return bytes;
    } catch (error) {
      if (error instanceof ConnectionLost) throw new FileChanged(error.message);
      if (isReply(error)) throw new FileChanged(replyOf(error));
      throw error;
    }
  }
}

function keep(found: Map<number, Fetched>, one: FetchMessageObject): void {
  // A change of flags that the server tells by the way has no body.
  if (one.source !== undefined) found.set(one.uid, { source: one.source, ...readFlags(one.flags) });
}

/** NO or BAD: the connection is as it was. */
export const isReply = (error: unknown): boolean =>
  error instanceof Error && "responseStatus" in error && typeof error.responseStatus === "string";
