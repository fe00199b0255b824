/**
 * The text of a private Dovecot's configuration (2.3 syntax). Pure.
 *
 * Mode `imapc` includes `dovecot/stage-store.conf` as it is and adds what an operator would add; mode `maildir` is an
 * ordinary mail store with IMAP and LMTP, the peer of the benchmarks and the relay target of the stages before.
 * Sources: doc.dovecot.org/2.3 settings reference; facts of Dovecot 2.3.19 in `dovecot/README.md`.
 */
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";

/** Owner of the users' mail: a number without an account, near the top of Debian's range for people. */
export const MAIL_UID = 59_990;

export interface DovecotUser {
  readonly address: string;
  readonly password: string;
}

/** The IMAP server behind imapc, and how Dovecot logs in there. */
export interface ImapcUpstream {
  readonly host: string;
  readonly port: number;
  readonly masterUser: string;
  readonly masterPassword: string;
}

export type DovecotMode =
  | { readonly kind: "imapc"; readonly upstream: ImapcUpstream }
  | {
      readonly kind: "maildir";
      /** May log in as any user (AUTHENTICATE PLAIN with authorization identity). */
      readonly master?: DovecotUser;
      /** UNIX socket for LMTP besides the loopback port; its folder exists. */
      readonly lmtpSocket?: string;
    };

export interface DovecotPaths {
  readonly root: string;
  readonly config: string;
  readonly users: string;
  readonly masters: string;
  readonly acl: string;
  /** The master password alone: Dovecot takes every byte of the file, a line break too. */
  readonly secret: string;
  readonly homes: string;
  readonly run: string;
  readonly state: string;
  readonly log: string;
}

export function dovecotPaths(root: string): DovecotPaths {
  return {
    root,
    config: join(root, "dovecot.conf"),
    users: join(root, "users"),
    masters: join(root, "masters"),
    acl: join(root, "mairust.acl"),
    secret: join(root, "master.secret"),
    homes: join(root, "home"),
    run: join(root, "run"),
    state: join(root, "state"),
    log: join(root, "dovecot.log"),
  };
}

export interface DovecotConfig {
  readonly paths: DovecotPaths;
  readonly mode: DovecotMode;
  readonly imapPort: number;
  /** Used in mode `maildir`. */
  readonly lmtpPort: number;
  /** Path of the shipped `dovecot/stage-store.conf`. */
  readonly stageStoreFile: string;
  /** Lines that are set last. */
  readonly extra: string;
}

export function dovecotConf(config: DovecotConfig): string {
  const { mode } = config;
  return [
    common(config),
    mode.kind === "imapc" ? imapcPart(config, mode.upstream) : maildirPart(config, mode),
    config.extra,
  ].join("\n");
}

function common({ paths, mode, imapPort }: DovecotConfig): string {
  return `
protocols = ${mode.kind === "maildir" ? "imap lmtp" : "imap"}
listen = 127.0.0.1
base_dir = ${paths.run}
state_dir = ${paths.state}
instance_name = mairust
log_path = ${paths.log}
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login

mail_uid = ${MAIL_UID}
mail_gid = ${MAIL_UID}
first_valid_uid = ${MAIL_UID}
first_valid_gid = ${MAIL_UID}
mail_home = ${paths.homes}/%u
# Tests and benchmarks open many sessions from one address.
mail_max_userip_connections = 1000

passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u ${paths.users}
}
userdb {
  driver = passwd-file
  args = username_format=%u ${paths.users}
}
service imap-login {
  inet_listener imap {
    port = ${imapPort}
  }
  inet_listener imaps {
    port = 0
  }
  # One process for many logins, made at the start.
  service_count = 0
  process_min_avail = 1
}
`;
}

function imapcPart({ paths, stageStoreFile }: DovecotConfig, upstream: ImapcUpstream): string {
  return `
!include ${stageStoreFile}
imapc_host = ${upstream.host}
imapc_port = ${upstream.port}
imapc_master_user = ${upstream.masterUser}
imapc_password = <${paths.secret}
plugin {
  acl = vfile:${paths.acl}
}
`;
}

function maildirPart(
  { paths, lmtpPort }: DovecotConfig,
  mode: Extract<DovecotMode, { kind: "maildir" }>,
): string {
  const master = `
auth_master_user_separator = *
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u ${paths.masters}
  master = yes
  result_success = continue
}
`;
  const socket = `
  unix_listener ${mode.lmtpSocket} {
    mode = 0666
  }
`;
  return `
mail_location = maildir:~/Maildir
namespace inbox {
  inbox = yes
  separator = /
}
service lmtp {
  inet_listener lmtp {
    port = ${lmtpPort}
  }${mode.lmtpSocket === undefined ? "" : socket}
}
${mode.master === undefined ? "" : master}`;
}

/**
 * A passwd-file (Dovecot's, seven fields) of users or master users.
 *
 * @throws {MairustError} `invalid_argument` a name or password has a character that the format cannot hold
 */
export function passwdFile(users: readonly DovecotUser[]): string {
  return users
    .map(({ address, password }) => {
      if (address === "" || /[:\s]/.test(address) || /[:\r\n]/.test(password)) {
        throw new MairustError(
          "invalid_argument",
          `Cannot write user ${JSON.stringify(address)}: white space or colon`,
        );
      }
      return `${address}:${password}:${MAIL_UID}:${MAIL_UID}::::\n`;
    })
    .join("");
}
