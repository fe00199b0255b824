/**
 * How a client logs in. Through Dovecot: as the user, at Dovecot. Directly: as the user with the user's own password at the service, or
 * with the master user and an authorization identity, for clients that can.
 */
import type { Access, MailClient } from "./client.ts";
import { type ClientSite, PASSWORD, USER, type Way } from "./site.ts";

/** Give the user, whose account is there, the password that is the user's at Dovecot as well. */
export async function setPassword(site: ClientSite): Promise<void> {
  const { code, stderr } = await site.sidecar.mairust(["account", "passwd", USER], `${PASSWORD}\n`);
  if (code !== 0) throw new Error(`account passwd: exit code ${code}\n${stderr}`);
}

export function credentials(site: ClientSite, way: Way, login: MailClient["login"]): Access {
  const { port } = site.proxies[way];
  const host = "127.0.0.1";
  if (way === "direct" && login === "master") {
    return { host, port, user: "dovecot", password: site.sidecar.masterPassword, authorize: USER };
  }
  return { host, port, user: USER, password: PASSWORD, authorize: undefined };
}
