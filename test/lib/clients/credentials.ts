/**
 * How a client logs in. Through Dovecot: as the user, at Dovecot. Directly: with the master user and an authorization identity where
 * the client can; one that can only say a name and a password goes through a Dovecot that checks these, logs in with the master user
 * and is a pipe from then on (proxy passdb, facts of Dovecot in `dovecot/README.md`): every command and octet is the client's own.
 */
import { startDovecot } from "../../../src/mailhost/dovecot.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import type { Access, MailClient } from "./client.ts";
import { type ClientSite, PASSWORD, USER, type Way } from "./site.ts";

const START_MS = 30_000;

export interface Credentials {
  access(way: Way, login: MailClient["login"]): Access;
  stop(): Promise<void>;
}

export async function credentials(site: ClientSite): Promise<Credentials> {
  const { proxies, sidecar } = site;
  const deadline = deadlineAfter(START_MS);
  const proxied = `proxy=y host=127.0.0.1 port=${proxies.direct.port} master=dovecot pass=${sidecar.masterPassword}`;
  const pipe = await startDovecot(
    {
      dir: await site.folder("pipe"),
      mode: { kind: "maildir" },
      users: [],
      extraConfig: `passdb {\n  driver = static\n  args = password=${PASSWORD} ${proxied}\n}\n`,
    },
    deadline,
  );
  deadline.dispose();
  const host = "127.0.0.1";
  const asUser = (port: number) => ({ host, port, user: USER, password: PASSWORD, authorize: undefined });
  return {
    access(way, login) {
      if (way === "dovecot") return asUser(proxies.dovecot.port);
      if (login === "password") return asUser(pipe.imapPort);
      return {
        host,
        port: proxies.direct.port,
        user: "dovecot",
        password: sidecar.masterPassword,
        authorize: USER,
      };
    },
    stop: () => pipe.stop(),
  };
}
