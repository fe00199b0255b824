/** Why the egress proxy did not connect or did not go on: the words of its record, and what the plugin is told. */

export type RefusalReason =
  | "bad_request"
  | "not_connect"
  | "head_too_large"
  | "too_slow"
  | "too_many"
  | "port"
  | "not_listed"
  /** A port of the mail system or of this service. */
  | "own_port"
  /** The name or the address leads to a network that is not public. */
  | "address"
  | "no_address"
  | "unreachable"
  /** Port 443, and no TLS. */
  | "not_tls"
  /** The name in the TLS hello is not the one of CONNECT, or it cannot be seen. */
  | "sni";

/** Of replies before a tunnel stands. */
const STATUS: Readonly<Record<RefusalReason, string>> = {
  bad_request: "400 Bad Request",
  not_connect: "405 Method Not Allowed",
  head_too_large: "431 Request Header Fields Too Large",
  too_slow: "408 Request Timeout",
  too_many: "429 Too Many Requests",
  port: "403 Forbidden",
  not_listed: "403 Forbidden",
  own_port: "403 Forbidden",
  address: "403 Forbidden",
  no_address: "502 Bad Gateway",
  unreachable: "502 Bad Gateway",
  not_tls: "403 Forbidden",
  sni: "403 Forbidden",
};

/** Thrown inside a tunnel; never leaves this folder. */
export class Refusal extends Error {
  readonly reason: RefusalReason;

  /** @param text  for the plugin: says nothing that it did not ask for, no address that a name has */
  constructor(reason: RefusalReason, text: string) {
    super(text);
    this.name = "Refusal";
    this.reason = reason;
  }
}

/** @returns a whole HTTP reply that ends the connection */
export function refusalReply({ reason, message }: Refusal): string {
  const body = `${message}\n`;
  return [
    `HTTP/1.1 ${STATUS[reason]}`,
    ...(reason === "not_connect" ? ["Allow: CONNECT"] : []),
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}
