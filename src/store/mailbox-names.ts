/** Mailbox names and the creation of mailboxes. Separator `/`; INBOX in any case is `INBOX` (RFC 3501 §5.1). */
import { MairustError } from "../core/errors.ts";
import type { AccountId } from "../core/ids.ts";
import type { Tx } from "./db.ts";

/** Octets of UTF-8 in a whole mailbox name. */
const MAX_NAME_BYTES = 1000;
/** Mailboxes of one account: past it nothing is made, and hooks' folders become INBOX. */
const MAX_MAILBOXES = 5_000;
/** Levels in a mailbox name. */
const MAX_LEVELS = 20;

/** What every account has from its first moment, with RFC 6154 attributes. */
export const DEFAULT_MAILBOXES: ReadonlyArray<{ readonly name: string; readonly specialUse: string | null }> =
  [
    { name: "INBOX", specialUse: null },
    { name: "Junk", specialUse: "\\Junk" },
    { name: "Sent", specialUse: "\\Sent" },
    { name: "Archive", specialUse: "\\Archive" },
    { name: "Trash", specialUse: "\\Trash" },
    { name: "Drafts", specialUse: "\\Drafts" },
  ];

/**
 * @returns the name in NFC with INBOX in upper case
 * @throws {MairustError} `invalid_argument`: empty level, `..`, control character, too long or too deep
 */
export function normalizeMailboxName(name: string): string {
  const nfc = name.normalize("NFC");
  const levels = nfc.split("/");
  const bad =
    levels.some(level => level === "" || level === "." || level === "..") ||
    /[\p{Cc}\p{Cs}]/u.test(nfc) ||
    levels.length > MAX_LEVELS ||
    Buffer.byteLength(nfc) > MAX_NAME_BYTES;
  if (bad) {
    throw new MairustError(
      "invalid_argument",
      `Cannot use mailbox name ${JSON.stringify(name)}: empty level, "..", control character or too long`,
      {
        publicText: "mailbox name is not allowed",
      },
    );
  }
  if (levels[0]?.toUpperCase() === "INBOX") levels[0] = "INBOX";
  return levels.join("/");
}

/** Create what is missing, subscribed; what exists already stays as it is. Accounts that are gone get nothing. */
export async function createMailboxes(
  tx: Tx,
  mailboxes: readonly {
    readonly accountId: AccountId;
    readonly name: string;
    readonly specialUse?: string | null;
  }[],
): Promise<void> {
  const rows = JSON.stringify(mailboxes.map(m => ({ a: m.accountId, n: m.name, s: m.specialUse ?? null })));
  await tx.query`
    insert into mailboxes (account_id, name, special_use)
    select distinct on (a, n) a, n, s from json_to_recordset(${rows}::text::json) as w(a bigint, n text, s text)
    join accounts on accounts.id = w.a
    where (select count(*) from mailboxes m where m.account_id = w.a) < ${MAX_MAILBOXES}
    order by a, n
    on conflict (account_id, name) do nothing`;
  await tx.query`
    insert into subscriptions (account_id, name)
    select distinct a, n from json_to_recordset(${rows}::text::json) as w(a bigint, n text)
    join accounts on accounts.id = w.a
    on conflict do nothing`;
}
