/** P8, P9 and P11: reading by IMAP, ours against a Dovecot with Maildir, directly and through Dovecot's imapc. */
import type { ReadSite, Side, Way } from "./lib/read-site.ts";
import { interleave, type Measured, ratioOf, report, type Subject, spread } from "./lib/rounds.ts";
import { shareOf } from "./lib/share.ts";

const ROUNDS = shareOf(7);
/** Rounds of a tenth of a second each before bodies are measured: until then our code is compiled. */
const BODY_WARM_UPS = 10;
const SIDES: readonly Side[] = ["mairust", "dovecot"];

/** Who has which mailbox. */
export const TEN_THOUSAND = { reader: 0, messages: shareOf(10_000), sizeBytes: 4096 } as const;
const HUNDRED_THOUSAND = { reader: 1, messages: shareOf(100_000), sizeBytes: 2048, distinct: 1000 } as const;
const BODIES = [
  { name: "4 KB", reader: 0, messages: shareOf(3000), sizeBytes: 4096 },
  { name: "50 KB", reader: 2, messages: shareOf(600), sizeBytes: 51_200 },
  { name: "1 MB", reader: 3, messages: shareOf(60), sizeBytes: 1_048_576 },
] as const;

/** P8: a client that sees a mailbox for the first time, through a Dovecot that sees it for the first time. */
export async function benchFirstSync(site: ReadSite): Promise<void> {
  const { reader, ...set } = TEN_THOUSAND;
  await site.fill(reader, set);
  const firstSync = (side: Side, way: Way): Subject => ({
    name: `${side} ${way}`,
    async run() {
      if (way === "imapc") await site.forgetFront(side, reader);
      return timed(site, side, way, reader, ["SELECT INBOX", "FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)"]);
    },
  });
  for (const way of ["imapc", "direct"] as const) {
    const [ours, dovecot] = await interleave(
      SIDES.map(side => firstSync(side, way)),
      ROUNDS,
    );
    compare(`P8 ${way}`, { unit: "ms", messages: set.messages }, ours, dovecot, {
      must: way === "imapc" ? 1.5 : undefined,
      aim: way === "imapc" ? 1.0 : undefined,
    });
  }
}

/** P9: opening a large mailbox that client and Dovecot know. */
export async function benchFlags(site: ReadSite): Promise<void> {
  const { reader, ...set } = HUNDRED_THOUSAND;
  await site.fill(reader, set);
  for (const way of ["imapc", "direct"] as const) {
    const [ours, dovecot] = await interleave(
      SIDES.map(side => ({
        name: `${side} ${way}`,
        run: () => timed(site, side, way, reader, ["SELECT INBOX", "FETCH 1:* (FLAGS)"]),
      })),
      ROUNDS,
    );
    compare(`P9 ${way}`, { unit: "ms", messages: set.messages }, ours, dovecot, { must: 1.5, aim: 1.0 });
  }
  await benchColdSelect(site);
}

/** What the rows above leave out: the first SELECT of a mailbox after our service started. */
async function benchColdSelect(site: ReadSite): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await site.sidecar.stop();
    await site.sidecar.restart();
    times.push(await timed(site, "mairust", "direct", HUNDRED_THOUSAND.reader, ["SELECT INBOX"]));
  }
  report("P9 first SELECT after a start", {
    unit: "ms",
    messages: HUNDRED_THOUSAND.messages,
    mairust: spread(times),
  });
}

/** P11: whole messages, one FETCH for all. */
export async function benchBodies(site: ReadSite): Promise<void> {
  await site.fill(TEN_THOUSAND.reader, TEN_THOUSAND);
  for (const { name, reader, messages, sizeBytes } of BODIES) {
    await site.fill(reader, { messages, sizeBytes });
    for (const way of ["direct", "imapc"] as const) {
      const [ours, dovecot] = await interleave(
        SIDES.map(side => download(site, side, way, reader, messages)),
        ROUNDS,
        BODY_WARM_UPS,
      );
      report(`P11 ${name} ${way}`, {
        unit: "MB/s",
        messages,
        size_bytes: sizeBytes,
        mairust: ours,
        dovecot,
        ...ratioOf(ours, dovecot),
        ...(way === "direct" ? { must: 0.5, aim: 1.0 } : {}),
      });
    }
  }
}

function download(site: ReadSite, side: Side, way: Way, reader: number, messages: number): Subject {
  return {
    name: `${side} ${way}`,
    async run() {
      const client = await site.open(side, way, reader);
      try {
        await client.command("SELECT INBOX");
        const { octets, ms } = await client.command(`FETCH 1:${messages} (BODY.PEEK[])`);
        return octets / 1000 / ms;
      } finally {
        await client.end();
      }
    },
  };
}

/** Milliseconds of all commands on a new connection, its login not counted. */
async function timed(
  site: ReadSite,
  side: Side,
  way: Way,
  reader: number,
  commands: readonly string[],
): Promise<number> {
  const client = await site.open(side, way, reader);
  try {
    let ms = 0;
    for (const command of commands) ms += (await client.command(command)).ms;
    return ms;
  } finally {
    await client.end();
  }
}

function compare(
  row: string,
  facts: Readonly<Record<string, unknown>>,
  ours: Measured | undefined,
  dovecot: Measured | undefined,
  limits: Readonly<Record<string, unknown>>,
): void {
  report(row, { ...facts, mairust: ours, dovecot, ...ratioOf(ours, dovecot), ...limits });
}
