/** Rows `sort` and `sort-large`: SORT and THREAD, ours against a Dovecot with Maildir; the warm-up is the first time, the rounds are a mailbox that both know. */
import { TEN_THOUSAND } from "./imap.ts";
import type { DataSet } from "./lib/fill.ts";
import type { ReadSite, Side } from "./lib/read-site.ts";
import { interleave, ratioOf, report, type Subject } from "./lib/rounds.ts";

const ROUNDS = 5;
const SIDES: readonly Side[] = ["mairust", "dovecot"];
const COMMANDS = [
  "SORT (DATE) UTF-8 ALL",
  "SORT (SUBJECT) UTF-8 ALL",
  "THREAD REFERENCES UTF-8 ALL",
] as const;

export const SORT_ROWS: Readonly<Record<string, Omit<DataSet, "address"> & { readonly reader: number }>> = {
  sort: TEN_THOUSAND,
  "sort-large": { reader: 1, messages: 100_000, sizeBytes: 2048, distinct: 1000 },
};

export async function benchSort(site: ReadSite, row: string): Promise<void> {
  const { reader, ...set } = SORT_ROWS[row] ?? TEN_THOUSAND;
  await site.fill(reader, set);
  for (const command of COMMANDS) {
    const subjects = SIDES.map(side => answering(site, side, reader, command));
    const [ours, dovecot] = await interleave(subjects, ROUNDS);
    report(`${row} ${command.split(" UTF", 1)[0]}`, {
      unit: "ms",
      messages: set.messages,
      mairust: ours,
      dovecot,
      ...ratioOf(ours, dovecot),
    });
  }
}

function answering(site: ReadSite, side: Side, reader: number, command: string): Subject {
  return {
    name: side,
    async run() {
      const client = await site.open(side, "direct", reader);
      try {
        await client.command("SELECT INBOX");
        return (await client.command(command)).ms;
      } finally {
        await client.end();
      }
    },
  };
}
