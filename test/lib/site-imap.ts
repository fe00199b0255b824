/** Reads mail as a client does, at the Dovecot of a test's mail host or at its sidecar. */
import { ImapFlow } from "imapflow";
import type { Dovecot } from "../../src/mailhost/dovecot.ts";
import type { Sidecar } from "./sidecar.ts";

/** Of every user at Dovecot. */
export const PASSWORD = "secret";

/** `dovecot`: with the user's own password. `direct`: at the sidecar, as Dovecot would. */
export type WithImap = <T>(
  user: string,
  way: "dovecot" | "direct",
  work: (client: ImapFlow) => Promise<T>,
) => Promise<T>;

export function withImapAt(dovecot: Dovecot, sidecar: Sidecar): WithImap {
  return async (user, way, work) => {
    const client =
      way === "dovecot"
        ? imapClient(dovecot.imapPort, { user, pass: PASSWORD })
        : imapClient(sidecar.imapPort, { user: "dovecot", pass: sidecar.masterPassword, authzid: user });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.logout().catch(() => client.close());
    }
  };
}

function imapClient(port: number, auth: { user: string; pass: string; authzid?: string }): ImapFlow {
  const loginMethod = auth.authzid === undefined ? {} : { loginMethod: "AUTH=PLAIN" };
  const plain = { secure: false, doSTARTTLS: false, logger: false } as const;
  return new ImapFlow({ host: "127.0.0.1", port, ...plain, auth: { ...auth, ...loginMethod } });
}
