/**
 * `export maildir`: an account of the running service into a Maildir++ that Dovecot can serve with the same UIDs. Runs in the command's
 * process. Safe to kill: the next run into the same folder adds what is missing. Files are never removed.
 *
 * Bytes are what a client sees, line ends included; the marker says so, and `import` then takes them as they are.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";
import { encodeModifiedUtf7 } from "../core/modified-utf7.ts";
import type { MailboxBody } from "../wire/api/accounts.ts";
import type { ExportMailboxReport, ExportOptions, ExportReport } from "../wire/transfer-calls.ts";
import { exportFolder } from "./export-folder.ts";
import { MARKER_NAME, markerText, readMarker } from "./export-marker.ts";
import { directoriesOf } from "./export-names.ts";
import { ExportTally } from "./export-tally.ts";
import { errnoOf } from "./maildir-folders.ts";
import { makeDirectory, makeFolder, replaceFile } from "./maildir-writer.ts";

/**
 * @throws {MairustError} `already_exists`: the folder holds something else; `not_permitted`, `disk_full`; and what the calls throw
 */
export async function exportMaildir(options: ExportOptions): Promise<ExportReport> {
  const started = performance.now();
  try {
    await checkTarget(options);
    return await exportAll(options, started);
  } catch (error) {
    throw explained(error, options.folder);
  }
}

async function exportAll(options: ExportOptions, started: number): Promise<ExportReport> {
  const mailboxes = await options.calls.mailboxes(options.account);
  const total = mailboxes.reduce((sum, mailbox) => sum + mailbox.messages, 0);
  const tally = new ExportTally(total, options.onProgress);
  const directories = directoriesOf(mailboxes.map(mailbox => mailbox.name));
  if (!options.dryRun) await writeRoot(options, mailboxes, directories);
  const reports: ExportMailboxReport[] = [];
  for (const mailbox of mailboxes) {
    const dir = join(options.folder, directories.get(mailbox.name) ?? "");
    reports.push(await exportFolder(options, mailbox, dir, tally));
  }
  return {
    mailboxes: reports,
    problems: tally.problems,
    notes: tally.notes(),
    changed: tally.changed,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Empty, or an earlier export of the same account. */
async function checkTarget({ folder, account }: ExportOptions): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  if (names.length === 0) return;
  const marker = await readMarker(folder);
  if (marker?.account === account) return;
  const what =
    marker === undefined ? "is not empty and no export of ours" : `holds an export of "${marker.account}"`;
  const text = `"${folder}" ${what}`;
  throw new MairustError("already_exists", `Cannot export: ${text}`, { publicText: text });
}

/** The marker first: what follows belongs to an export. */
async function writeRoot(
  { folder, account, owner }: ExportOptions,
  mailboxes: readonly MailboxBody[],
  directories: ReadonlyMap<string, string>,
): Promise<void> {
  await makeDirectory(folder);
  const subscribed = mailboxes.filter(mailbox => mailbox.subscribed).map(mailbox => mailbox.name);
  const folders = Object.fromEntries([...directories].map(([mailbox, name]) => [name, mailbox]));
  await replaceFile(join(folder, MARKER_NAME), markerText({ account, folders, subscribed }), owner, "utf8");
  await makeFolder(folder, owner);
  const lines = subscribed.map(name => `${levelsOnDisk(name, directories).join("\t")}\n`);
  await replaceFile(join(folder, "subscriptions"), `V\t2\n\n${lines.join("")}`, owner, "utf8");
}

/** As Dovecot will call the folder: by its directory. */
function levelsOnDisk(name: string, directories: ReadonlyMap<string, string>): readonly string[] {
  const directory = directories.get(name);
  return directory === undefined || directory === ""
    ? name.split("/").map(encodeModifiedUtf7)
    : directory.slice(1).split(".");
}

/** Errors of the file system with a code that the command line knows. */
function explained(error: unknown, folder: string): unknown {
  if (error instanceof MairustError) return error;
  const code = errnoOf(error);
  const text = `cannot write "${folder}": ${code}`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new MairustError("not_permitted", text, { publicText: text, cause: error });
  if (["ENOTDIR", "EEXIST", "ENOENT", "ENAMETOOLONG"].includes(code))
    return new MairustError("already_exists", text, { publicText: text, cause: error });
  if (["ENOSPC", "EDQUOT", "EIO", "EFBIG"].includes(code))
    return new MairustError("disk_full", text, { publicText: text, cause: error });
  return error;
}
