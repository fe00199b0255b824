/** Listeners that tests make without a configuration. */
import type { ListenerProfile } from "../../src/protocols/imap/profile.ts";

/** As `imap.client_listen`, without TLS. */
export const CLIENT: ListenerProfile = { kind: "client" };
