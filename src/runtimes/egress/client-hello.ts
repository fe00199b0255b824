/**
 * The server name in the first message of TLS, read from bytes that somebody hostile may have made. Pure; nothing is decrypted.
 *
 * Every length is checked against what holds it, and all of it is bounded, so that the worst a peer can do is to be refused.
 * Sources: RFC 8446 §4.1.2 (ClientHello), §5.1 (records, which may cut it anywhere); RFC 6066 §3 (server_name);
 * RFC 9849 §5 (encrypted_client_hello: the name that counts is hidden).
 */

/** A hello with post-quantum keys has about 2 KB. */
export const MAX_HELLO_BYTES = 16 * 1024;

export type ClientHello =
  | { readonly kind: "incomplete" }
  | { readonly kind: "not_tls" }
  /** `serverName`: in lower case; undefined: it names none. `hidden`: it carries an encrypted hello with another name. */
  | { readonly kind: "hello"; readonly serverName: string | undefined; readonly hidden: boolean };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const MAX_RECORD_BYTES = 16 * 1024;
const NAME = /^[a-z0-9._-]{1,253}$/u;

const INCOMPLETE = { kind: "incomplete" } as const;
const NOT_TLS = { kind: "not_tls" } as const;

/** @param bytes  all that the client has sent so far */
export function readClientHello(bytes: Buffer): ClientHello {
  const message = handshakeOf(bytes);
  if (!Buffer.isBuffer(message)) return message;
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return NOT_TLS;
  if (message.length < 4) return bytes.length > MAX_HELLO_BYTES ? NOT_TLS : INCOMPLETE;
  const length = message.readUIntBE(1, 3);
  if (length > MAX_HELLO_BYTES) return NOT_TLS;
  // Many empty records would hold a hello up for ever.
  if (message.length < 4 + length) return bytes.length > 2 * MAX_HELLO_BYTES ? NOT_TLS : INCOMPLETE;
  try {
    return readHello(new Fields(message.subarray(4, 4 + length)));
  } catch (error) {
    if (error instanceof RangeError) return NOT_TLS;
    throw error;
  }
}

/** Handshake bytes out of their records. */
function handshakeOf(bytes: Buffer): Buffer | typeof INCOMPLETE | typeof NOT_TLS {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== HANDSHAKE_RECORD) return parts.length > 0 ? Buffer.concat(parts) : NOT_TLS;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return NOT_TLS;
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    // RFC 8446 §5.1: no empty handshake records.
    if (length === 0 || length > MAX_RECORD_BYTES) return NOT_TLS;
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return parts.length > 0 ? Buffer.concat(parts) : INCOMPLETE;
}

function readHello(hello: Fields): ClientHello {
  hello.skip(2 + 32); // version, random
  hello.vector(1); // session id
  hello.vector(2); // cipher suites
  hello.vector(1); // compression methods
  if (hello.isEmpty) return { kind: "hello", serverName: undefined, hidden: false };
  const extensions = new Fields(hello.vector(2));
  let serverName: string | undefined;
  let hidden = false;
  const seen = new Set<number>();
  while (!extensions.isEmpty) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    // Twice the same: which one counts is the server's guess.
    if (seen.has(type)) return NOT_TLS;
    seen.add(type);
    if (type === SERVER_NAME) serverName = readServerName(new Fields(body));
    if (type === ENCRYPTED_CLIENT_HELLO) hidden = true;
  }
  return { kind: "hello", serverName, hidden };
}

/** @throws {RangeError} not exactly one host name */
function readServerName(extension: Fields): string {
  const list = new Fields(extension.vector(2));
  const type = list.number(1);
  const name = list.vector(2).toString("latin1").toLowerCase();
  if (type !== HOST_NAME || !list.isEmpty || !extension.isEmpty || !NAME.test(name))
    throw new RangeError("server_name");
  return name;
}

/** Reads numbers and vectors off the front. @throws {RangeError} there is not that much */
class Fields {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  get isEmpty(): boolean {
    return this.#rest.length === 0;
  }

  skip(bytes: number): Buffer {
    if (bytes > this.#rest.length) throw new RangeError("cut off");
    const taken = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return taken;
  }

  number(bytes: 1 | 2): number {
    return this.skip(bytes).readUIntBE(0, bytes);
  }

  /** With its length in front. */
  vector(lengthBytes: 1 | 2): Buffer {
    return this.skip(this.number(lengthBytes));
  }
}
