/**
 * `import imap`: an account of another IMAP server into one of the running service. Runs in the command's process. Nothing is changed
 * there (EXAMINE, BODY.PEEK[]).
 *
 * State is with the service: each message by UIDVALIDITY and UID of its folder, and by its digest, in the transaction that stores it.
 * So command and service may be killed at any time. A message that the source cannot give is counted with its reason.
 */
import { createHash } from "node:crypto";
import { MairustError, messageOf } from "../core/errors.ts";
import { rateLimit } from "../platform/rate.ts";
import type { ImportReport } from "../wire/api/transfer.ts";
import type { ImapImportOptions } from "../wire/transfer-calls.ts";
import { planFolders } from "./folder-names.ts";
import { explainImap, type ImapMailbox, replyOf, sourceName } from "./imap-login.ts";
import { isReply } from "./imap-pages.ts";
import { ConnectionLost, ImapSession } from "./imap-session.ts";
import { stateOf } from "./import.ts";
import { type ImapFolderPlan, type ImapImportRun, importImapFolder } from "./import-imap-folder.ts";
import { ImportTally } from "./import-tally.ts";

/** @throws {MairustError} `auth_failed`, `store_unavailable`: the source; and what the calls throw */
export async function importImap(options: ImapImportOptions): Promise<ImportReport> {
  const started = performance.now();
  const session = await ImapSession.connect(options.there);
  try {
    const boxes = await session.list(true);
    const total = boxes.reduce((sum, box) => sum + box.messages, 0);
    const tally = new ImportTally(total, options.onProgress);
    const source = sourceName(options.there);
    const begun = await options.calls.start(
      { account: options.account, kind: "imap", source },
      options.dryRun,
    );
    const rate = options.rate ?? rateLimit(options.bytesPerSecond);
    const run = { options, id: begun.id ?? 0, account: begun.account, tally, session, rate };
    for (const folder of planBoxes(boxes, options)) await importOne(run, folder);
    const report = tally.report((performance.now() - started) / 1000);
    if (!options.dryRun) await options.calls.finish(run.id, { state: stateOf(report), report });
    return report;
  } catch (error) {
    if (isReply(error) || error instanceof ConnectionLost) throw explainImap(error, options.there, "import");
    throw error;
  } finally {
    await session.close();
  }
}

function planBoxes(boxes: readonly ImapMailbox[], options: ImapImportOptions): readonly ImapFolderPlan[] {
  const uses = new Map(boxes.flatMap(box => (box.use === undefined ? [] : [[box.name, box.use] as const])));
  const names = boxes.map(box => box.name);
  const plans = planFolders(names, options.maps, uses);
  return boxes.flatMap((box, i) => {
    const plan = plans[i];
    if (plan === undefined) return [];
    // Names differ in each of these, and a source's key has to fit.
    const where = createHash("sha256")
      .update(`${sourceName(options.there)}\0${box.path}`)
      .digest("hex");
    return [{ box, plan, where: where.slice(0, 24) }];
  });
}

async function importOne(run: ImapImportRun, folder: ImapFolderPlan): Promise<void> {
  try {
    await importImapFolder(run, folder);
  } catch (error) {
    const isChanged = error instanceof MairustError && error.code === "invalid_state";
    // Anything but a folder that cannot be opened, or that the service cannot take, ends the run.
    if (!isReply(error) && !isChanged && !run.options.calls.isPoison(error)) throw error;
    if (isChanged) run.tally.changed = true;
    const reason = isReply(error) ? "folder_unreadable" : isChanged ? "folder_changed" : "folder_refused";
    const detail = isReply(error) ? replyOf(error) : messageOf(error);
    run.tally.mailbox(folder.box.name, folder.plan.target).failed(reason, folder.box.path, detail);
  }
}
