/**
 * A mail host that has been there for long, for tests of the way through the stages: private Postfix and Dovecot with mail, and a sidecar
 * beside them that nobody has told them of yet.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { type CommandResult, type Sidecar, startSidecar } from "./sidecar.ts";
import { markPlugin } from "./walk-plugin.ts";
import type { Auth } from "./walk-reader.ts";

const START_MS = 90_000;
export const DOMAIN = "walk.test";
const PASSWORD = "secret";
const MASTER = { address: "admin", password: "master secret" };

export interface WalkSite {
  readonly postfix: Postfix;
  readonly dovecot: Dovecot;
  readonly sidecar: Sidecar;
  /** Dovecot's, as an operator names it. */
  readonly hop: string;
  /** What both servers say of their configuration. */
  configuration(): Promise<string>;
  user(address: string): Auth;
  /** Who sees the mail that Dovecot keeps. */
  master(address: string): Auth;
  /** At the sidecar itself. */
  copy(address: string): Auth;
  /** Options of commands that read or change both servers. */
  readonly places: readonly string[];
  /** Options of commands that log in at Dovecot for all accounts. */
  readonly login: readonly string[];
  readonly imapUrl: string;
  writeFile(name: string, text: string): Promise<string>;
  mairust(...args: readonly string[]): Promise<CommandResult>;
  stop(): Promise<void>;
}

export async function startWalkSite(accounts: readonly string[]): Promise<WalkSite> {
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const users = accounts.map(address => ({ address, password: PASSWORD }));
  const dovecot = await startDovecot(
    { dir: await folder("d"), mode: { kind: "maildir", master: MASTER }, users },
    deadline,
  );
  const hop = `inet:127.0.0.1:${dovecot.lmtpPort}`;
  const settings = { virtual_transport: `lmtp:${hop}`, lmtp_tls_security_level: "none" };
  const postfix = await startPostfix(
    { dir: await folder("p"), domains: [DOMAIN], bare: true, settings },
    deadline,
  );
  const sidecar = await startSidecar({
    dir: await folder("s"),
    domain: "own.test",
    lmtpListen: [`unix:${postfix.lmtpSocket}`],
    // How long mail may be under way: the way down from store waits for it.
    lmtp: `socket_group = "postfix"\nchain_timeout_ms = 5000\n`,
    milterListen: `unix:${postfix.milterSocket}`,
    milter: `socket_group = "postfix"\n`,
    toml: markPlugin(await folder("plugins")),
  });
  deadline.dispose();
  const password = join(scratch.dir, "master-password");
  await writeFile(password, `${MASTER.password}\n`, { mode: 0o600 });
  return {
    postfix,
    dovecot,
    sidecar,
    hop,
    async configuration() {
      const parts = [await postfix.run("postconf", ["-n"]), await postfix.run("postconf", ["-M"])];
      return [...parts, await postfix.run("doveconf", ["-c", dovecot.configFile, "-n"])].join("\n");
    },
    user: user => ({ user, pass: PASSWORD }),
    master: authzid => ({ user: MASTER.address, pass: MASTER.password, authzid }),
    copy: authzid => ({ user: "dovecot", pass: sidecar.masterPassword, authzid }),
    places: [
      ...["--postfix-dir", postfix.configDir, "--dovecot-config", dovecot.configFile],
      ...["--backup", join(scratch.dir, "backup")],
    ],
    login: ["--master-user", MASTER.address, "--password-file", password],
    imapUrl: `imap://127.0.0.1:${dovecot.imapPort}`,
    async writeFile(name, text) {
      await writeFile(join(scratch.dir, name), text);
      return join(scratch.dir, name);
    },
    mairust: (...args) => sidecar.mairust(args),
    async stop() {
      await postfix.stop();
      await sidecar.stop();
      await dovecot.stop();
      await scratch.remove();
    },
  };
}
