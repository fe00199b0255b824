/**
 * The head of a proxy request, of which CONNECT alone is served. Pure.
 * Source: RFC 9112 §2 and §3.2 (forms of the target), RFC 9110 §9.3.6 (CONNECT).
 */
import { type Destination, parseDestination } from "./destination.ts";
import { Refusal } from "./refusal.ts";

/** Stock clients send a few hundred bytes. */
export const MAX_HEAD_BYTES = 8 * 1024;

export interface ConnectRequest {
  readonly asked: Destination;
  /** Bytes of the head: what follows belongs to the tunnel. */
  readonly length: number;
}

const END = "\r\n\r\n";
const CONNECT = /^CONNECT (\S+) HTTP\/1\.[01]$/u;
/** RFC 9110 §5.6.2: a token. */
const OTHER_METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ \S+ HTTP\/1\.[01]$/u;

/**
 * @returns undefined: more bytes are needed
 * @throws {Refusal} `head_too_large`, `not_connect`, `bad_request`
 */
export function readConnect(bytes: Buffer): ConnectRequest | undefined {
  const end = bytes.subarray(0, MAX_HEAD_BYTES).indexOf(END);
  if (end < 0) {
    if (bytes.length < MAX_HEAD_BYTES) return undefined;
    throw new Refusal("head_too_large", `the request head has more than ${MAX_HEAD_BYTES} bytes`);
  }
  const [line = ""] = bytes.toString("latin1", 0, end).split("\r\n", 1);
  const target = CONNECT.exec(line)?.[1];
  if (target === undefined) {
    if (OTHER_METHOD.test(line) && !line.startsWith("CONNECT "))
      throw new Refusal(
        "not_connect",
        "this proxy serves CONNECT only: also plain http goes through a tunnel",
      );
    throw new Refusal("bad_request", "this is no proxy request");
  }
  const asked = parseDestination(target);
  if (asked === undefined) throw new Refusal("bad_request", "the target of CONNECT is not host:port");
  return { asked, length: end + END.length };
}
