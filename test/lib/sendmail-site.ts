/**
 * A private sendmail 8.17 in front of a milter: SMTP on a loopback port, one input mail filter, and everything it accepts goes on by
 * SMTP to a sink of the test. Own configuration, written by hand, own queue; nothing of the host's mail system is read.
 *
 * Sources: sendmail's doc/op/op.ps (configuration file), libmilter/README, cf/m4/proto.m4
 */
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Deadline } from "../../src/core/deadline.ts";
import { Daemon, readLogLines } from "../../src/mailhost/daemon.ts";
import { checkMailhostDir, freePort } from "../../src/mailhost/scratch.ts";
import type { Peer } from "./peers.ts";

export interface SendmailOptions {
  readonly peer: Peer;
  /** Empty folder for it alone. */
  readonly dir: string;
  /** As sendmail writes it: `unix:/path` or `inet:port@127.0.0.1`. */
  readonly milter: string;
  /** Where accepted mail goes. */
  readonly sinkPort: number;
  /** Longest silence of the filter. At the end of a message signs of life count, but for 30 s at most. */
  readonly readSeconds?: number;
}

export interface Sendmail {
  readonly smtpPort: number;
  /** Its debugging output about the milter. */
  trace(): Promise<readonly string[]>;
  /** Control files of its queue whose names begin with these letters: `qf` queued, `hf` quarantined. */
  queued(kind: "qf" | "hf"): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** @throws {MairustError} `invalid_state`: it did not start */
export async function startSendmail(options: SendmailOptions, deadline: Deadline): Promise<Sendmail> {
  const { peer, dir } = options;
  await checkMailhostDir(dir);
  const smtpPort = await freePort();
  const queue = join(dir, "q");
  const traceFile = join(dir, "trace.log");
  await mkdir(queue);
  await chmod(queue, 0o700);
  const write = (name: string, text: string) => writeFile(join(dir, name), text, { mode: 0o644 });
  await write("hosts", "127.0.0.1 mx.a.test localhost\n");
  await write("service.switch", "hosts files\naliases files\n");
  await write("sendmail.cf", configuration(options, smtpPort));
  const daemon = await Daemon.start(
    {
      name: "sendmail",
      // Each program becomes the next: the process id stays.
      file: "/usr/bin/env",
      args: [
        `LD_LIBRARY_PATH=${peer.libraries}`,
        ...(await ownHostName()),
        peer.program,
        // In the foreground, and without queue runs.
        "-bD",
        ...["-C", join(dir, "sendmail.cf")],
        ...["-D", traceFile, "-d64.5"],
      ],
      logFile: traceFile,
      port: smtpPort,
      greeting: "220 ",
    },
    deadline,
  );
  return {
    smtpPort,
    trace: () => readLogLines(traceFile),
    async queued(kind) {
      const names = (await readdir(queue)).filter(name => name.startsWith(kind));
      return Promise.all(names.map(name => readFile(join(queue, name), "latin1")));
    },
    stop: () => daemon.stop(),
  };
}

/**
 * Before it reads any file sendmail asks for this host's full name, and sleeps for a minute where there is none. Where a namespace is not
 * allowed it gets that minute.
 */
async function ownHostName(): Promise<readonly string[]> {
  const own = ["unshare", "--uts", "sh", "-c", 'hostname mx.a.test && exec "$@"', "sh"];
  const { failed } = await execa("/usr/bin/env", [...own, "true"], { reject: false });
  return failed ? [] : own;
}

function configuration(
  { dir, milter, sinkPort, readSeconds = 10 }: SendmailOptions,
  smtpPort: number,
): string {
  return `V10/Berkeley
Cwlocalhost mx.a.test
Djmx.a.test
DnMAILER-DAEMON
O QueueDirectory=${dir}/q
O PidFile=${dir}/pid
O HostsFile=${dir}/hosts
O ServiceSwitchFile=${dir}/service.switch
# All of it lies below /tmp.
O DontBlameSendmail=TrustStickyBit
O DefaultUser=65534:65534
O DeliveryMode=interactive
# On a machine with much to do it would only queue what is large, and refuse connections.
O QueueLA=1000000
O RefuseLA=1000000
O DaemonPortOptions=Name=inbound,Family=inet,Addr=127.0.0.1,Port=${smtpPort}
O Timeout.ident=0
O SevenBitInput=False
O EightBitMode=pass8
O PrivacyOptions=authwarnings
O InputMailFilters=mairust
Xmairust, S=${milter}, F=T, T=C:5s;S:10s;R:${readSeconds}s;E:30s
Pfirst-class=0
Troot
HReceived: $?sfrom $s $.by $j with $r id $i; $b
S3
R$* < $* > $*	$2
S0
R$+	$#sink $@ [127.0.0.1] $: $1
Msink, P=[IPC], F=kmu8, S=0, R=0, E=\\r\\n, L=0, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] ${sinkPort}
Mlocal, P=[IPC], F=kmu8, S=0, R=0, E=\\r\\n, L=0, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] ${sinkPort}
Mprog, P=/bin/false, F=, A=false
`;
}
