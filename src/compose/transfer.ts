/** The engines of import, export and verify, as `main.ts` hands them to the commands: they run in the command's process. */
import { exportMaildir } from "../transfer/export.ts";
import { exportImap } from "../transfer/export-imap.ts";
import { importMaildir } from "../transfer/import.ts";
import { importImap } from "../transfer/import-imap.ts";
import { verify } from "../transfer/verify.ts";
import type { TransferEngines } from "../wire/transfer-calls.ts";

export const transferEngines: TransferEngines = {
  importMaildir,
  exportMaildir,
  importImap,
  exportImap,
  verify,
};
