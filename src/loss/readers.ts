/** Where the canaries are looked for at the end: in the service's store by its API, or at the IMAP server that users read. */
import type { ImapFlow } from "imapflow";
import { closeImap, connectImap, explainImap, listMailboxes } from "../transfer/imap-login.ts";
import type { FoundCopy, LossCalls } from "../wire/loss-calls.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";
import { type CanaryName, canaryMark } from "./canary.ts";

export interface CanaryReader {
  find(canary: CanaryName): Promise<readonly FoundCopy[]>;
  /** Delete the canaries of this run, and nothing else. @returns why some stay; undefined: none does */
  remove(): Promise<string | undefined>;
}

export function storeReader(calls: LossCalls): CanaryReader {
  return {
    find: canary => calls.find(canary.recipient, canary.messageId),
    // The account that was made for the run goes with all that is in it; that is the command's part.
    remove: async () => undefined,
  };
}

/**
 * All copies of a run's canaries at an IMAP server, in all mailboxes of each recipient: a rule of the user may have filed them.
 * @throws {MairustError} `auth_failed`, `store_unavailable`
 */
export async function imapReader(logins: ReadonlyMap<string, ImapLogin>, run: string): Promise<CanaryReader> {
  const found = new Map<string, FoundCopy[]>();
  for (const [recipient, login] of logins)
    await eachMailbox(login, run, async (client, uids) => {
      for await (const { envelope, source, internalDate } of client.fetch(
        uids,
        { source: true, internalDate: true, envelope: true },
        { uid: true },
      )) {
        if (source === undefined) continue;
        const key = keyOf(recipient, envelope?.messageId ?? "");
        const storedAt = internalDate === undefined ? new Date() : new Date(internalDate);
        found.set(key, [...(found.get(key) ?? []), { bytes: source, storedAt }]);
      }
    });
  return {
    find: async ({ recipient, messageId }) => found.get(keyOf(recipient, messageId)) ?? [],
    remove: () => removeAll(logins, run),
  };
}

/** Without UIDPLUS an EXPUNGE would also take what others marked as deleted: then the canaries stay, marked. RFC 4315 §2.1. */
async function removeAll(logins: ReadonlyMap<string, ImapLogin>, run: string): Promise<string | undefined> {
  const kept: string[] = [];
  for (const [recipient, login] of logins)
    await eachMailbox(login, run, async (client, uids) => {
      if (client.capabilities.has("UIDPLUS")) await client.messageDelete(uids, { uid: true });
      else kept.push(recipient);
    });
  if (kept.length === 0) return undefined;
  return `the IMAP server has no UIDPLUS: canaries stay in the mailboxes of ${[...new Set(kept)].join(", ")}; their subject is "mairust verify-no-loss ${run} …"`;
}

/** Select each mailbox that has canaries of the run. */
async function eachMailbox(
  login: ImapLogin,
  run: string,
  work: (client: ImapFlow, uids: number[]) => Promise<void>,
): Promise<void> {
  const client = await connectImap(login);
  try {
    for (const { path } of await listMailboxes(client, login)) {
      const lock = await client.getMailboxLock(path);
      try {
        const found = await client.search({ header: { "message-id": canaryMark(run) } }, { uid: true });
        const uids = found === false || found === undefined ? [] : found;
        if (uids.length > 0) await work(client, uids);
      } finally {
        lock.release();
      }
    }
  } catch (error) {
    throw explainImap(error, login, "read the canaries");
  } finally {
    await closeImap(client);
  }
}

function keyOf(recipient: string, messageId: string): string {
  return `${recipient}\0${messageId}`;
}
