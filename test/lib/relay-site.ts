/** A mail host whose mail stays in Dovecot: private Postfix → sidecar → private Dovecot (maildir), a domain for each stage. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ImapFlow } from "imapflow";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";
import { PASSWORD, type WithImap, withImapAt } from "./site-imap.ts";

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
  readonly withImap: WithImap;
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
    withImap: withImapAt(dovecot, sidecar),
    async stop() {
      await postfix.stop();
      await sidecar.stop();
      await stopDovecot();
      await scratch.remove();
    },
  };
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
