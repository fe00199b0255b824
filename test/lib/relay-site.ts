/** A mail host whose mail stays in Dovecot: private Postfix → sidecar → private Dovecot (maildir), a domain for each stage. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ImapFlow } from "imapflow";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { PASSWORD } from "./mail-site.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";

const START_MS = 90_000;

export interface RelaySiteOptions {
  readonly stages: Readonly<Record<string, "observe" | "hooks" | "mirror">>;
  /** Who has a mailbox in Dovecot. */
  readonly users: readonly string[];
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  readonly postfixSettings?: Readonly<Record<string, string>>;
  /** Lines of Dovecot's configuration. */
  readonly dovecot?: string;
  /** More TOML of the sidecar. */
  readonly toml?: string;
}

export interface RelaySite {
  readonly postfix: Postfix;
  readonly sidecar: Sidecar;
  readonly dovecot: Dovecot;
  /** Dovecot's, as `relay.lmtp` has it. */
  readonly hop: string;
  stopDovecot(): Promise<void>;
  /** `dovecot`: with the user's own password. `direct`: at the sidecar, as Dovecot would. */
  withImap<T>(user: string, way: "dovecot" | "direct", work: (client: ImapFlow) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/** Of the sidecar's own store, beside the others. */
export const STORE_DOMAIN = "store.test";

export async function startRelaySite(options: RelaySiteOptions): Promise<RelaySite> {
  const { stages, users, aliases = {}, postfixSettings = {} } = options;
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const domains = [STORE_DOMAIN, ...Object.keys(stages)];
  const postfix = await startPostfix(
    { dir: await folder("p"), domains, aliases, settings: postfixSettings },
    deadline,
  );
  const lmtpSocket = join(await folder("l"), "lmtp");
  const dovecot = await startDovecot(
    {
      dir: await folder("d"),
      mode: { kind: "maildir", lmtpSocket },
      users: users.map(address => ({ address, password: PASSWORD })),
      ...(options.dovecot === undefined ? {} : { extraConfig: options.dovecot }),
    },
    deadline,
  );
  const hop = `unix:${lmtpSocket}`;
  const sections = Object.entries(stages).map(
    ([name, stage]) =>
      `[domains.${JSON.stringify(name)}]\nstage = "${stage}"\naccounts = "auto"\nrelay.lmtp = ${JSON.stringify(hop)}\n`,
  );
  const sidecar = await startSidecar({
    dir: await folder("s"),
    domain: STORE_DOMAIN,
    lmtpListen: [`unix:${postfix.lmtpSocket}`],
    lmtp: 'socket_group = "postfix"',
    toml: `${sections.join("")}${options.toml ?? ""}`,
  });
  deadline.dispose();
  let dovecotRuns = true;
  const stopDovecot = async () => {
    if (dovecotRuns) await dovecot.stop();
    dovecotRuns = false;
  };
  return {
    postfix,
    sidecar,
    dovecot,
    hop,
    stopDovecot,
    async withImap(user, way, work) {
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
    },
    async stop() {
      await postfix.stop();
      await sidecar.stop();
      await stopDovecot();
      await scratch.remove();
    },
  };
}

function imapClient(port: number, auth: { user: string; pass: string; authzid?: string }): ImapFlow {
  const loginMethod = auth.authzid === undefined ? {} : { loginMethod: "AUTH=PLAIN" };
  const plain = { secure: false, doSTARTTLS: false, logger: false } as const;
  return new ImapFlow({ host: "127.0.0.1", port, ...plain, auth: { ...auth, ...loginMethod } });
}

/** The bytes of all messages in INBOX, oldest first. */
export async function inboxOf(client: ImapFlow): Promise<readonly Buffer[]> {
  const lock = await client.getMailboxLock("INBOX");
  const found: Buffer[] = [];
  try {
    if (client.mailbox === false || client.mailbox.exists === 0) return found;
    for await (const { source } of client.fetch("1:*", { source: true }))
      if (source !== undefined) found.push(source);
  } finally {
    lock.release();
  }
  return found;
}
