/** The engines of export and verify, bound to the sidecar and to the server that mail goes back to (`stage-carry.ts`). */
import type { LoadedConfig } from "../platform/config/load.ts";
import { MAX_REPORTED } from "../wire/transfer.ts";
import type {
  ExportCalls,
  ImapExportMailboxReport,
  ImapExportReport,
  TransferEngines,
} from "../wire/transfer-calls.ts";
import type { Client } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { mappings } from "./commands/import.ts";
import { usageError } from "./exit-codes.ts";
import { loginAt, loginHere } from "./imap-login.ts";
import type { Progress } from "./progress.ts";
import type { Carrier, Pass } from "./stage-carry.ts";
import type { TakeRead } from "./stage-read.ts";
import { exportCalls, recordVerification } from "./transfer-client.ts";

const AGAINST = "--against";

/** @throws {CommandError} 64: options that do not fit */
export function carrierOf(
  context: CommandContext,
  { client, loaded }: { readonly client: Client; readonly loaded: LoadedConfig },
  against: string,
  engines: Pick<TransferEngines, "exportImap" | "verify">,
  progress: Progress,
  read: TakeRead,
): Carrier {
  const { options } = context;
  const maps = mappings(options.texts("map"));
  const stepsOf = (account: string) => (step: Parameters<Progress["step"]>[0]) =>
    progress.step({ ...step, mailbox: `${account} ${step.mailbox}` });
  return {
    read,
    async pass(account, expunge) {
      const calls = await callsUpToNow(exportCalls(client), account);
      const report = await engines.exportImap({
        ...{ account, maps, there: loginAt(against, AGAINST, account, options), calls },
        ...{ bytesPerSecond: undefined, dryRun: options.has("dryRun"), expunge },
        onProgress: stepsOf(account),
      });
      return passOf(report);
    },
    async verify(account) {
      const there = loginAt(against, AGAINST, account, options);
      const result = await engines.verify({
        ...{ here: loginHere(loaded, account), there, mode: "headers", maps },
        // Mail that both sides were given has each side's own trace.
        ...{ ignoreUids: true, ignoreDates: true, ignoreTrace: true, listed: MAX_REPORTED },
        onProgress: stepsOf(account),
      });
      const name = `${there.authorize ?? there.user}@${there.host}:${there.port}`;
      const equal = result.differences_total === 0;
      await recordVerification(client, { account, against: name, mode: "headers", equal, result });
      return result;
    },
  };
}

/** Looked at before anything is changed. @throws {CommandError} 64, 65, 66, 77 */
export function checkCarrier({ options }: CommandContext, kind: "domain" | "account", against: string): void {
  if (kind === "domain" && options.text("masterUser") === undefined)
    throw usageError("--master-user is missing: one login for all accounts of the domain");
  loginAt(against, AGAINST, "someone@example.com", options);
}

/**
 * What is here now, and nothing that comes while the pass runs. Mail that both sides are given is there before it shows here: whatever
 * this pass is about is there too when it looks, however long that takes, and is not sent a second time.
 */
async function callsUpToNow<T extends ExportCalls>(calls: T, account: string): Promise<T> {
  const now = new Map((await calls.mailboxes(account)).map(box => [box.name, box.uid_next]));
  return {
    ...calls,
    mailboxes: async whose => (await calls.mailboxes(whose)).filter(({ name }) => now.has(name)),
    async messages(whose, mailbox, cursor) {
      const page = await calls.messages(whose, mailbox, cursor);
      return { ...page, items: page.items.filter(({ uid }) => uid < (now.get(mailbox) ?? 0)) };
    },
  };
}

function passOf({ mailboxes, problems }: ImapExportReport): Pass {
  const sum = (of: (mailbox: ImapExportMailboxReport) => number) =>
    mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);
  return {
    copied: sum(m => m.copied),
    flagsUpdated: sum(m => m.flags_updated),
    expunged: sum(m => m.expunged),
    problems: [
      ...problems.map(({ mailbox, uid, reason }) => `${mailbox}/${uid}: ${reason}`),
      ...mailboxes.filter(refusedWhole(problems)).map(m => `${m.mailbox}: not taken by "${m.folder}"`),
    ],
  };
}

/** Failed, and no message of it says why. */
const refusedWhole =
  (problems: ImapExportReport["problems"]) =>
  ({ mailbox, failed }: ImapExportMailboxReport) =>
    failed > 0 && !problems.some(problem => problem.mailbox === mailbox);
