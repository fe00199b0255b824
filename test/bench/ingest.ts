/** P1–P3: durable LMTP ingest, ours against Dovecot LMTP → maildir. */
import { indexing } from "./lib/indexed.ts";
import { lmtpLoad } from "./lib/lmtp-load.ts";
import { interleave, ratioOf, report, type Subject } from "./lib/rounds.ts";
import { address, startTargets } from "./lib/targets.ts";

interface IngestRow {
  readonly row: string;
  readonly sizeBytes: number;
  readonly recipients: number;
  readonly messages: number;
  readonly must: number;
}

const SESSIONS = 10;
const ROUNDS = 5;
/** V8 compiles over the first ten thousand messages. */
const WARM_UPS = 4;

export const INGEST_ROWS: readonly IngestRow[] = [
  { row: "P1", sizeBytes: 4096, recipients: 1, messages: 2000, must: 1.5 },
  { row: "P2 50 KB", sizeBytes: 51_200, recipients: 1, messages: 600, must: 1.3 },
  { row: "P2 1 MB", sizeBytes: 1_048_576, recipients: 1, messages: 100, must: 1.0 },
  { row: "P3", sizeBytes: 4096, recipients: 10, messages: 300, must: 5 },
];

export async function benchIngest(rows: readonly IngestRow[]): Promise<void> {
  const targets = await startTargets();
  const indexed = indexing(targets.sidecar);
  try {
    for (const row of rows) {
      const [ours, dovecot] = await interleave(
        [
          {
            ...load("mairust", `inet:127.0.0.1:${targets.sidecar.lmtpPort}`, row),
            settle: () => indexed(row.messages),
          },
          load("dovecot", `inet:127.0.0.1:${targets.dovecot.lmtpPort ?? 0}`, row),
        ],
        ROUNDS,
        WARM_UPS,
      );
      report(row.row, {
        unit: "messages/s",
        sessions: SESSIONS,
        size_bytes: row.sizeBytes,
        recipients: row.recipients,
        mairust: ours,
        dovecot,
        ...ratioOf(ours, dovecot),
        must: row.must,
      });
    }
  } finally {
    await targets.stop();
  }
}

function load(name: string, target: string, { row, sizeBytes, recipients, messages }: IngestRow): Subject {
  return {
    name,
    async run(round) {
      const result = await lmtpLoad({
        target,
        sessions: SESSIONS,
        messages,
        sizeBytes,
        recipients: i => Array.from({ length: recipients }, (_, r) => address(i * recipients + r)),
        // Another sender each round, so that no message is a redelivery of an earlier one.
        sender: `${row.replace(/\W/gu, "")}.round${round + WARM_UPS}@load.example`,
      });
      if (result.failures > 0)
        throw new Error(`${name}: ${result.failures} failures, first: ${result.firstFailure}`);
      return result.perSecond;
    },
  };
}
