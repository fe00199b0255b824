/**
 * The text of a private Postfix's configuration: `main.cf`, `master.cf` and its tables. Pure.
 *
 * Only what a private instance needs stands here; what belongs to the stage comes from `postfix/stage-store.*`.
 * Sources: postconf(5), master(5), virtual(5), transport(5).
 */
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";

/** Where the sidecar listens, as Postfix names it: relative to the queue directory. */
export const LMTP_NEXT_HOP = "unix:mairust/lmtp.sock";

/** Folders and files of one private Postfix. */
export interface PostfixPaths {
  readonly root: string;
  readonly config: string;
  readonly queue: string;
  readonly data: string;
  /** Folder of the sidecar's sockets, below the queue directory. */
  readonly sockets: string;
  readonly log: string;
}

export function postfixPaths(root: string): PostfixPaths {
  const queue = join(root, "queue");
  return {
    root,
    config: join(root, "etc"),
    queue,
    data: join(root, "data"),
    sockets: join(queue, "mairust"),
    log: join(root, "postfix.log"),
  };
}

/**
 * `main.cf` of a private instance: accepts mail from loopback for `domains` and sends nothing anywhere but by the
 * transport table.
 */
export function mainCf(paths: PostfixPaths, domains: readonly string[]): string {
  return settings({
    compatibility_level: "3.6",
    queue_directory: paths.queue,
    data_directory: paths.data,
    maillog_file: paths.log,
    maillog_file_prefixes: paths.root,
    // Another Postfix on this host must not share locks or names with this one.
    syslog_name: "postfix",
    inet_interfaces: "127.0.0.1",
    inet_protocols: "ipv4",
    myhostname: `mail.${domains[0] ?? "invalid"}`,
    mynetworks: "127.0.0.0/8",
    mydestination: "",
    local_recipient_maps: "",
    alias_maps: "",
    alias_database: "",
    virtual_mailbox_domains: domains.join(" "),
    virtual_alias_maps: "texthash:$config_directory/virtual",
    // No mail leaves: what the transport table does not name is returned to its sender, who is local too.
    virtual_transport: "error:5.4.4 no route in this private Postfix",
    default_transport: "error:5.4.4 this private Postfix sends no mail",
    relay_transport: "$default_transport",
    local_transport: "$default_transport",
    smtpd_tls_security_level: "none",
    smtpd_peername_lookup: "no",
    biff: "no",
    append_dot_mydomain: "no",
    notify_classes: "",
  });
}

/** The services of `master.cf`, none chrooted; the SMTP server on a loopback port. */
export function masterCf(smtpPort: number): string {
  const rows = [
    // service                type  private unpriv chroot wakeup maxproc command
    [`127.0.0.1:${smtpPort}`, "inet", "n", "-", "n", "-", "-", "smtpd"],
    ["pickup", "unix", "n", "-", "n", "60", "1", "pickup"],
    ["cleanup", "unix", "n", "-", "n", "-", "0", "cleanup"],
    ["qmgr", "unix", "n", "-", "n", "300", "1", "qmgr"],
    ["rewrite", "unix", "-", "-", "n", "-", "-", "trivial-rewrite"],
    ["bounce", "unix", "-", "-", "n", "-", "0", "bounce"],
    ["defer", "unix", "-", "-", "n", "-", "0", "bounce"],
    ["trace", "unix", "-", "-", "n", "-", "0", "bounce"],
    ["verify", "unix", "-", "-", "n", "-", "1", "verify"],
    ["flush", "unix", "n", "-", "n", "1000?", "0", "flush"],
    ["proxymap", "unix", "-", "-", "n", "-", "-", "proxymap"],
    ["showq", "unix", "n", "-", "n", "-", "-", "showq"],
    ["error", "unix", "-", "-", "n", "-", "-", "error"],
    ["retry", "unix", "-", "-", "n", "-", "-", "error"],
    ["discard", "unix", "-", "-", "n", "-", "-", "discard"],
    ["lmtp", "unix", "-", "-", "n", "-", "-", "lmtp"],
    ["anvil", "unix", "-", "-", "n", "-", "1", "anvil"],
    ["scache", "unix", "-", "-", "n", "-", "1", "scache"],
    ["postlog", "unix-dgram", "n", "-", "n", "-", "1", "postlogd"],
  ];
  return `${rows.map(row => row.join(" ")).join("\n")}\n`;
}

/**
 * A `texthash:` table.
 *
 * @throws {MairustError} `invalid_argument` a key has white space, or an entry a line break
 */
export function lookupTable(rows: Readonly<Record<string, string>>): string {
  return Object.entries(rows)
    .map(([key, value]) => {
      if (key === "" || /\s/.test(key)) {
        throw new MairustError(
          "invalid_argument",
          `Cannot write table key ${JSON.stringify(key)}: it has white space`,
        );
      }
      return `${key} ${oneLine(value)}\n`;
    })
    .join("");
}

function settings(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${oneLine(value)}`.trimEnd())
    .join("\n")
    .concat("\n");
}

function oneLine(value: string): string {
  if (/[\r\n]/.test(value)) {
    throw new MairustError(
      "invalid_argument",
      `Cannot write value ${JSON.stringify(value)}: it has a line break`,
    );
  }
  return value;
}
