/**
 * One of the two servers that `verify` compares, read as any client reads it: LIST, EXAMINE, FETCH. Memory: a few numbers and one
 * digest per message of one mailbox, and one piece of a message.
 */
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { type FetchMessageObject, ImapFlow } from "imapflow";
import { MairustError, messageOf } from "../core/errors.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";

/** Messages whose bytes one FETCH asks for. */
const FETCH_MESSAGES = 200;
/** Larger ones are read in pieces of this size. */
const PIECE_BYTES = 1024 * 1024;
/** Mailboxes of one account. */
const MAX_MAILBOXES = 10_000;

/** RFC 6154 attributes of mailboxes that have a name of ours. */
const USES: ReadonlyMap<string, string> = new Map([
  ["\\sent", "Sent"],
  ["\\drafts", "Drafts"],
  ["\\trash", "Trash"],
  ["\\junk", "Junk"],
  ["\\archive", "Archive"],
]);

export interface ImapMailbox {
  /** As the server calls it. */
  readonly path: string;
  /** `/` between levels, without the prefix of the namespace. */
  readonly name: string;
  readonly use: string | undefined;
}

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
  readonly #server: string;

  private constructor(client: ImapFlow, server: string) {
    this.#client = client;
    this.#server = server;
  }

  /** @throws {MairustError} `auth_failed`, `store_unavailable` naming the server */
  static async connect(login: ImapLogin): Promise<ImapSide> {
    const server = `${login.host}:${login.port}`;
    const client = new ImapFlow({
      host: login.host,
      port: login.port,
      secure: login.secure,
      // A password goes in clear only within this host.
      ...(login.secure || isLoopback(login.host) ? {} : { doSTARTTLS: true }),
      tls: { rejectUnauthorized: login.verifyCertificate },
      logger: false,
      auth: {
        user: login.user,
        pass: login.password,
        ...(login.authorize === undefined ? {} : { authzid: login.authorize, loginMethod: "AUTH=PLAIN" }),
      },
    });
    // Without a listener an error between two commands would end the process; the next command fails by itself.
    client.on("error", () => undefined);
    const side = new ImapSide(client, server);
    try {
      await client.connect();
      return side;
    } catch (error) {
      client.close();
      throw side.#explained(error, "log in");
    }
  }

  async close(): Promise<void> {
    await this.#client.logout().catch(() => this.#client.close());
  }

  /** What can be selected. */
  async list(): Promise<readonly ImapMailbox[]> {
    const found = await this.#do("list mailboxes", () => this.#client.list());
    if (found.length > MAX_MAILBOXES)
      throw new MairustError(
        "too_many",
        `Cannot verify: ${this.#server} lists more than ${MAX_MAILBOXES} mailboxes`,
      );
    const { prefix = "" } = this.#client.namespace || {};
    return found
      .filter(box => !box.flags.has("\\Noselect") && !box.flags.has("\\NonExistent"))
      .map(box => {
        const bare = prefix !== "" && box.path.startsWith(prefix) ? box.path.slice(prefix.length) : box.path;
        const levels = box.delimiter ? bare.split(box.delimiter) : [bare];
        const uses = [...box.flags].flatMap(flag => USES.get(flag.toLowerCase()) ?? []);
        return { path: box.path, name: levels.join("/").normalize("NFC"), use: uses[0] };
      });
  }

  /**
   * Every message of a mailbox with its digest.
   * @param onMessage  after each digest, with the octets that were read
   */
  async read(
    path: string,
    mode: "headers" | "full",
    onMessage: (bytes: number) => void,
  ): Promise<OpenedImapMailbox> {
    return this.#do(`read "${path}"`, async () => {
      const opened = await this.#client.mailboxOpen(path, { readOnly: true });
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
      message.digest = digestOf([found.headers ?? Buffer.alloc(0)]);
      onMessage(found.headers?.length ?? 0);
    });
  }

  async #digestBodies(messages: readonly ImapMessage[], onMessage: (bytes: number) => void): Promise<void> {
    const small = messages.filter(message => message.sizeBytes <= PIECE_BYTES);
    await this.#fetchEach(small, { uid: true, source: true }, (message, found) => {
      message.digest = digestOf([found.source ?? Buffer.alloc(0)]);
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
    const hash = createHash("sha256");
    for (let start = 0; ; ) {
      const source = { start, maxLength: PIECE_BYTES };
      const found = await this.#client.fetchOne(String(message.uid), { uid: true, source }, { uid: true });
      const piece = found === false || found === undefined ? undefined : found.source;
      if (piece === undefined || piece.length === 0) break;
      hash.update(withoutNul(piece));
      start += piece.length;
      if (piece.length < PIECE_BYTES) break;
    }
    return hash.digest("hex");
  }

  async #do<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#explained(error, what);
    }
  }

  #explained(error: unknown, what: string): unknown {
    if (error instanceof MairustError) return error;
    const refused =
      error instanceof Error && "authenticationFailed" in error && error.authenticationFailed === true;
    const reply = error instanceof Error && "responseText" in error ? `: ${String(error.responseText)}` : "";
    const text = `cannot ${what} at ${this.#server}: ${refused ? "login refused" : messageOf(error)}${reply}`;
    return new MairustError(refused ? "auth_failed" : "store_unavailable", text, {
      publicText: text,
      cause: error,
    });
  }
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

const flagText = (flags: ReadonlySet<string> | undefined): string =>
  [...(flags ?? [])]
    .map(flag => flag.toLowerCase())
    .filter(flag => flag !== "\\recent")
    .sort()
    .join(" ");

function digestOf(pieces: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(withoutNul(piece));
  return hash.digest("hex");
}

function withoutNul(bytes: Buffer): Buffer {
  if (!bytes.includes(0)) return bytes;
  const copy = Buffer.from(bytes);
  for (let at = copy.indexOf(0); at >= 0; at = copy.indexOf(0, at + 1)) copy[at] = 0x80;
  return copy;
}
