/**
 * `import maildir`: a Maildir into an account of the running service. Runs in the command's process, as the user who called it.
 *
 * Messages and what is remembered of them are stored in one transaction of the service, so the command and the service may be killed
 * at any time: the next run goes on. Nothing is written at the source. What fails is counted with its reason; only a source that
 * cannot be read at all, and a service that is away, end the run.
 */
import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { ImportReport } from "../wire/api/transfer.ts";
import type { ImportOptions } from "../wire/transfer-calls.ts";
import { planFolders } from "./folder-names.ts";
import { type FolderPlan, type ImportRun, importFolder } from "./import-folder.ts";
import { ImportTally } from "./import-tally.ts";
import { errnoOf, type MaildirTree, readMaildirTree } from "./maildir-folders.ts";

/**
 * @throws {MairustError} `not_found`, `data_invalid`, `not_permitted`: the source; and what the calls throw
 */
export async function importMaildir(options: ImportOptions): Promise<ImportReport> {
  const started = performance.now();
  const tree = await readMaildirTree(options.folder, options.layout);
  const tally = new ImportTally(await countMessages(tree), options.onProgress);
  tally.notes.push(...tree.notes);
  const source = await realpath(options.folder);
  const begun = await options.calls.start(
    { account: options.account, kind: "maildir", source },
    options.dryRun,
  );
  const run = { options, id: begun.id ?? 0, account: begun.account, tally, exact: tree.marker !== undefined };
  for (const folder of planTree(tree, options)) await importOne(run, folder);
  const report = tally.report((performance.now() - started) / 1000);
  if (!options.dryRun) await options.calls.finish(run.id, { state: stateOf(report), report });
  return report;
}

function planTree(tree: MaildirTree, options: ImportOptions): readonly FolderPlan[] {
  const plans = planFolders(
    tree.folders.map(folder => folder.name),
    options.maps,
  );
  return tree.folders.flatMap((folder, i) => {
    const plan = plans[i];
    const subscribe = folder.name === "INBOX" || (tree.subscriptions?.has(folder.name) ?? true);
    return plan === undefined ? [] : [{ folder, plan, subscribe }];
  });
}

async function importOne(run: ImportRun, folder: FolderPlan): Promise<void> {
  try {
    await importFolder(run, folder);
  } catch (error) {
    const isUnreadable = ["EACCES", "EPERM", "EIO", "ENOTDIR"].includes(errnoOf(error));
    // Anything but a folder that this user may not read, or that the service cannot take, ends the run.
    if (!isUnreadable && !run.options.calls.isPoison(error)) throw error;
    const reason = isUnreadable ? "folder_unreadable" : "folder_refused";
    const { name, dir } = folder.folder;
    run.tally.mailbox(name, folder.plan.target).failed(reason, dir, messageOf(error));
  }
}

export function stateOf(report: ImportReport): "done" | "changed" | "failed" {
  if (Object.keys(report.failed).length > 0) return "failed";
  return report.changed ? "changed" : "done";
}

/** Only for the progress bar. */
async function countMessages(tree: MaildirTree): Promise<number> {
  let total = 0;
  for (const { dir } of tree.folders)
    for (const sub of ["cur", "new"]) total += (await readdir(join(dir, sub)).catch(() => [])).length;
  return total;
}
