/** A whole mail host of one's own: private Postfix → sidecar → private Dovecot, for system tests. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, every } from "../../src/platform/deadline.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "./sidecar.ts";
import { PASSWORD, type WithImap, withImapAt } from "./site-imap.ts";

const START_MS = 90_000;
const QUEUE_MS = 120_000;
/** A message that is just being put back is passed over by a flush. */
const FLUSH_AGAIN_MS = 2_000;

export interface MailSiteOptions extends Omit<SidecarOptions, "dir"> {
  /** Users who may log in at Dovecot. */
  readonly users: readonly string[];
  /** virtual(5) aliases of Postfix. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  /** Postfix asks the sidecar's milter, as this stage's file says. */
  readonly milterStage?: "observe" | "store";
  /** main.cf parameters of Postfix that are set last. */
  readonly postfixSettings?: Readonly<Record<string, string>>;
  /** Called with the sidecar's folder before it starts. @returns more of its options; `toml` is added */
  readonly beforeSidecar?: (dir: string) => Promise<Partial<Omit<SidecarOptions, "dir" | "lmtp">>>;
  /** Called when it has stopped, before its folder is removed. */
  readonly afterSidecar?: () => Promise<void>;
  /** The sidecar submits its own mail to this Postfix. */
  readonly submits?: boolean;
}

export interface MailSite {
  readonly postfix: Postfix;
  readonly sidecar: Sidecar;
  readonly dovecot: Dovecot;
  /** Send by SMTP through Postfix. */
  send(from: string, to: readonly string[], raw: string | Buffer): Promise<void>;
  /** {@link drainQueue} of its Postfix. */
  drainQueue(): Promise<void>;
  /** Read with imapflow, through Dovecot or directly (master login). */
  readonly withImap: WithImap;
  stop(): Promise<void>;
}

/** Flush, again and again, and wait until Postfix's queue is empty. */
export async function drainQueue(postfix: Postfix): Promise<void> {
  const end = deadlineAfter(QUEUE_MS);
  const stopFlushing = every(FLUSH_AGAIN_MS, () => postfix.flush());
  try {
    await postfix.flush();
    await postfix.waitQueueEmpty(end);
  } finally {
    stopFlushing();
    end.dispose();
  }
}

export async function startMailSite(options: MailSiteOptions): Promise<MailSite> {
  const {
    users,
    aliases = {},
    postfixSettings = {},
    milterStage,
    submits = false,
    beforeSidecar,
    afterSidecar,
    domain = "example.test",
    ...rest
  } = options;
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const postfix = await startPostfix(
    {
      dir: await folder("p"),
      domains: [domain],
      aliases,
      settings: postfixSettings,
      ...(milterStage === undefined ? {} : { milter: milterStage }),
    },
    deadline,
  );
  const socket = `unix:${postfix.lmtpSocket}`;
  const dir = await folder("s");
  const prepared = (await beforeSidecar?.(dir)) ?? {};
  const toml = [
    submits ? `[outbound]\nsmtp = "inet:127.0.0.1:${postfix.smtpPort}"\n` : "",
    prepared.toml ?? "",
    rest.toml ?? "",
  ].join("");
  const sidecar = await startSidecar({
    ...rest,
    ...prepared,
    toml,
    domain,
    dir,
    lmtpListen: [socket],
    lmtp: `socket_group = "postfix"\n${rest.lmtp ?? ""}`,
    ...(milterStage === undefined
      ? {}
      : {
          milterListen: `unix:${postfix.milterSocket}`,
          milter: `socket_group = "postfix"\n${rest.milter ?? ""}`,
        }),
  });
  const dovecot = await startDovecot(
    {
      dir: await folder("d"),
      mode: {
        kind: "imapc",
        upstream: {
          host: "127.0.0.1",
          port: sidecar.imapPort,
          masterUser: "dovecot",
          masterPassword: sidecar.masterPassword,
        },
      },
      users: users.map(address => ({ address, password: PASSWORD })),
    },
    deadline,
  );
  deadline.dispose();
  return {
    postfix,
    sidecar,
    dovecot,
    async send(from, to, raw) {
      const transport = createTransport({
        host: "127.0.0.1",
        port: postfix.smtpPort,
        secure: false,
        ignoreTLS: true,
      });
      await transport.sendMail({ envelope: { from, to: [...to] }, raw });
      transport.close();
    },
    drainQueue: () => drainQueue(postfix),
    withImap: withImapAt(dovecot, sidecar),
    async stop() {
      await dovecot.stop();
      await postfix.stop();
      await sidecar.stop();
      await afterSidecar?.();
      await scratch.remove();
    },
  };
}
