/** What a listener is for: all of them are served by one server, so that its limits count all connections. */

export interface ListenerProfile {
  /**
   * `dovecot`: imapc, which 2.3 must not be told of ESEARCH, since it maps the numbers of its answers wrongly.
   * `client`: everything that works is announced; its peers may be strangers, so they have limits of their own.
   */
  readonly kind: "dovecot" | "client";
  /** `implicit`: TLS from the first octet (RFC 8314 §3.2). `starttls`: offered where there is a certificate. Left out: none. */
  readonly tls?: "implicit" | "starttls";
}

export const DOVECOT: ListenerProfile = { kind: "dovecot" };
