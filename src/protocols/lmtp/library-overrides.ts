/**
 * The one place that reaches into the smtp-server library. What stays the library's: the command loop, time-outs,
 * STARTTLS, closing half-open sockets. What is ours, and why:
 *
 *   init                   the greeting goes out at once (the library waits 100 ms for early talkers)
 *   _createParser          own input: only CRLF "." CRLF ends DATA, bytes stay exact, dots cost nothing
 *   send                   enhanced codes once (the library doubles them); the replies of a burst in one write (RFC 2920 §3.2)
 *   handler_MAIL / _RCPT   addresses as Postfix passes them; every RCPT keeps its own place (the library merges doubles)
 *   handler_DATA           one reply per accepted RCPT
 *   handler_XFORWARD       CIDR; the facts end with the transaction (the library never clears them)
 *   handler_EHLO           own capabilities (LHLO is dispatched here)
 *   _onTimeout, _onError   bounded also while we owe the answer; no error reaches `uncaughtException`
 *
 * Everything relied on is checked by `assertLibraryShape` at start: another version, or a library that looks different,
 * is refused with `config_invalid` instead of failing with mail in hand.
 *
 * Source: smtp-server 3.21.6 (dist/esm/smtp-connection.js, smtp-stream.js, smtp-server.js)
 */
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { SMTPServer } from "smtp-server";
import { SMTPConnection } from "smtp-server/lib/smtp-connection";
import { SMTPStream } from "smtp-server/lib/smtp-stream";
import { MairustError, toMairustError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import { type InputHandler, InputSplitter, type LineFault } from "./input.ts";
import { INPUT_BUFFER_BYTES, type LmtpLimits, REPLY_BUFFER_BYTES } from "./limits.ts";
import { GAVE_UP, IDLE_TOO_LONG, libraryReply, OK, type Reply, renderReply } from "./reply.ts";
import type { LmtpSession, SessionPort } from "./session.ts";

const CHECKED_VERSION = "3.21.6";

/** Methods overridden or called, with the number of arguments they were read with. */
const CONNECTION_METHODS = {
  init: 0,
  connectionReady: 1,
  send: 3,
  close: 0,
  upgrade: 2,
  _createParser: 0,
  _setListeners: 1,
  _onClose: 0,
  _onError: 1,
  _onTimeout: 0,
  _armTimeout: 0,
  _whenWritable: 1,
  _onCommand: 2,
  _resetSession: 0,
  _getHandler: 1,
  _isSupported: 1,
  handler_EHLO: 2,
  handler_MAIL: 2,
  handler_RCPT: 2,
  handler_DATA: 2,
  handler_RSET: 2,
  handler_NOOP: 2,
  handler_XFORWARD: 2,
  handler_STARTTLS: 2,
} as const;
const STREAM_METHODS = { _write: 3, _flushData: 0 } as const;
const SERVER_METHODS = { updateSecureContext: 1 } as const;
const CONNECTION_FIELDS = [
  "_ready",
  "_upgrading",
  "_closing",
  "_closed",
  "_parser",
  "_socket",
  "secure",
  "hostNameAppearsAs",
];

/** Commands of the library that have no place in LMTP behind Postfix. */
const DISABLED = ["AUTH", "XCLIENT", "WIZ", "SHELL", "KILL", "HELP", "HELO"];

/** The parts looked at by {@link assertLibraryShape}. */
export interface LibraryParts {
  readonly version: string;
  readonly connection: { readonly prototype: object };
  readonly stream: { readonly prototype: object };
  readonly server: { readonly prototype: object };
}

/** The library as installed. */
export function installedLibrary(): LibraryParts {
  const manifest: unknown = createRequire(import.meta.url)("smtp-server/package.json");
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? String(manifest.version)
      : "";
  return { version, connection: SMTPConnection, stream: SMTPStream, server: SMTPServer };
}

/**
 * Refuse a library that differs from the one these overrides were written against.
 * @throws {MairustError} `config_invalid`
 */
export function assertLibraryShape(library: LibraryParts): void {
  if (library.version !== CHECKED_VERSION) {
    throw unlike(`version is "${library.version}", checked is "${CHECKED_VERSION}"`);
  }
  assertMethods("SMTPConnection", library.connection.prototype, CONNECTION_METHODS);
  assertMethods("SMTPStream", library.stream.prototype, STREAM_METHODS);
  assertMethods("SMTPServer", library.server.prototype, SERVER_METHODS);
}

function assertMethods(
  className: string,
  prototype: object,
  methods: Readonly<Record<string, number>>,
): void {
  for (const [name, length] of Object.entries(methods)) {
    const method: unknown = Reflect.get(prototype, name);
    if (typeof method !== "function") throw unlike(`${className}.${name} is missing`);
    if (method.length !== length)
      throw unlike(`${className}.${name} takes ${method.length} arguments, not ${length}`);
  }
}

function unlike(what: string): MairustError {
  return new MairustError("config_invalid", `Cannot use library "smtp-server": ${what}`);
}

export interface LibraryServerOptions {
  readonly hostname: string;
  readonly limits: LmtpLimits;
  /** PEM; absent: STARTTLS is neither announced nor known. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer } | undefined;
}

/** The library's server, for who only passes it on. */
export type LibraryServer = SMTPServer;

/** A library server that never listens itself: connections are made with {@link LmtpConnection}. */
export function createLibraryServer(options: LibraryServerOptions, log: Log): SMTPServer {
  assertLibraryShape(installedLibrary());
  const server = new SMTPServer({
    lmtp: true,
    name: options.hostname,
    banner: "mairust",
    logger: false,
    disableReverseLookup: true,
    disabledCommands: options.tls === undefined ? [...DISABLED, "STARTTLS"] : DISABLED,
    // Ours come with each reply; the library would put its own in front.
    hideENHANCEDSTATUSCODES: true,
    socketTimeout: options.limits.idleMs,
    maxCommandLength: options.limits.commandLineBytes,
    ...(options.tls === undefined ? {} : { key: options.tls.key, cert: options.tls.cert }),
    onConnect: (_session, callback) => callback(),
    onSecure: (_socket, _session, callback) => callback(),
  });
  server.on("error", (error: Error) => log.warn("lmtp.library", { error }));
  return server;
}

/** The parser of the library with our input in its place. */
class LmtpInput extends SMTPStream {
  readonly #splitter: InputSplitter;

  constructor(handler: Omit<InputHandler, "closed">, lineBytes: number) {
    super({ highWaterMark: INPUT_BUFFER_BYTES });
    const closed = () => this.isClosed;
    this.#splitter = new InputSplitter(Object.assign(Object.create(null), handler, { closed }), lineBytes);
  }

  startContent(): void {
    this.#splitter.startContent();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding | "buffer",
    next: (error?: Error | null) => void,
  ): void {
    try {
      this.#splitter.push(chunk, next);
    } catch (error) {
      next(toMairustError(error, "read LMTP input"));
    }
  }
}

export interface ConnectionOptions {
  readonly limits: LmtpLimits;
  readonly log: Log;
  readonly createSession: (port: SessionPort) => LmtpSession;
  /** The connection is closed. Not the socket's `close` event: STARTTLS takes its listeners away. */
  readonly onClosed: () => void;
}

/** One connection: the library's life cycle around our session. `start()` sends the greeting. */
export class LmtpConnection extends SMTPConnection {
  readonly #options: ConnectionOptions;
  readonly #session: LmtpSession;
  #replies = "";
  #flushing = false;
  #busyPeriods = 0;

  constructor(server: SMTPServer, socket: Socket, options: ConnectionOptions) {
    super(server, socket);
    for (const field of CONNECTION_FIELDS) {
      if (!(field in this)) throw unlike(`a connection has no ${field}`);
    }
    this.#options = options;
    // A listener named "tls:…" hands over sockets that are encrypted already.
    this.secure = this.session.secure = socket instanceof TLSSocket;
    this.#session = options.createSession({
      reply: reply => this.#write(renderReply(reply)),
      replyText: text => this.#write(text),
      close: () => this.close(),
    });
  }

  /** Finish what runs, then close with 421. */
  drain(): void {
    this.#session.drain();
  }

  /** Cut the connection now. */
  destroy(): void {
    this._socket.destroy();
  }

  // ---------------------------------------------------------------- life

  override init(): void {
    this._setListeners(() => this.connectionReady());
  }

  override close(): void {
    this.#flush();
    super.close();
  }

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    this.#flush(); // the 220 must be out before the handshake
    super.upgrade(callback, secureCallback);
  }

  override _resetSession(): void {
    super._resetSession();
    // RFC 3207 §4.2: what was said in the clear is forgotten.
    this.#session.reset();
  }

  override _onClose(): void {
    super._onClose();
    this.#replies = "";
    this.#session.gone();
    this.#options.onClosed();
  }

  override _onError(error: Error & { code?: string | undefined }): void {
    // A peer that vanishes is its own affair; `close` follows and tells the session.
    this.#options.log.debug("lmtp.socket", { code: error.code ?? "", reason: error.message });
    if (!this._socket.destroyed) this._socket.destroy();
  }

  override _onTimeout(): void {
    if (this._closing) {
      this.destroy();
      return;
    }
    if (this.#session.busy) {
      this.#busyPeriods += 1;
      if (this.#busyPeriods < this.#options.limits.busyPeriods) {
        this._armTimeout();
        return;
      }
    }
    this.#write(renderReply(this.#session.busy ? GAVE_UP : IDLE_TOO_LONG));
    this.close();
  }

  override _createParser(): SMTPStream {
    // Called by the base constructor too, before our fields are there: only used once input arrives.
    const input = new LmtpInput(
      {
        command: (line, next) => this._onCommand(line, next),
        faultyLine: (fault, next) => this.#onFaultyLine(fault, next),
        content: bytes => this.#session.content(bytes),
        contentEnd: next => void this.#session.contentEnd().then(next),
      },
      this._server.options.maxCommandLength ?? 0,
    );
    // The peer ended its side: everything it sent is answered by now.
    input.on("finish", () => this.close());
    input.on("error", error => {
      this.#options.log.error("lmtp.input", { error });
      this.#write(renderReply(GAVE_UP));
      this.close();
    });
    return input;
  }

  #onFaultyLine(fault: LineFault, next: () => void): void {
    if (!this._upgrading) this.#session.faultyLine(fault);
    this._whenWritable(next);
  }

  // ---------------------------------------------------------------- replies

  /** Replies that the library words itself: unknown command, LHLO first, QUIT, time-outs of TLS. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const text = Array.isArray(data) ? data.join(" ") : (data ?? "");
    const reply = libraryReply(code, text);
    // The greeting and HELO have no enhanced code (RFC 2034 §4).
    this.#write(renderReply(context === false ? { ...reply, enhanced: "" } : reply));
    if (code === 421) this.close();
  }

  override _whenWritable(next: () => void): void {
    if (this.#replies.length > REPLY_BUFFER_BYTES) this.#flush();
    super._whenWritable(next);
  }

  #write(text: string): void {
    if (this._upgrading) return; // would be cleartext within the handshake
    this.#replies += text;
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    const text = this.#replies;
    this.#replies = "";
    if (text !== "" && !this._closing && this._socket.writable) this._socket.write(text, "latin1");
  };

  // ---------------------------------------------------------------- commands

  override handler_EHLO(command: Buffer, callback: () => void): void {
    const starttls = !this.secure && this._isSupported("STARTTLS");
    const name = this.#session.lhlo(command, starttls);
    if (name !== undefined) this.hostNameAppearsAs = name;
    callback();
  }

  override handler_XFORWARD(command: Buffer, callback: () => void): void {
    this.#session.xforward(command);
    callback();
  }

  override handler_MAIL(command: Buffer, callback: () => void): void {
    this.#session.mail(command);
    callback();
  }

  override handler_RCPT(command: Buffer, callback: () => void): void {
    void this.#session.rcpt(command).then(callback);
  }

  override handler_DATA(command: Buffer, callback: () => void): void {
    if (this.#session.data(command) && this._parser instanceof LmtpInput) this._parser.startContent();
    callback();
  }

  override handler_RSET(_command: Buffer, callback: () => void): void {
    this.#session.rset();
    callback();
  }

  override handler_NOOP(_command: Buffer, callback: () => void): void {
    this.#write(renderReply(OK satisfies Reply));
    callback();
  }
}
