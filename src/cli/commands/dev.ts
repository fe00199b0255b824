/** `mairust dev` and `mairust demo`: everything on this host, for looking at it. */
import { loadConfig } from "../../platform/config/load.ts";
import type { CommandContext } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { bold } from "../output.ts";
import { runService } from "../run-service.ts";
import type { ServiceHandle, Site, Terminal } from "../standalone.ts";
import { timelineLines } from "../timeline.ts";

const DEFAULT_DOMAIN = "example.test";
/** Ten recipients make twenty events that say the same. */
const SHOWN_PER_KIND = 2;

export async function dev({ options, load, standalone, terminal }: CommandContext): Promise<number> {
  const domain = options.text("domain") ?? DEFAULT_DOMAIN;
  // Quiet, so that what to do next stays in sight; `-o log.level=info` shows all.
  const site = await standalone.devSite({ dir: options.text("dataDir"), domain, logLevel: "warn" });
  const reread = () => loadConfig({ ...load, configFile: site.configFile });
  try {
    const loaded = await reread();
    const service = await standalone.compose(loaded, { reread });
    const signals = standalone.signals();
    try {
      return await runService(service, signals, {
        reread,
        drainMs: loaded.config.drain_timeout_s * 1000,
        onStarted: () => printGuide(terminal, service, site, domain),
      });
    } finally {
      signals.release();
    }
  } finally {
    if (options.has("keep")) terminal.err(`the data stays in ${site.dir}\n`);
    else await site.remove();
  }
}

function printGuide(terminal: Terminal, service: ServiceHandle, site: Site, domain: string): void {
  const listeners = service.addresses().map(({ name, address }) => `  ${name.padEnd(6)} ${address}\n`);
  const user = `taro@${domain}`;
  terminal.err(
    [
      `\n${bold(terminal, "mairust runs")}, with everything in ${site.dir}\n`,
      ...listeners,
      `  IMAP for any user: AUTHENTICATE PLAIN as ${site.masterUser}, password ${site.masterPassword}\n`,
      "\nTry, in another terminal: send, find, read as a mail client would, ask what happened\n",
      `  export MAIRUST_CONFIG=${site.configFile}\n`,
      `  npx mairust selftest --to ${user}\n`,
      `  npx mairust msg search account:${user}\n`,
      `  ${curlOf(service, site, user)}\n`,
      `  npx mairust explain $(npx mairust msg search account:${user} -f tab --limit 1 | awk '{print $NF}')\n`,
      "\nCtrl-C ends it.\n",
    ].join(""),
  );
}

/** Reads the first message of INBOX, logged in as Dovecot does. */
function curlOf(service: ServiceHandle, site: Site, user: string): string {
  const imap = service
    .addresses()
    .find(({ name }) => name === "imap")
    ?.address.replace(/^inet:/u, "");
  return `curl 'imap://${imap}/INBOX;MAILINDEX=1' --login-options AUTH=PLAIN --sasl-authzid ${user} -u '${site.masterUser}:${site.masterPassword}'`;
}

export async function demo({ options, standalone, terminal }: CommandContext): Promise<number> {
  const isDone = await standalone.demo({
    once: options.has("once"),
    say: text => terminal.out(`${text}\n`),
    showTimeline: timeline => {
      for (const line of timelineLines(terminal, timeline, SHOWN_PER_KIND)) terminal.out(`  ${line}\n`);
    },
    signals: () => standalone.signals(),
  });
  return isDone ? EXIT.ok : EXIT.failed;
}
