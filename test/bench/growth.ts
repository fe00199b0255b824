/**
 * P13: what a store of a million messages costs against one of ten thousand. Two services, the same but for the size of one mailbox, are
 * measured by turns. The mailbox is one of fifty that mail comes into.
 */
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";
import { fillOurs, withStore } from "./lib/fill.ts";
import { growMailbox } from "./lib/grow.ts";
import { ImapLoad } from "./lib/imap-load.ts";
import { lmtpLoad } from "./lib/lmtp-load.ts";
import { interleave, ratioOf, report, type Subject, spread } from "./lib/rounds.ts";
import { shareOf } from "./lib/share.ts";
import { address } from "./lib/targets.ts";

const SMALL = shareOf(10_000);
const LARGE = shareOf(1_000_000);
/** Real deliveries, which the rest repeats. */
const DELIVERED = SMALL;
const DISTINCT = 1000;
const SIZE_BYTES = 4096;
const ROUNDS = 5;
const SESSIONS = 10;
const INGESTED = shareOf(2000);
const WARM_UPS = 2;
const LAST = 50;
/** Openings in one round of the row: one takes two milliseconds, and code is compiled for a hundred of them after a start. */
const OPENINGS = 100;
const LIMITS = { must: 0.8, aim: 0.95 } as const;

interface Grown {
  readonly name: string;
  readonly messages: number;
  readonly sidecar: Sidecar;
}

export async function benchGrowth(): Promise<void> {
  const scratch = await makeScratch();
  const sites: Grown[] = [];
  try {
    for (const messages of [SMALL, LARGE]) {
      const name = String(messages);
      const sidecar = await startSidecar({ dir: join(scratch.dir, name), logLevel: "warn" });
      sites.push({ name, messages, sidecar });
      await fillOurs(sidecar, {
        address: address(0),
        messages: DELIVERED,
        sizeBytes: SIZE_BYTES,
        distinct: DISTINCT,
      });
      await withStore(sidecar, db => growMailbox(db, address(0), messages));
    }
    await benchFirstSelect(sites);
    await benchLast(sites);
    await benchAllFlags(sites);
    await benchIngestGrown(sites);
  } finally {
    for (const { sidecar } of sites) await sidecar.stop();
    await scratch.remove();
  }
}

/** Higher is better: the ratio is that of the large one's rate to the small one's. */
async function benchIngestGrown(sites: readonly Grown[]): Promise<void> {
  await reportGrown("P13 ingest", "messages/s", sites, ({ sidecar }) => async round => {
    const result = await lmtpLoad({
      target: `inet:127.0.0.1:${sidecar.lmtpPort}`,
      sessions: SESSIONS,
      messages: INGESTED,
      sizeBytes: SIZE_BYTES,
      recipients: i => [address(i)],
      sender: `p13.round${round + WARM_UPS}@load.example`,
    });
    if (result.failures > 0) throw new Error(`${result.failures} failures, first: ${result.firstFailure}`);
    return result.perSecond;
  });
}

/** A client that comes back: SELECT, and what the list on its screen shows. */
async function benchLast(sites: readonly Grown[]): Promise<void> {
  await reportGrown(
    "P13 SELECT and the last 50",
    "openings/s",
    sites,
    ({ sidecar, messages }) =>
      async () => {
        let ms = 0;
        for (let i = 0; i < OPENINGS; i++) {
          ms += await timed(sidecar, [
            "SELECT INBOX",
            `FETCH ${messages - LAST + 1}:${messages} (UID FLAGS ENVELOPE)`,
          ]);
        }
        return (OPENINGS * 1000) / ms;
      },
  );
}

/** All flags of all messages, as imapc asks on every open: the rate per message may not fall. */
async function benchAllFlags(sites: readonly Grown[]): Promise<void> {
  await reportGrown(
    "P13 SELECT and FETCH 1:* (FLAGS)",
    "messages/s",
    sites,
    ({ sidecar, messages }) =>
      async () =>
        (messages * 1000) / (await timed(sidecar, ["SELECT INBOX", "UID FETCH 1:* (FLAGS)"])),
  );
}

/** Without a limit of its own: a snapshot is read once after the start, and must grow with the mailbox. */
async function benchFirstSelect(sites: readonly Grown[]): Promise<void> {
  for (const { sidecar, messages } of sites) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await sidecar.stop();
      await sidecar.restart();
      times.push(await timed(sidecar, ["SELECT INBOX"]));
    }
    report("P13 first SELECT after a start", { unit: "ms", messages, mairust: spread(times) });
  }
}

async function reportGrown(
  row: string,
  unit: string,
  sites: readonly Grown[],
  run: (site: Grown) => Subject["run"],
): Promise<void> {
  const subjects = sites.map(site => ({ name: site.name, run: run(site) }));
  const [small, large] = await interleave(subjects, ROUNDS, WARM_UPS);
  report(row, { unit, small, large, ...ratioOf(large, small), ...LIMITS });
}

async function timed(sidecar: Sidecar, commands: readonly string[]): Promise<number> {
  const user = { user: "dovecot", password: sidecar.masterPassword, as: address(0) };
  const client = await ImapLoad.open(sidecar.imapPort, user);
  try {
    let ms = 0;
    for (const command of commands) ms += (await client.command(command)).ms;
    return ms;
  } finally {
    await client.end();
  }
}
