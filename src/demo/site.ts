/**
 * A folder with a configuration that runs the service for itself on loopback: embedded database, the sample plugin switched on, one
 * domain whose accounts are made when mail arrives. For `dev` and `demo`.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { freePort, makeScratch } from "../mailhost/scratch.ts";
import { packageRoot } from "../platform/package-root.ts";

export interface SiteOptions {
  /** Keep data here and use it again; absent: a temporary folder. */
  readonly dir: string | undefined;
  /** Its addresses are made when mail arrives. */
  readonly domain: string;
  /** `log.level`; default: info. */
  readonly logLevel?: "info" | "warn";
  /** UNIX sockets for LMTP and the milter, and the group that may use them; default: ports. */
  readonly sockets?: { readonly lmtp: string; readonly milter: string; readonly group: string };
  /** Where released mail goes: Postfix; default: there is none. */
  readonly smtpPort?: number;
  /** Sample plugins stand at `pre_receive` too: one refuses, one holds. */
  readonly atTheDoor?: boolean;
  /** This host can hold plugins in no sandbox: they run without. */
  readonly unsandboxed?: boolean;
}

export interface Site {
  readonly dir: string;
  readonly configFile: string;
  readonly masterUser: string;
  readonly masterPassword: string;
  readonly apiSocket: string;
  readonly imapPort: number;
  /** Delete the folder, if it is a temporary one. */
  remove(): Promise<void>;
}

const MASTER_USER = "dovecot";
export const HELLO = "com.example.mairust.hello-world";
const KEYWORDS = "com.example.mairust.keyword-reject";
const EXECUTABLES = "com.example.mairust.hold-executables";

export async function makeSite(options: SiteOptions): Promise<Site> {
  const scratch = options.dir === undefined ? await makeScratch() : undefined;
  const dir = scratch?.dir ?? resolve(options.dir ?? "");
  await mkdir(dir, { recursive: true });
  const passwordFile = join(dir, "imap-master.secret");
  const masterPassword = await readOrMake(passwordFile);
  const configFile = join(dir, "mairust.toml");
  // Chosen here and not by the listeners: other commands, and a restart, find the same ones in the file.
  const ports = {
    lmtp: await freePort(),
    milter: await freePort(),
    imap: await freePort(),
    api: await freePort(),
  };
  await writeFile(configFile, siteConfig(dir, passwordFile, ports, options), { mode: 0o600 });
  return {
    dir,
    configFile,
    masterUser: MASTER_USER,
    masterPassword,
    apiSocket: join(dir, "run", "api.sock"),
    imapPort: ports.imap,
    remove: async () => {
      if (scratch !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function readOrMake(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    const password = randomBytes(18).toString("base64url");
    await writeFile(file, password, { mode: 0o600 });
    return password;
  }
}

/** TOML strings of these kinds are JSON strings. */
const text = (value: string) => JSON.stringify(value);

const DOOR_HOOKS = `
[plugin.${text(KEYWORDS)}]
grants = { read_headers = ["Subject"], read_body = "preview", decide = ["reject"] }

[plugin.${text(EXECUTABLES)}]
grants = { read_attachments = "metadata", decide = ["hold"] }

[[hooks]]
name = "keywords"
point = "pre_receive"
plugin = ${text(KEYWORDS)}
priority = 50
mode = "enforce"

[[hooks]]
name = "executables"
point = "pre_receive"
plugin = ${text(EXECUTABLES)}
priority = 60
mode = "enforce"
`;

interface Ports {
  readonly lmtp: number;
  readonly milter: number;
  readonly imap: number;
  readonly api: number;
}

function siteConfig(
  dir: string,
  passwordFile: string,
  ports: Ports,
  { domain, sockets, smtpPort, atTheDoor = false, unsandboxed = false, logLevel = "info" }: SiteOptions,
): string {
  const lmtp = sockets === undefined ? `inet:127.0.0.1:${ports.lmtp}` : `unix:${sockets.lmtp}`;
  const milter = sockets === undefined ? `inet:127.0.0.1:${ports.milter}` : `unix:${sockets.milter}`;
  const group = sockets === undefined ? "" : `socket_group = ${text(sockets.group)}\n`;
  const outbound = smtpPort === undefined ? "" : `\n[outbound]\nsmtp = "inet:127.0.0.1:${smtpPort}"\n`;
  const plugins = [HELLO, ...(atTheDoor ? [KEYWORDS, EXECUTABLES] : [])].map(text).join(", ");
  return `# Made by mairust; everything of this run lies in this folder.
data_dir = ${text(join(dir, "data"))}
runtime_dir = ${text(join(dir, "run"))}
log_dir = ${text(join(dir, "log"))}
key_file = ${text(join(dir, "master.key"))}
hostname = ${text(`mail.${domain}`)}

[lmtp]
listen = [${text(lmtp)}]
${group}
[milter]
listen = [${text(milter)}]
${group}
[imap]
listen = ["inet:127.0.0.1:${ports.imap}"]
master_user = ${text(MASTER_USER)}
master_password_file = ${text(passwordFile)}

[api]
listen = ["inet:127.0.0.1:${ports.api}", ${text(`unix:${join(dir, "run", "api.sock")}`)}]

[limits]
min_free_disk_mb = 64

[log]
format = "text"
level = ${text(logLevel)}

[domains.${text(domain)}]
accounts = "auto"

[plugins]
folders = [${text(join(packageRoot(), "plugins"))}]
allow_unsigned = [${plugins}]
${unsandboxed ? `allow_unsandboxed = [${plugins}]\n` : ""}
[plugin.${text(HELLO)}]
grants = { read_headers = ["Subject"], read_body = "preview", write_tags = true, move_message = true }

[[hooks]]
name = "hello"
point = "pre_delivery"
plugin = ${text(HELLO)}
mode = "enforce"
on_error = "tempfail"
on_timeout = "tempfail"
${outbound}${atTheDoor ? DOOR_HOOKS : ""}`;
}
