/**
 * `export imap`: an account of the running service into one of another IMAP server. Runs in the command's process. A pass brings what
 * is not there yet, and flags that changed here since the last one.
 *
 * May be killed at any byte, never twice there: what was sent is written down with the service as soon as the server has answered;
 * what is not written down is looked for there by its bytes before anything is sent. That finds as well what that server had all
 * along, so a target that holds the old mail gets only the new. One export of an account runs at a time; a younger one ends the older.
 */
import { rateLimit } from "../platform/rate.ts";
import type { MailboxBody } from "../wire/api/accounts.ts";
import type { ImapExportMailboxReport, ImapExportOptions, ImapExportReport } from "../wire/transfer-calls.ts";
import { type ExportRun, exportImapFolder } from "./export-imap-folder.ts";
import { ExportTally } from "./export-tally.ts";
import { explainImap, replyOf, sourceName } from "./imap-login.ts";
import { isReply } from "./imap-pages.ts";
import { ConnectionLost, ImapSession } from "./imap-session.ts";
import { ImapTarget, planTargets } from "./imap-target.ts";

/** Every account has these; empty ones are not made there. */
const DEFAULT_MAILBOXES: ReadonlySet<string> = new Set([
  "INBOX",
  "Junk",
  "Sent",
  "Archive",
  "Trash",
  "Drafts",
]);

/** @throws {MairustError} `auth_failed`, `store_unavailable`: the target; `invalid_state`: another export took over; and what the calls throw */
export async function exportImap(options: ImapExportOptions): Promise<ImapExportReport> {
  const started = performance.now();
  const session = await ImapSession.connect(options.there);
  let run: ExportRun | undefined;
  try {
    run = await beginRun(options, session);
    const reports = await exportAll(run, options);
    const report = {
      mailboxes: reports,
      problems: run.tally.problems,
      notes: [...run.notes, ...run.tally.notes()],
      changed: run.tally.changed,
      seconds: (performance.now() - started) / 1000,
    };
    const failed = reports.some(mailbox => mailbox.failed > 0);
    const state = failed ? "failed" : report.changed ? "changed" : "done";
    if (!options.dryRun) await options.calls.finish(run.id, { state, report });
    return report;
  } catch (error) {
    if (isReply(error) || error instanceof ConnectionLost) throw explainImap(error, options.there, "export");
    throw error;
  } finally {
    run?.closeSender();
    await session.close();
  }
}

async function beginRun(options: ImapExportOptions, session: ImapSession): Promise<ExportRun> {
  const name = sourceName(options.there);
  const target = new ImapTarget(session);
  const begun = options.dryRun
    ? undefined
    : await options.calls.start({ account: options.account, target: name });
  // Before anything is sent: what a killed export had sent must be there, or be gone.
  if (begun !== undefined && begun.appending_to !== null) await target.settle(begun.appending_to);
  const mailboxes = await options.calls.mailboxes(options.account);
  const total = mailboxes.reduce((sum, mailbox) => sum + mailbox.messages, 0);
  const run: ExportRun = {
    ...{ options, session, target, mailboxes, notes: [], sender: undefined },
    id: begun?.id ?? 0,
    tally: new ExportTally(total, options.onProgress),
    rate: options.rate ?? rateLimit(options.bytesPerSecond),
    closeSender() {
      run.sender?.close();
      run.sender = undefined;
    },
  };
  return run;
}

async function exportAll(run: ExportRun, options: ImapExportOptions): Promise<ImapExportMailboxReport[]> {
  const there = await run.session.list();
  const names = run.mailboxes.map(mailbox => mailbox.name);
  const plan = planTargets(names, there, options.maps, await run.target.pathsOf());
  const subscribed = new Set(there.filter(box => box.subscribed).map(box => box.path));
  const reports: ImapExportMailboxReport[] = [];
  for (const mailbox of run.mailboxes) {
    const place = plan.get(mailbox.name);
    if (place === undefined) continue;
    const { path, isThere, clash } = place;
    // An empty default mailbox of ours is nothing that somebody would miss there.
    if (!isThere && mailbox.messages === 0 && DEFAULT_MAILBOXES.has(mailbox.name)) continue;
    const isNew = !isThere && mailbox.name !== "INBOX";
    if (clash) {
      reports.push(
        refused(run, mailbox, path, `another mailbox goes to "${path}" already: --map says where to`),
      );
      continue;
    }
    reports.push(await exportOne(run, mailbox, path, isNew, subscribed));
  }
  return reports;
}

async function exportOne(
  run: ExportRun,
  mailbox: MailboxBody,
  path: string,
  isNew: boolean,
  subscribed: ReadonlySet<string>,
): Promise<ImapExportMailboxReport> {
  try {
    const { dryRun } = run.options;
    if (!dryRun && isNew) await run.target.make(path, mailbox.subscribed);
    else if (!dryRun && mailbox.subscribed && !subscribed.has(path)) await run.target.subscribe(path);
    return await exportImapFolder(run, mailbox, path, isNew);
  } catch (error) {
    // A folder that the server refuses hurts only itself.
    if (!isReply(error)) throw error;
    return refused(run, mailbox, path, replyOf(error));
  }
}

function refused(run: ExportRun, mailbox: MailboxBody, path: string, why: string): ImapExportMailboxReport {
  run.notes.push(`${mailbox.name}: ${why}`);
  const none = { copied: 0, already: 0, copied_bytes: 0, gone: 0 };
  const more = { recognized: 0, flags_updated: 0, expunged: 0, removed_there: 0 };
  const failed = Math.max(1, mailbox.messages);
  return { mailbox: mailbox.name, folder: path, found: mailbox.messages, failed, ...none, ...more };
}
