/** What import, export and verify ask of the service, over its API. */
import { Readable } from "node:stream";
import type { MailboxBody } from "../wire/api/accounts.ts";
import { MAX_PAGE_ITEMS } from "../wire/api/codes.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { ExportBody, ExportedBody } from "../wire/api/exports.ts";
import type {
  BatchBody,
  ClosedMailboxBody,
  ComparedBody,
  ImportBody,
  MailboxMessageBody,
  NewVerifyBody,
  OpenedMailboxBody,
  VerifyBody,
} from "../wire/api/transfer.ts";
import type { ImapExportCalls, ImportCalls } from "../wire/transfer-calls.ts";
import { type Client, segment } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

const IMPORTS = "/api/v1/imports";
const EXPORTS = "/api/v1/exports";
/** What is wrong with a batch itself: one message of it may be the reason. */
const POISON: ReadonlySet<number> = new Set([EXIT.usage, EXIT.badData, EXIT.bug]);

export function importCalls(client: Client): ImportCalls {
  const of = (id: number, step: string) => `${IMPORTS}/${id}/${step}`;
  return {
    start: async (body, dryRun) =>
      (await client.post<ImportBody>(IMPORTS, { body, query: { dry_run: dryRun } })).body,
    open: async (id, body, dryRun) =>
      (await client.post<OpenedMailboxBody>(of(id, "open"), { body, query: { dry_run: dryRun } })).body,
    compare: async (id, body, dryRun) =>
      (await client.post<ComparedBody>(of(id, "compare"), { body, query: { dry_run: dryRun } })).body,
    async batch(id, { account, mailbox, uidValidity }, frames) {
      const answer = await client.post<BatchBody>(of(id, "messages"), {
        query: { account, mailbox, uid_validity: uidValidity },
        message: Readable.from(frames, { objectMode: false }),
        messageType: "application/octet-stream",
      });
      return answer.body;
    },
    close: async (id, body) => (await client.post<ClosedMailboxBody>(of(id, "close"), { body })).body,
    finish: async (id, body) => (await client.post<ImportBody>(of(id, "finish"), { body })).body,
    isPoison: error => error instanceof CommandError && POISON.has(error.exitCode),
  };
}

export function exportCalls(client: Client): ImapExportCalls {
  const of = (id: number, step: string) => `${EXPORTS}/${id}/${step}`;
  const mailboxes = (account: string) => `/api/v1/accounts/${segment(account)}/mailboxes`;
  return {
    start: async body => (await client.post<ExportBody>(EXPORTS, { body })).body,
    open: async (id, body) => void (await client.post(of(id, "open"), { body })),
    known: async (id, body) => (await client.post<ExportedBody>(of(id, "known"), { body })).body,
    record: async (id, body) => void (await client.post(of(id, "record"), { body })),
    finish: async (id, body) => (await client.post<ExportBody>(of(id, "finish"), { body })).body,
    mailboxes: async account => (await client.get<PageBody<MailboxBody>>(mailboxes(account))).body.items,
    messages: async (account, mailbox, cursor) => {
      const query = { limit: MAX_PAGE_ITEMS, ...(cursor === null ? {} : { cursor }) };
      const path = `${mailboxes(account)}/${segment(mailbox)}/messages`;
      return (await client.get<PageBody<MailboxMessageBody>>(path, { query })).body;
    },
    raw: async (account, mailbox, uid) =>
      (await client.stream(`${mailboxes(account)}/${segment(mailbox)}/messages/${uid}/raw`)).body,
    failureOf(error) {
      if (!(error instanceof CommandError)) return "unreadable";
      if (error.exitCode === EXIT.noInput) return "gone";
      return error.exitCode === EXIT.inputOutput || error.exitCode === EXIT.bug ? "unreadable" : "fatal";
    },
  };
}

export async function recordVerification(client: Client, body: NewVerifyBody): Promise<VerifyBody> {
  return (await client.post<VerifyBody>("/api/v1/verify", { body })).body;
}
