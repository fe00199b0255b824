/** What a listener is for: all of them are served by one server, so that its limits count all connections. */

export interface ListenerProfile {
  /**
   * `dovecot`: imapc, which 2.3 must not be told of ESEARCH, since it maps the numbers of its answers wrongly.
   * `client`: everything that works is announced.
   */
  readonly kind: "dovecot" | "client";
}

export const DOVECOT: ListenerProfile = { kind: "dovecot" };
