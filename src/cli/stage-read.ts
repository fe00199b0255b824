/**
 * On the way down from `store`: what users have read while Dovecot showed the sidecar's mailboxes is read in the sidecar too, before a
 * pass (`stage-carry.ts`) takes it to Dovecot's own mailboxes as it takes every flag. It keeps nobody from the step: what fails is told, and
 * the same command does it again.
 */
import type { MailboxBody } from "../wire/api/accounts.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { AddedSeenBody } from "../wire/api/transfer.ts";
import type { FindRead } from "../wire/site-calls.ts";
import { MAX_KNOWN_ITEMS } from "../wire/transfer.ts";
import { type Client, segment } from "./client.ts";
import { printable } from "./text.ts";

/** Accounts that are named one by one. */
const SHOWN_ACCOUNTS = 20;

/** @returns how many messages of an account are read here now; never rejects */
export type TakeRead = (account: string) => Promise<number>;

/**
 * @param find  undefined: Dovecot is not here, or nobody asked for it
 * @param say   takes lines for people
 */
export function takeRead(client: Client, find: FindRead | undefined, say: (text: string) => void): TakeRead {
  const told = new Set<string>();
  return async account => {
    if (find === undefined) return 0;
    try {
      return await take(client, find, account);
    } catch (error) {
      // Each pass asks again.
      if (told.has(account)) return 0;
      told.add(account);
      if (told.size === SHOWN_ACCOUNTS + 1) say("nor what more accounts have read\n");
      if (told.size > SHOWN_ACCOUNTS) return 0;
      const reason = error instanceof Error ? error.message : String(error);
      say(`what ${printable(account)} has read in store is not carried back: ${printable(reason)}\n`);
      return 0;
    }
  };
}

async function take(client: Client, find: FindRead, account: string): Promise<number> {
  const mailboxes = `/api/v1/accounts/${segment(account)}/mailboxes`;
  const { items } = (await client.get<PageBody<MailboxBody>>(mailboxes)).body;
  // Dovecot may show other mail as well, and a mailbox may be gone here.
  const ours = new Map(items.map(({ name, uid_validity: validity }) => [name, validity]));
  let changed = 0;
  for await (const { mailbox, uid_validity: validity, uids } of find(account)) {
    if (ours.get(mailbox) !== validity) continue;
    for (let at = 0; at < uids.length; at += MAX_KNOWN_ITEMS) {
      const body = { uid_validity: validity, uids: uids.slice(at, at + MAX_KNOWN_ITEMS) };
      const path = `${mailboxes}/${segment(mailbox)}/seen`;
      changed += (await client.post<AddedSeenBody>(path, { body })).body.changed;
    }
  }
  return changed;
}
