/** The row imap-crowd: 500 sessions in IDLE and 50 that read, on one mailbox of 10 000 messages, while mail arrives; in the clear and by TLS. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort, makeScratch } from "../../src/mailhost/scratch.ts";
import { sleep } from "../../src/platform/deadline.ts";
import { makeCertificate } from "../lib/certificate.ts";
import { imapCrowd } from "../lib/imap-crowd.ts";
import { startSidecar } from "../lib/sidecar.ts";
import { fillOurs } from "./lib/fill.ts";
import { memoryOf } from "./lib/process-memory.ts";
import { report } from "./lib/rounds.ts";
import { address } from "./lib/targets.ts";

const MESSAGES = 10_000;
const IDLE = 500;
const READING = 50;
const DELIVERIES = 60;
const PAUSE_MS = 250;
/** Time for the garbage of the logins to go. */
const SETTLE_MS = 5_000;

export async function benchImapCrowd(): Promise<void> {
  const scratch = await makeScratch();
  const folder = join(scratch.dir, "tls");
  mkdirSync(folder);
  const { path, keyPath } = makeCertificate(folder, "localhost");
  const tlsPort = await freePort();
  const sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    logLevel: "warn",
    imap: `connections_per_user = 2000\nclient_listen = ["tls:127.0.0.1:${tlsPort}"]`,
    toml: `[tls]\ncert_file = "${path}"\nkey_file = "${keyPath}"`,
  });
  try {
    await fillOurs(sidecar, { address: address(0), messages: MESSAGES, sizeBytes: 4096 });
    for (const tls of [false, true]) {
      // What filling left in its heap would hide what the sessions need.
      await sidecar.stop();
      await sidecar.restart();
      const crowd = await imapCrowd({
        imap: { port: tls ? tlsPort : sidecar.imapPort, tls },
        lmtpPort: sidecar.lmtpPort,
        login: { user: "dovecot", password: sidecar.masterPassword },
        address: address(0),
        ...{ idle: IDLE, reading: READING, deliveries: DELIVERIES, pauseMs: PAUSE_MS },
        memory: async () => {
          await sleep(SETTLE_MS);
          return memoryOf(sidecar.pid).pss;
        },
      });
      report(`imap-crowd ${tls ? "TLS" : "plain"}`, {
        ...{ messages: MESSAGES, ...crowd },
        ...{ must: { max_ms: 1000, perIdleMiB: 0.7, missed: 0 }, aim: { perIdleMiB: 0.2 } },
      });
    }
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
}
