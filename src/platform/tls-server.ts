/**
 * TLS for listeners: the certificate of `[tls]`, looked at again and again and replaced when its files changed, and the upgrade of sockets
 * that were accepted in the clear. Connections that are there keep what they began with.
 *
 * Failures: files that cannot be used are `config_invalid` where they are put in use (start, reload); found later, the certificate before
 * stays and the log says why. A handshake that fails ends its socket alone.
 * Sources: RFC 8314 §4.1 (TLS 1.2 or newer); RFC 9325 §3.5 (no renegotiation); RFC 7301 (ALPN); SSL_CTX_set_options(3).
 */
import { constants, X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { MairustError, messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { every } from "./deadline.ts";

/** How often the files are read again; they are small, and links to them change without their own times changing. */
const LOOK_MS = 5_000;
/** Largest certificate chain or key. */
const MAX_FILE_BYTES = 262_144;
/** A certificate that ends sooner is warned of when it is read. */
const SOON_MS = 7 * 86_400_000;

/** `[tls]` of the configuration; both empty: no TLS. */
export interface TlsFiles {
  readonly cert_file: string;
  readonly key_file: string;
}

interface Material {
  readonly cert: Buffer;
  readonly key: Buffer;
}

interface InUse extends Material {
  readonly files: TlsFiles;
  readonly context: SecureContext;
}

/** What upgrades a socket: a port, so that servers can be tried without certificates. */
export interface TlsUpgrade {
  /** There is a certificate. */
  readonly available: boolean;
  /**
   * Be the server of a handshake on `socket`, which is TLS's from now on and is destroyed when that fails.
   * @throws {MairustError} `deadline`, `internal`
   */
  upgrade(socket: Socket, timeoutMs: number): Promise<Socket>;
}

export class ServerTls implements TlsUpgrade {
  readonly #log: Log;
  readonly #protocol: string;
  readonly #lookMs: number;
  #inUse: InUse | undefined;
  /** Files that could not be used are told once. */
  #refused: Material | undefined;
  #unreadable = "";
  #stopLooking: (() => void) | undefined;

  /** @param protocol  of RFC 7301: who offers others alone is turned away, so that no browser is made to talk to us */
  constructor(log: Log, protocol: string, lookMs = LOOK_MS) {
    this.#log = log;
    this.#protocol = protocol;
    this.#lookMs = lookMs;
  }

  get available(): boolean {
    return this.#inUse !== undefined;
  }

  /**
   * Read files that may be put in use.
   * @returns what puts them in use
   * @throws {MairustError} `config_invalid`: the text names key and file
   */
  async prepare(files: TlsFiles): Promise<() => void> {
    if (files.cert_file === "") return () => this.#use(undefined);
    const material = await readMaterial(files);
    const next = { ...material, files, context: contextOf(material, files) };
    return () => this.#use(next);
  }

  /** Read the files in use again, and take what is new. Never rejects. */
  async look(): Promise<void> {
    const before = this.#inUse;
    if (before === undefined) return;
    try {
      const material = await readMaterial(before.files);
      this.#unreadable = "";
      if (sameMaterial(material, before) || sameMaterial(material, this.#refused)) return;
      this.#refused = material;
      const next = { ...material, files: before.files, context: contextOf(material, before.files) };
      // A reload may have put others in use meanwhile.
      if (this.#inUse === before) this.#use(next);
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#unreadable)
        this.#log.error("certificate not read again, the one before stays", { reason });
      this.#unreadable = reason;
    }
  }

  stop(): void {
    this.#stopLooking?.();
    this.#stopLooking = undefined;
  }

  upgrade(socket: Socket, timeoutMs: number): Promise<Socket> {
    const context = this.#inUse?.context;
    // What goes wrong is seen on the socket around it.
    socket.on("error", () => undefined);
    if (context === undefined || socket.destroyed) {
      socket.destroy();
      return Promise.reject(handshakeError("there is no certificate, or the connection is closed"));
    }
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      requestCert: false,
      ALPNProtocols: [this.#protocol],
    });
    return handshake(secured, timeoutMs);
  }

  #use(next: InUse | undefined): void {
    this.#inUse = next;
    this.#refused = undefined;
    this.stop();
    if (next === undefined) return;
    this.#stopLooking = every(this.#lookMs, () => this.look());
    const { subject, validTo } = new X509Certificate(next.cert);
    const fields = { subject: subject?.replaceAll("\n", ", ") ?? "", valid_to: validTo };
    if (Date.parse(validTo) - Date.now() < SOON_MS)
      this.#log.warn("certificate in use, and it ends soon or has ended", fields);
    else this.#log.info("certificate in use", fields);
  }
}

function handshake(secured: TLSSocket, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const over = (error: MairustError | undefined) => {
      clearTimeout(timer);
      secured.off("secure", onSecure).off("error", onError).off("close", onClose).off("end", onClose);
      if (error === undefined) return resolve(secured);
      secured.on("error", () => undefined);
      secured.destroy();
      reject(error);
    };
    const onSecure = () => over(undefined);
    const onError = (error: Error) => over(handshakeError(messageOf(error)));
    const onClose = () => over(handshakeError("the peer closed"));
    const timer = setTimeout(() => over(new MairustError("deadline", "Cannot begin TLS in time")), timeoutMs);
    secured.on("secure", onSecure).on("error", onError).on("close", onClose).on("end", onClose);
  });
}

function handshakeError(reason: string): MairustError {
  return new MairustError("internal", `Cannot begin TLS: ${reason}`);
}

/**
 * Look at files as a service would that puts them in use. @returns when the certificate ends
 * @throws {MairustError} `config_invalid`
 */
export async function certificateEnd(files: TlsFiles): Promise<Date> {
  const material = await readMaterial(files);
  contextOf(material, files);
  return new Date(new X509Certificate(material.cert).validTo);
}

function sameMaterial(a: Material, b: Material | undefined): boolean {
  return b?.cert.equals(a.cert) === true && b.key.equals(a.key);
}

async function readMaterial({ cert_file, key_file }: TlsFiles): Promise<Material> {
  return {
    cert: await readSmall("tls.cert_file", cert_file),
    key: await readSmall("tls.key_file", key_file),
  };
}

async function readSmall(name: string, path: string): Promise<Buffer> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes; allowed: at most ${MAX_FILE_BYTES}`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw unusable(`${name}: Cannot read "${path}": ${messageOf(error)}`, error);
  }
}

/** @throws {MairustError} `config_invalid`: no PEM, or the key of another certificate */
function contextOf({ cert, key }: Material, files: TlsFiles): SecureContext {
  try {
    return createSecureContext({
      cert,
      key,
      minVersion: "TLSv1.2",
      // Sockets upgraded by hand are not under the limits that a tls.Server sets.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
  } catch (error) {
    throw unusable(
      `[tls]: Cannot use certificate "${files.cert_file}" with key "${files.key_file}": ${messageOf(error)}`,
      error,
    );
  }
}

/** Told to whoever asked for the reload. */
function unusable(text: string, cause: unknown): MairustError {
  return new MairustError("config_invalid", text, { cause, publicText: text });
}
