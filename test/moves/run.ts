/**
 * Accounts from Dovecot into the service and on into Dovecot, under kills: `npm run moves -- [--accounts 20] [--messages 20000]
 * [--kills 50] [--within 3000] [--seed N]`. Needs root and Dovecot. Prints one JSON line per step; exit code 1 when a message is lost,
 * twice or different. The short form is `test/system/transfer-imap.test.ts`.
 */
import { parseArgs } from "node:util";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import {
  assertMoved,
  exportArgs,
  fillSources,
  importArgs,
  moveUnderKills,
  startMoves,
  verifyArgs,
} from "../lib/imap-moves.ts";
import { SeededRandom } from "../lib/random.ts";

const { values } = parseArgs({
  options: {
    accounts: { type: "string", default: "20" },
    messages: { type: "string", default: "20000" },
    kills: { type: "string", default: "50" },
    /** Milliseconds within which each kill comes. */
    within: { type: "string", default: "3000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const seed = Number(values.seed);
const kills = Number(values.kills);
const random = new SeededRandom(seed);
const line = (step: string, result: object) =>
  process.stdout.write(`${JSON.stringify({ step, ...result })}\n`);

const scratch = await makeScratch();
const moves = await startMoves(scratch.dir, Number(values.accounts));
try {
  const made = fillSources(moves, Number(values.messages), seed);
  line("filled", { seed, accounts: moves.accounts.length, messages: made });
  const within = Number(values.within);
  const imported = await moveUnderKills(moves, importArgs(moves), Math.floor(kills / 2), within, random);
  line("import", { ...imported, perSecond: Math.round(made / imported.seconds) });
  const checked = await moves.sidecar.mairust(verifyArgs(moves));
  line("verify", { equal: checked.code === 0, says: checked.stderr.trim() });
  if (checked.code !== 0) process.exitCode = 1;
  const exported = await moveUnderKills(moves, exportArgs(moves), Math.ceil(kills / 2), within, random);
  line("export", { ...exported, perSecond: Math.round(made / exported.seconds) });
  line("compared", { messages: await assertMoved(moves) });
  const again = await moveUnderKills(moves, exportArgs(moves), 0, 0, random);
  line("again", { copied: again.copied, seconds: again.seconds });
  if (again.copied !== 0) process.exitCode = 1;
} catch (error) {
  process.exitCode = 1;
  line("failed", { error: error instanceof Error ? error.message : String(error) });
} finally {
  await moves.stop();
  await scratch.remove();
}
