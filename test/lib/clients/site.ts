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
import { HAS_CLIENT_LISTEN, startClientSidecar } from "../client-listen.ts";
import type { Sidecar } from "../sidecar.ts";
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

/** `direct`: at the listener for Dovecot. `client`: at the one for ordinary clients, where everything that works is announced. */
export type Way = "direct" | "client" | "dovecot";
export const WAYS: readonly Way[] = HAS_CLIENT_LISTEN
  ? ["direct", "client", "dovecot"]
  : ["direct", "dovecot"];

/** A Dovecot in front of the service, and what it asks there. */
export interface Front {
  readonly dovecot: Dovecot;
  readonly upstream: WireProxy;
  stop(): Promise<void>;
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

/**
 * A Dovecot with `dovecot/stage-store.conf` before a running service, with a recording proxy between the two.
 * @param config  lines for it, set last
 */
export async function startFront(sidecar: Sidecar, dir: string, config = ""): Promise<Front> {
  const deadline = deadlineAfter(START_MS);
  const upstream = await startWireProxy(sidecar.imapPort);
  const target = {
    host: "127.0.0.1",
    port: upstream.port,
    masterUser: "dovecot",
    masterPassword: sidecar.masterPassword,
  };
  const users = [{ address: USER, password: PASSWORD }];
  const mode = { kind: "imapc", upstream: target } as const;
  const dovecot = await startDovecot({ dir, mode, users, extraConfig: config }, deadline);
  deadline.dispose();
  return {
    dovecot,
    upstream,
    async stop() {
      await dovecot.stop();
      await upstream.stop();
    },
  };
}

export async function startClientSite(): Promise<ClientSite> {
  const scratch = await makeScratch();
  const folder = async (name: string) => {
    const dir = join(scratch.dir, name);
    await mkdir(dir, { recursive: true });
    return dir;
  };
  const { sidecar, clientPort } = await startClientSidecar({
    dir: await folder("s"),
    toml: FILING,
    logLevel: "warn",
  });
  const front = await startFront(sidecar, await folder("d"));
  const proxies = {
    direct: await startWireProxy(sidecar.imapPort),
    client: await startWireProxy(clientPort),
    dovecot: await startWireProxy(front.dovecot.imapPort),
  };
  const api = new Api(sidecar.apiSocket);
  return {
    dir: scratch.dir,
    sidecar,
    dovecot: front.dovecot,
    upstream: front.upstream,
    api,
    proxies,
    folder,
    async stop() {
      api.close();
      await front.stop();
      for (const proxy of Object.values(proxies)) await proxy.stop();
      await sidecar.stop();
      await scratch.remove();
    },
  };
}
