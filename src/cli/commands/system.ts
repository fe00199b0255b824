/** `mairust reload`, `mairust readyz`: the running service itself. */
import { sleep } from "../../platform/deadline.ts";
import type { ReadinessBody, ReloadBody } from "../../wire/api/system.ts";
import { type Client, connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { wholeOption } from "../numbers.ts";
import { type Column, printRows } from "../output.ts";

type Check = ReadinessBody["checks"][number];

const CHECK_COLUMNS: readonly Column<Check>[] = [
  { title: "CHECK", value: c => c.name },
  { title: "STATUS", value: c => c.status },
  { title: "REASON", value: c => c.reason, min: 30 },
];

interface ChangedKey {
  readonly key: string;
  readonly effect: "applied" | "needs a restart";
}

const CHANGED_COLUMNS: readonly Column<ChangedKey>[] = [
  { title: "KEY", value: c => c.key },
  { title: "EFFECT", value: c => c.effect },
];

export async function reload({ terminal, format, options, load }: CommandContext): Promise<void> {
  const dryRun = options.has("dryRun");
  const { client } = await connect(load);
  const { body } = await client.post<ReloadBody>("/api/v1/admin/reload", { query: { dry_run: dryRun } });
  const changed: readonly ChangedKey[] = [
    ...body.applied.map(key => ({ key, effect: "applied" as const })),
    ...body.need_restart.map(key => ({ key, effect: "needs a restart" as const })),
  ];
  if (changed.length === 0) terminal.err("nothing changed\n");
  else printRows(terminal, format, changed, CHANGED_COLUMNS);
}

/** Time between two questions of `--wait`. */
const POLL_MS = 200;
/** Longest `--timeout`. */
const MAX_WAIT_S = 86_400;

export async function readyz({ terminal, format, options, load }: CommandContext): Promise<number> {
  const timeoutS = wholeOption(options, "timeout", 60, { min: 1, max: MAX_WAIT_S });
  const { client } = await connect(load);
  const endsAt = performance.now() + timeoutS * 1000;
  for (;;) {
    const isLast = !options.has("wait") || performance.now() + POLL_MS >= endsAt;
    const readiness = await ask(client, isLast);
    if (readiness !== undefined && (readiness.ready || isLast)) {
      printRows(terminal, format, readiness.checks, CHECK_COLUMNS);
      return readiness.ready ? EXIT.ok : EXIT.failed;
    }
    await sleep(POLL_MS);
  }
}

/** @returns undefined while the service is away, unless this is the last try */
async function ask(client: Client, isLast: boolean): Promise<ReadinessBody | undefined> {
  try {
    return (await client.get<ReadinessBody>("/readyz", { accept: [503] })).body;
  } catch (error) {
    const isAway = error instanceof CommandError && error.exitCode === EXIT.serviceAway;
    if (isLast || !isAway) throw error;
    return undefined;
  }
}
