/** Configurations of Postfix and Dovecot in a folder of their own, for tests of `setup` and `doctor`: read by their tools, run by nobody. */
import { chmod, chown, mkdir, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { systemUser } from "../../src/mailhost/system-user.ts";
import { loadConfig } from "../../src/platform/config/load.ts";
import type { Config } from "../../src/wire/config/schema.ts";
import type { Quietly, SitePlaces } from "../../src/wire/site-calls.ts";

export const SECRET = "0123456789abcdef";

export interface SiteHost {
  readonly dir: string;
  readonly places: Required<SitePlaces>;
  readonly config: Config;
}

export const MASTER_CF = `smtp      inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
lmtp      unix  -       -       y       -       -       lmtp
`;

const DOVECOT_CONF = `protocols = imap lmtp
mail_location = maildir:~/Maildir
mail_uid = 59990
mail_gid = 59990
mail_home = /srv/mail/%u
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u /srv/mail/users
}
userdb {
  driver = passwd-file
  args = username_format=%u /srv/mail/users
}
namespace inbox {
  inbox = yes
  mailbox Drafts {
    special_use = \\Drafts
  }
}
`;

/**
 * @param main    lines of main.cf besides its folders
 * @param master  master.cf
 */
export async function makeSiteHost(
  dir: string,
  main: string,
  master = MASTER_CF,
  dovecot = DOVECOT_CONF,
): Promise<SiteHost> {
  const { uid, gid } = await systemUser("postfix");
  for (const name of ["etc", "queue/mairust", "data", "dovecot"])
    await mkdir(join(dir, name), { recursive: true });
  await chown(join(dir, "data"), uid, gid);
  await chown(join(dir, "queue/mairust"), 0, gid);
  await chmod(join(dir, "queue/mairust"), 0o770);
  const folders = `queue_directory = ${dir}/queue\ndata_directory = ${dir}/data\n`;
  await writeFile(join(dir, "etc/main.cf"), `compatibility_level = 3.6\n${folders}${main}`);
  await writeFile(join(dir, "etc/master.cf"), master);
  // Postfix waits until main.cf is more than a second old.
  await utimes(join(dir, "etc/main.cf"), new Date(0), new Date(0));
  await writeFile(join(dir, "dovecot/dovecot.conf"), dovecot);
  await writeFile(join(dir, "imap.secret"), `${SECRET}\n`, { mode: 0o600 });
  await writeFile(join(dir, "master.key"), "k\n", { mode: 0o600 });
  await writeFile(join(dir, "mairust.toml"), toml(dir));
  const { config } = await loadConfig({ configFile: join(dir, "mairust.toml"), env: {} });
  return {
    dir,
    places: { postfixDir: join(dir, "etc"), dovecotConfig: join(dir, "dovecot/dovecot.conf") },
    config,
  };
}

const toml = (dir: string) => `hostname = "mail.a.test"
data_dir = "${dir}/mairust"
runtime_dir = "${dir}/run"
key_file = "${dir}/master.key"
[blobs]
path = "${dir}/mairust/blobs"
[milter]
listen = ["unix:${dir}/queue/mairust/milter.sock"]
[lmtp]
listen = ["unix:${dir}/queue/mairust/lmtp.sock"]
[imap]
master_password_file = "${dir}/imap.secret"
[api]
listen = ["unix:${dir}/run/api.sock"]
[limits]
min_free_disk_mb = 1
[domains."a.test"]
`;

/** Somebody who listens and says this to whoever comes. @returns what ends it */
export async function listenOn(
  where: { readonly path: string } | { readonly port: number; readonly host: string },
  greeting = "220 here\r\n",
): Promise<() => Promise<void>> {
  const server = createServer(socket => {
    socket.on("error", () => undefined);
    socket.end(greeting);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
  if ("path" in where) {
    await chown(where.path, 0, (await systemUser("postfix")).gid);
    await chmod(where.path, 0o660);
  }
  return () => new Promise(resolve => server.close(() => resolve()));
}

/** Where nothing is relayed: no reload has to wait for anything. */
export const atOnce: Quietly = work => work();
