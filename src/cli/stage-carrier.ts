/** The engines of export and verify, bound to the sidecar and to the server that mail goes back to (`stage-carry.ts`). */
import type { LoadedConfig } from "../platform/config/load.ts";
import { MAX_REPORTED } from "../wire/transfer.ts";
import type {
  ExportMailboxReport,
  ExportReport,
  ImapExportOptions,
  TransferEngines,
  VerifyOptions,
} from "../wire/transfer-calls.ts";
import type { Client } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { mappings } from "./commands/import.ts";
import { loginHere, loginThere } from "./commands/verify.ts";
import { CommandError, EXIT, usageError } from "./exit-codes.ts";
import type { Progress } from "./progress.ts";
import type { Carrier, Pass } from "./stage-carry.ts";
import { exportCalls, recordVerification } from "./transfer-client.ts";

type ExportOptions = ImapExportOptions & { readonly expunge?: boolean };
/** `ignoreTrace`: mail that both sides were given has each side's own trace. */
type CompareOptions = VerifyOptions & { readonly ignoreTrace?: boolean };
type Report = Omit<ExportReport, "mailboxes"> & {
  readonly mailboxes: readonly (ExportMailboxReport & {
    readonly flags_updated?: number;
    readonly expunged?: number;
  })[];
};

interface Engines {
  verify(options: CompareOptions): ReturnType<TransferEngines["verify"]>;
  exportImap?(options: ExportOptions): Promise<Report>;
}

/** @throws {CommandError} 64: options that do not fit */
export function carrierOf(
  context: CommandContext,
  { client, loaded }: { readonly client: Client; readonly loaded: LoadedConfig },
  against: string,
  engines: Engines,
  progress: Progress,
): Carrier {
  if (engines.exportImap === undefined)
    throw new CommandError(EXIT.usage, "carrying mail back is not built in this version");
  const exportImap = engines.exportImap.bind(engines);
  const maps = mappings(context.options.texts("map"));
  const stepsOf = (account: string) => (step: Parameters<Progress["step"]>[0]) =>
    progress.step({ ...step, mailbox: `${account} ${step.mailbox}` });
  return {
    async pass(account, expunge) {
      const report = await exportImap({
        ...{ account, maps, there: loginThere(against, account, context), calls: exportCalls(client) },
        ...{ bytesPerSecond: undefined, dryRun: context.options.has("dryRun"), expunge },
        onProgress: stepsOf(account),
      });
      return passOf(report);
    },
    async verify(account) {
      const there = loginThere(against, account, context);
      const result = await engines.verify({
        ...{ here: loginHere(loaded, account), there, mode: "headers", maps },
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

/** Looked at before anything is changed. @throws {CommandError} 64 */
export function checkCarrier(context: CommandContext, kind: "domain" | "account", against: string): void {
  if (kind === "domain" && context.options.text("masterUser") === undefined)
    throw usageError("--master-user is missing: one login for all accounts of the domain");
  loginThere(against, "someone@example.com", context);
}

function passOf({ mailboxes, problems }: Report): Pass {
  const sum = (of: (mailbox: Report["mailboxes"][number]) => number | undefined) =>
    mailboxes.reduce((total, mailbox) => total + (of(mailbox) ?? 0), 0);
  return {
    copied: sum(m => m.copied),
    flagsUpdated: sum(m => m.flags_updated),
    expunged: sum(m => m.expunged),
    problems: problems.map(({ mailbox, uid, reason }) => `${mailbox}/${uid}: ${reason}`),
  };
}
