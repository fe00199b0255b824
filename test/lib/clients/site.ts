/**
 * The place where real IMAP clients are tested: the service, the private Dovecot with `dovecot/stage-store.conf` in front of it, and
 * a recording proxy on each way a client may take, and between Dovecot and the service. One account with `MANY` generated messages,
 * the corpus with its flags and dates, and later 50 more and one more mailbox.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { type Sidecar, startSidecar } from "../sidecar.ts";
import { Api } from "./api.ts";
import { startWireProxy, type WireProxy } from "./wire-proxy.ts";

const START_MS = 90_000;
export const USER = "many@example.test";
export const PASSWORD = "secret";
/**
 * Where the hook files what holds "invoice" in its subject; made by the first such message. imapfilter 2.8.1 loses a bit of some
 * other characters when it decodes modified UTF-7, these it decodes rightly.
 */
export const FILED = "日本/2026";

export type Way = "direct" | "dovecot";
export const WAYS: readonly Way[] = ["direct", "dovecot"];

export interface ClientSiteOptions {
  /** Lines for the Dovecot in front, set last. */
  readonly dovecotConfig?: string;
  readonly users?: readonly string[];
}

export interface ClientSite {
  readonly dir: string;
  readonly sidecar: Sidecar;
  readonly dovecot: Dovecot;
  readonly api: Api;
  /** What a client talks to: the service itself, or the Dovecot in front of it. */
  readonly proxies: Readonly<Record<Way, WireProxy>>;
  /** What Dovecot asks the service. */
  readonly upstream: WireProxy;
  /** An empty folder below `dir`. */
  folder(name: string): Promise<string>;
  stop(): Promise<void>;
}

const HELLO = "com.example.mairust.hello-world";
const FILING = `
[plugins]
folders = [${JSON.stringify(join(packageRoot(), "plugins"))}]
allow_unsigned = ["${HELLO}"]
allow_unsandboxed = ["${HELLO}"]
[plugin."${HELLO}"]
grants = { read_headers = ["Subject"], read_body = "preview", write_tags = true, move_message = true }
settings = { greeting_tag = "", words = "invoice", tag = "invoice", folder = ${JSON.stringify(FILED)} }
[[hooks]]
name = "filing"
point = "pre_delivery"
plugin = "${HELLO}"
mode = "enforce"
`;

export async function startClientSite(options: ClientSiteOptions = {}): Promise<ClientSite> {
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const folder = async (name: string) => {
    const dir = join(scratch.dir, name);
    await mkdir(dir, { recursive: true });
    return dir;
  };
  const sidecar = await startSidecar({ dir: await folder("s"), toml: FILING, logLevel: "warn" });
  const upstream = await startWireProxy(sidecar.imapPort);
  const dovecot = await startDovecot(
    {
      dir: await folder("d"),
      mode: {
        kind: "imapc",
        upstream: {
          host: "127.0.0.1",
          port: upstream.port,
          masterUser: "dovecot",
          masterPassword: sidecar.masterPassword,
        },
      },
      users: (options.users ?? [USER]).map(address => ({ address, password: PASSWORD })),
      extraConfig: options.dovecotConfig ?? "",
    },
    deadline,
  );
  deadline.dispose();
  const proxies = {
    direct: await startWireProxy(sidecar.imapPort),
    dovecot: await startWireProxy(dovecot.imapPort),
  };
  const api = new Api(sidecar.apiSocket);
  return {
    dir: scratch.dir,
    sidecar,
    dovecot,
    api,
    proxies,
    upstream,
    folder,
    async stop() {
      api.close();
      await dovecot.stop();
      for (const proxy of [proxies.direct, proxies.dovecot, upstream]) await proxy.stop();
      await sidecar.stop();
      await scratch.remove();
    },
  };
}
